"""The only place that keeps an ARM64 Debian folder and runs this repository's modules in it, emulated and counted."""

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.arm64.packages import (
    EMULATOR,
    EMULATOR_PACKAGE,
    GUEST,
    GUEST_PACKAGES,
    HOST,
    REPORT_FILE,
    SITE,
    WHEELS,
    EmulationError,
    Preparation,
    check_this_machine,
    guest_python,
    last_line,
)
from core.errors import OutputError, TussisError

REPOSITORY = Path(__file__).resolve().parents[2]
COUNTER_SOURCE = Path(__file__).with_name("instruction_counter.c")
COUNTER, MARKS = "instruction_counter.so", "marks.txt"
KEY = hashlib.sha256(repr((WHEELS, GUEST_PACKAGES, EMULATOR_PACKAGE)).encode()).hexdigest()[:16]
RUN_LIMIT_S = 1800


@dataclass(frozen=True)
class Arm64Root:
    """A prepared folder, as `Preparation` leaves it."""

    folder: Path

    @property
    def emulator(self) -> str:
        """The unpacked emulator, or else the system's; empty where there is neither."""
        unpacked = self.folder / HOST / "usr/bin" / EMULATOR
        return str(unpacked) if unpacked.exists() else shutil.which(EMULATOR) or ""

    def report(self) -> dict[str, Any] | None:
        """What preparing fetched; None where the folder is not ready or of other packages."""
        try:
            report = json.loads((self.folder / REPORT_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return report if isinstance(report, dict) and report.get("key") == KEY and self.emulator else None

    def emulator_version(self) -> str:
        """The emulator's own words, for instance "qemu-aarch64 version 7.2.22"."""
        said = subprocess.run([self.emulator, "--version"], env=self._environment(), capture_output=True, text=True)
        return said.stdout.partition("\n")[0]

    def run(self, arguments: Sequence[str], cpu: str, folder: Path) -> str:
        """Run the guest's Python on an emulated processor; return the marks of the instruction counter.

        Parameters
        ----------
        arguments : sequence of str
            Of Python, for instance ``-m``, a module of this repository, and the module's own.
        cpu : str
            A name of QEMU's, for instance cortex-a76. Always given: the default processor gives wrong int8 results.
        folder : Path
            Where it runs; the counter is compiled there.

        Raises
        ------
        TussisError
            If the program fails or takes longer than half an hour.
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

    Nothing is fetched where it is ready.

    Raises
    ------
    EmulationError
        If this is no x86-64 Debian, the packages cannot be had, or the emulator takes no plugin of this kind.
    OutputError
        If the folder cannot be written, for instance to a full disk.
    """
    root = Arm64Root(folder.resolve())
    check_this_machine()
    try:
        if root.report() is None:
            _make_folder(root.folder, say)
    except OSError as reason:
        raise OutputError(f"{folder} cannot be written: {reason.strerror}.") from reason
    with tempfile.TemporaryDirectory(dir=root.folder) as trial:
        try:
            root.run(["-c", ""], cpu, Path(trial))
        except TussisError as reason:
            raise EmulationError(str(reason)) from reason
    return root


def _make_folder(folder: Path, say: Callable[[str], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".arm64-") as unfinished:
        Preparation(Path(unfinished), say).run(KEY)
        shutil.rmtree(folder, ignore_errors=True)
        Path(unfinished).rename(folder)


def compile_counter(out: Path) -> None:
    """Compile instruction_counter.c; TussisError where the compiler refuses."""
    flags = ("-O2", "-Wall", "-Werror", "-fvisibility=hidden", "-shared", "-fPIC")
    done = subprocess.run(["cc", *flags, "-o", str(out), str(COUNTER_SOURCE)], capture_output=True, text=True)
    if done.returncode != 0:
        raise TussisError(f"{COUNTER_SOURCE.name} does not compile: {last_line(done.stderr)}")
