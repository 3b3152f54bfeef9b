"""The only place that fetches and unpacks packages for an ARM64 folder: Debian's through apt, wheels through pip."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import TussisError

# The newest that run under QEMU 7.2: ai-edge-litert 2.2.0 and 2.3.0 crash there.
WHEELS = ("ai-edge-litert==2.1.6", "numpy==2.2.6")
WHEEL_PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")
GUEST_PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6", "zlib1g")
# Not qemu-user-static: a static binary cannot load the instruction counter.
EMULATOR_PACKAGE, EMULATOR = "qemu-user", "qemu-aarch64"
GUEST, SITE, HOST, DOWNLOAD, REPORT_FILE = "guest", "site", "host", "download", "prepared.json"
INSTALLED_HERE = Path("/var/lib/dpkg/status")
NOTHING_INSTALLED = Path("/dev/null")
ALL_STEPS_LIMIT_S = 180
NETWORK_LIMIT_S = 20
UNIT_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}


class EmulationError(TussisError):
    """The emulator or its packages cannot be had on this machine; what needs them is skipped."""


class Preparation:
    """Fetches and unpacks everything into one folder, within `limit_s`; EmulationError where that cannot be done.

    ``guest`` becomes an ARM64 Debian with Python, ``site`` holds its wheels, ``host`` the emulator where the system has
    none, ``prepared.json`` what was fetched and how long it took. No root is needed and nothing is installed. The
    mirrors are those that apt and pip are configured with.
    """

    def __init__(self, folder: Path, say: Callable[[str], None], limit_s: float = ALL_STEPS_LIMIT_S):
        self.folder = folder
        self.say = say
        self._start_s = time.monotonic()
        self._limit_s = limit_s

    def run(self, key: str) -> None:
        """Do it; `key` goes into prepared.json."""
        check_this_machine()
        package_bytes = 0
        if shutil.which(EMULATOR) is None:
            self.say(f"fetching {EMULATOR_PACKAGE}")
            here = self._step(["dpkg", "--print-architecture"]).strip()
            package_bytes += self._fetch_packages([EMULATOR_PACKAGE], here, INSTALLED_HERE, self.folder / HOST)
        self.say("fetching Python for arm64")
        package_bytes += self._fetch_packages(GUEST_PACKAGES, "arm64", NOTHING_INSTALLED, self.folder / GUEST)
        self.say(f"fetching {' and '.join(WHEELS)} for arm64")
        wheel_bytes = self._fetch_wheels(guest_python(self.folder).name.removeprefix("python"))
        shutil.rmtree(self.folder / DOWNLOAD)
        report = {
            "key": key,
            "debian_bytes": package_bytes,
            "wheel_bytes": wheel_bytes,
            "seconds": round(time.monotonic() - self._start_s, 1),
        }
        (self.folder / REPORT_FILE).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")

    def _fetch_packages(self, packages: Sequence[str], architecture: str, status: Path, target: Path) -> int:
        """Unpack packages and what they depend on beyond `status` into `target`; the bytes that were downloaded."""
        state = self.folder / DOWNLOAD / architecture
        for name in ("lists/partial", "archives/partial"):
            (state / name).mkdir(parents=True)
        apt = ["apt-get", "-q", *apt_options(architecture, status, state)]
        said = self._step([*apt, "-o", "APT::Update::Error-Mode=any", "update"])
        said += self._step([*apt, "install", "--yes", "--no-install-recommends", "--download-only", *packages])
        for package in sorted((state / "archives").glob("*.deb")):
            self._step(["dpkg-deb", "--extract", str(package), str(target)])
        return fetched_bytes(said)

    def _fetch_wheels(self, python_version: str) -> int:
        wheels = self.folder / DOWNLOAD / "wheels"
        platforms = [part for name in WHEEL_PLATFORMS for part in ("--platform", name)]
        cpython = f"cp{python_version.replace('.', '')}"
        kind = ["--python-version", python_version, "--implementation", "cp", "--abi", cpython, *platforms]
        network = ["--retries", "1", "--timeout", str(NETWORK_LIMIT_S)]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        self._step([*pip, *network, *kind, "--dest", str(wheels), *WHEELS])
        found = sorted(wheels.glob("*.whl"))
        for wheel in found:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(self.folder / SITE)
        return sum(wheel.stat().st_size for wheel in found)

    def _step(self, command: list[str]) -> str:
        """Run a command and return what it says; EmulationError with its last line where it fails."""
        what = "pip" if "pip" in command else Path(command[0]).name
        left_s = self._limit_s - (time.monotonic() - self._start_s)
        try:
            done = subprocess.run(
                command,
                env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=max(left_s, 1),
            )
        except subprocess.TimeoutExpired as reason:
            raise EmulationError(f"fetching the packages takes longer than {self._limit_s:g} s") from reason
        except OSError as reason:
            raise EmulationError(f"{what} does not start ({reason.strerror})") from reason
        if done.returncode != 0:
            raise EmulationError(f"{what} failed ({last_line(done.stderr)})")
        return done.stdout


def check_this_machine() -> None:
    """EmulationError where the tools are missing, or results could not be compared with x86."""
    missing = [tool for tool in ("apt-get", "dpkg", "dpkg-deb", "cc") if shutil.which(tool) is None]
    if missing:
        raise EmulationError(f"a Debian with a C compiler is needed; there is no {', '.join(missing)}")
    if platform.machine() != "x86_64":
        raise EmulationError(f"an x86-64 machine to compare with is needed; this one is {platform.machine()}")


def apt_options(architecture: str, status: Path, state: Path) -> list[str]:
    """Options that make apt-get keep to the folder `state` and take `status` for what is installed."""
    options = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "1",
        "Acquire::http::Timeout": str(NETWORK_LIMIT_S),
        "Acquire::https::Timeout": str(NETWORK_LIMIT_S),
        "Debug::NoLocking": "1",
        "Dir::State": str(state),
        "Dir::State::status": str(status),
        "Dir::Cache": str(state),
    }
    return [part for name, value in options.items() for part in ("-o", f"{name}={value}")]


def guest_python(folder: Path) -> Path:
    """The Python of a prepared folder's ARM64 Debian; EmulationError where it has none."""
    found = [path for path in folder.glob(f"{GUEST}/usr/bin/python3.*") if re.fullmatch(r"python3\.\d+", path.name)]
    if len(found) != 1:
        raise EmulationError(f"the arm64 packages hold {len(found)} Pythons; expected 1")
    return found[0]


def fetched_bytes(said: str) -> int:
    """Sum of the sizes that apt-get says it fetched, as in "Fetched 9314 kB in 3s (2764 kB/s)"."""
    found = re.findall(r"^Fetched ([\d,.]+) ([kMG]?B) in ", said, flags=re.MULTILINE)
    return sum(round(float(number.replace(",", "")) * UNIT_BYTES[unit]) for number, unit in found)


def last_line(text: str) -> str:
    """The last line of what a program says, at most 200 characters."""
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else "no message"
