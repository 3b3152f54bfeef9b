"""Prepares an ARM64 Debian in a folder, without root, and runs this repository there, emulated and counted."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import OutputError, TussisError

REPOSITORY = Path(__file__).resolve().parents[2]
COUNTER_SOURCE = Path(__file__).with_name("instruction_counter.c")
COUNTER, MARKS = "instruction_counter.so", "marks.txt"
# The newest that run under QEMU 7.2: ai-edge-litert 2.2.0 and 2.3.0 crash there.
WHEELS = ("ai-edge-litert==2.1.6", "numpy==2.2.6")
WHEEL_PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")
GUEST_PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6", "zlib1g")
# Not qemu-user-static: a static binary cannot load the instruction counter.
EMULATOR_PACKAGE, EMULATOR = "qemu-user", "qemu-aarch64"
KEY = hashlib.sha256(repr((WHEELS, GUEST_PACKAGES, EMULATOR_PACKAGE)).encode()).hexdigest()[:16]
GUEST, SITE, HOST, DOWNLOAD, PREPARED_FILE = "guest", "site", "host", "download", "prepared"
INSTALLED_HERE = Path("/var/lib/dpkg/status")
NOTHING_INSTALLED = Path("/dev/null")
RUN_LIMIT_S = 1800
ALL_STEPS_LIMIT_S = 180
NETWORK_LIMIT_S = 20


class EmulationError(TussisError):
    """The emulator or its packages cannot be had on this machine; what needs them is skipped."""


@dataclass(frozen=True)
class Arm64Root:
    """A prepared folder, as `Preparation` leaves it."""

    folder: Path

    @property
    def emulator(self) -> str:
        """The unpacked emulator, or else the system's; empty where there is neither."""
        unpacked = self.folder / HOST / "usr/bin" / EMULATOR
        return str(unpacked) if unpacked.exists() else shutil.which(EMULATOR) or ""

    @property
    def is_ready(self) -> bool:
        """Whether the folder is prepared, with these packages and not with others."""
        prepared = self.folder / PREPARED_FILE
        return prepared.is_file() and prepared.read_bytes() == KEY.encode() and bool(self.emulator)

    def emulator_version(self) -> str:
        """The emulator's name and version as it prints them, for instance "qemu-aarch64 version 7.2.22"."""
        done = subprocess.run([self.emulator, "--version"], env=self._environment(), capture_output=True, text=True)
        return done.stdout.partition("\n")[0]

    def run(self, arguments: Sequence[str], cpu: str, folder: Path) -> str:
        """Run the guest's Python on an emulated processor, in `folder`; return the marks of the instruction counter.

        `cpu` is a name of QEMU's, for instance cortex-a76; its default processor gives wrong int8 results.
        """
        compile_counter(folder / COUNTER)
        emulator = [self.emulator, "-cpu", cpu, "-plugin", f"./{COUNTER},out={MARKS}", "-U", "LD_LIBRARY_PATH"]
        python = ["-L", str(self.folder / GUEST), str(guest_python(self.folder)), "-S"]
        try:
            done = subprocess.run(
                [*emulator, *python, *arguments],
                cwd=folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=RUN_LIMIT_S,
            )
        except subprocess.TimeoutExpired as reason:
            raise TussisError(f"the emulated {cpu} takes longer than {RUN_LIMIT_S} s") from reason
        if done.returncode != 0:
            raise TussisError(f"the emulated {cpu} failed with status {done.returncode}: {last_line(done.stderr)}")
        return (folder / MARKS).read_text(encoding="ascii")

    def _environment(self) -> dict[str, str]:
        libraries = (self.folder / HOST).glob("usr/lib/*-linux-gnu*")
        return {
            "LD_LIBRARY_PATH": ":".join(str(path) for path in libraries),
            "PYTHONPATH": f"{self.folder / SITE}:{REPOSITORY}",
            "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode"),
            "PYTHONHASHSEED": "0",
            "OPENBLAS_NUM_THREADS": "1",
        }


def prepare(folder: Path, cpu: str, say: Callable[[str], None] = lambda sentence: None) -> Arm64Root:
    """Make a folder ready, whole or not at all, and see that an emulated `cpu` runs Python in it and is counted.

    Nothing is fetched where it is ready. EmulationError where this is no x86-64 Debian, the packages cannot be had, or
    the emulator takes no plugin of this kind.
    """
    root = Arm64Root(folder.resolve())
    check_this_machine()
    try:
        if not root.is_ready:
            _make_folder(root.folder, say)
    except OSError as reason:
        raise OutputError(f"{folder} cannot be written: {reason.strerror}.") from reason
    with tempfile.TemporaryDirectory(dir=root.folder) as trial:
        try:
            root.run(["-c", ""], cpu, Path(trial))
        except TussisError as reason:
            raise EmulationError(str(reason)) from reason
    return root


