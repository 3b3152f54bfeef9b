"""Starts new processes to measure them: one that runs as on a phone, and one that times its imports."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DataError

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120
IMPORTS = "import core.screener, ai_edge_litert.interpreter"
_IMPORT_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|( +)(\S+)")


@dataclass(frozen=True)
class Start:
    """One process from its start: its stages in order, and the packages that were imported."""

    stages: list[dict[str, Any]]
    packages: list[str]

    def stage(self, name: str) -> dict[str, Any]:
        """The stage of a name."""
        return next(stage for stage in self.stages if stage["stage"] == name)

    def added_bytes(self, name: str) -> int:
        """What a stage added to the resident memory."""
        place = self.stages.index(self.stage(name))
        return self.stages[place]["resident_bytes"] - self.stages[place - 1]["resident_bytes"]


@dataclass(frozen=True)
class ImportedModule:
    """A module's import in milliseconds: by itself, and with what it imported."""

    name: str
    self_ms: float
    cumulative_ms: float

    @property
    def package(self) -> str:
        """The package that it counts for."""
        top = self.name.partition(".")[0]
        return "python" if top in sys.stdlib_module_names or top.startswith("_") else top


def start_process(work: str, *arguments: str, bytecode: Path, timeout_s: float | None = None) -> Start:
    """Start a process of `started_process`; DataError where it ends with an error, or not in time.

    `bytecode` is a folder for compiled modules: an installed program has them, whatever this process was told of them.
    """
    command = [sys.executable, "-m", "benchmarks.workstation.started_process", work, repr(time.monotonic()), *arguments]
    report = json.loads(_run(command, bytecode, timeout_s or TIMEOUT_S).stdout.splitlines()[-1])
    return Start(report["stages"], report["packages"])


def _run(command: list[str], bytecode: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode)
    options: dict[str, Any] = {"cwd": ROOT, "env": environment, "timeout": timeout_s}
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    except (OSError, subprocess.TimeoutExpired) as reason:
        raise DataError(f"a process that was to be measured did not end within {timeout_s:g} s.") from reason
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise DataError(f"a process that was to be measured ended with status {result.returncode}: {last[:160]}")
    return result


def measure_imports(starts: int, bytecode: Path, on_start: Callable[[], None] = lambda: None) -> list[ImportedModule]:
    """Import times of every module that a screening needs, medians over `starts` processes, the slowest first.

    One process more goes before, which compiles what `bytecode` lacks.
    """
    command = [sys.executable, "-X", "importtime", "-c", IMPORTS]
    _run(command, bytecode, TIMEOUT_S)
    runs: list[dict[str, tuple[float, float]]] = []
    for _ in range(starts):
        runs.append(parse_imports(_run(command, bytecode, TIMEOUT_S).stderr))
        on_start()
    medians = {name: np.median([run[name] for run in runs if name in run], axis=0) for name in runs[0]}
    modules = [ImportedModule(name, *map(float, values_ms)) for name, values_ms in medians.items()]
    return sorted(modules, key=lambda module: -module.self_ms)


def parse_imports(text: str) -> dict[str, tuple[float, float]]:
    """Milliseconds of each module, by itself and with what it imported, as ``-X importtime`` writes them."""
    times = {match[4]: (int(match[1]) / 1000, int(match[2]) / 1000) for match in _IMPORT_LINE.finditer(text)}
    if not times:
        raise DataError("python -X importtime wrote no import times.")
    return times