def check_this_machine() -> None:
    """EmulationError where the tools are missing, or results could not be compared with x86."""
    missing = [tool for tool in ("apt-get", "dpkg", "dpkg-deb", "cc") if shutil.which(tool) is None]
    if missing:
        raise EmulationError(f"a Debian with a C compiler is needed; there is no {', '.join(missing)}")
    if platform.machine() != "x86_64":
        raise EmulationError(f"an x86-64 machine to compare with is needed; this one is {platform.machine()}")


def _make_folder(folder: Path, say: Callable[[str], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".arm64-") as unfinished:
        Preparation(Path(unfinished), say).run()
        shutil.rmtree(folder, ignore_errors=True)
        Path(unfinished).rename(folder)


class Preparation:
    """Fetches and unpacks everything into one folder, within `limit_s`; EmulationError where that cannot be done.

    ``guest`` becomes an ARM64 Debian with Python, ``site`` holds its wheels, ``host`` the emulator where the system has
    none, ``prepared`` names the packages. Nothing is installed; the mirrors are those that apt and pip are set to.
    """

    def __init__(self, folder: Path, say: Callable[[str], None], limit_s: float = ALL_STEPS_LIMIT_S):
        self.folder = folder
        self.say = say
        self._start_s = time.monotonic()
        self._limit_s = limit_s

    def run(self) -> None:
        """Do it, ``prepared`` last."""
        if shutil.which(EMULATOR) is None:
            self.say(f"fetching {EMULATOR_PACKAGE}")
            architecture = self._step(["dpkg", "--print-architecture"]).strip()
            self._fetch_packages([EMULATOR_PACKAGE], architecture, INSTALLED_HERE, HOST)
        self.say("fetching Python for arm64")
        self._fetch_packages(GUEST_PACKAGES, "arm64", NOTHING_INSTALLED, GUEST)
        self.say(f"fetching {' and '.join(WHEELS)} for arm64")
        self._fetch_wheels(guest_python(self.folder).name.removeprefix("python"))
        shutil.rmtree(self.folder / DOWNLOAD)
        (self.folder / PREPARED_FILE).write_text(KEY, encoding="utf-8")

    def _fetch_packages(self, packages: Sequence[str], architecture: str, status: Path, target: str) -> None:
        """Unpack packages and what they depend on beyond `status` into `target`."""
        state = self.folder / DOWNLOAD / architecture
        for name in ("lists/partial", "archives/partial"):
            (state / name).mkdir(parents=True)
        apt = ["apt-get", "-q", *apt_options(architecture, status, state)]
        self._step([*apt, "-o", "APT::Update::Error-Mode=any", "update"])
        self._step([*apt, "install", "--yes", "--no-install-recommends", "--download-only", *packages])
        for package in sorted((state / "archives").glob("*.deb")):
            self._step(["dpkg-deb", "--extract", str(package), str(self.folder / target)])

    def _fetch_wheels(self, python_version: str) -> None:
        folder = self.folder / DOWNLOAD / "wheels"
        platforms = [part for name in WHEEL_PLATFORMS for part in ("--platform", name)]
        abi = f"cp{python_version.replace('.', '')}"
        kind = ["--python-version", python_version, "--implementation", "cp", "--abi", abi, *platforms]
        network = ["--retries", "1", "--timeout", str(NETWORK_LIMIT_S)]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        self._step([*pip, *network, *kind, "--dest", str(folder), *WHEELS])
        for wheel in folder.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(self.folder / SITE)

    def _step(self, command: list[str]) -> str:
        """Run a command and return what it prints; EmulationError with its last line where it fails."""
        program = "pip" if "pip" in command else Path(command[0]).name
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
            raise EmulationError(f"{program} does not start ({reason.strerror})") from reason
        if done.returncode != 0:
            raise EmulationError(f"{program} failed ({last_line(done.stderr)})")
        return done.stdout


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
    pythons = [path for path in folder.glob(f"{GUEST}/usr/bin/python3.*") if re.fullmatch(r"python3\.\d+", path.name)]
    if len(pythons) != 1:
        raise EmulationError(f"the arm64 packages hold {len(pythons)} Pythons; expected 1")
    return pythons[0]


def compile_counter(out: Path) -> None:
    """Compile instruction_counter.c; TussisError where the compiler refuses."""
    flags = ("-O2", "-Wall", "-Werror", "-fvisibility=hidden", "-shared", "-fPIC")
    done = subprocess.run(["cc", *flags, "-o", str(out), str(COUNTER_SOURCE)], capture_output=True, text=True)
    if done.returncode != 0:
        raise TussisError(f"{COUNTER_SOURCE.name} does not compile: {last_line(done.stderr)}")


def last_line(text: str) -> str:
    """The last line that a program printed, at most 200 characters."""
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else "no message"
