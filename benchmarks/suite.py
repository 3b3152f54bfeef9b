"""Runs every benchmark of this machine, each in a process of its own, and makes the report of all results."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results.report import write_report
from core.errors import TussisError
from core.files import make_folder
from core.process.terminal import printable, say


def benchmarks_of(models: Sequence[Path], yamnet: Path, store: Path | None, data: Path) -> dict[str, list[str]]:
    """The command and options of each benchmark, by the name of its result."""
    beside = [option for model in models for option in ("--model", str(model))]
    peer = ["--yamnet", str(yamnet)]
    threads = ["--threads", "1", "--threads", "2", "--threads", "4"]
    mlperf = ["--runs", "1024", "--seconds", "60"]  # as MLPerf Mobile's single stream, which is judged by p90
    return {
        "latency": ["latency", *beside, *peer, "--detector", *threads, *mlperf],
        "delegates": ["latency", *peer, "--delegate", "xnnpack", "--delegate", "builtin"],
        "monitoring": ["monitoring", *peer, "--data", str(data), *(["--store", str(store)] if store else [])],
        "operators": ["operators"],
        "roofline": ["roofline"],
        "memory": ["memory"],
        "accuracy": ["accuracy", *beside, *peer, "--data", str(data)],
        "scale": ["scale"],
    }


def run_suite(benchmarks: dict[str, list[str]], out: Path) -> int:
    """Measure what has no result in the folder `out` yet, and report on all that are there; the number of results.

    TussisError is raised at the end if a benchmark failed; the others are in the report.
    """
    failed = []
    make_folder(out)
    for name, command in benchmarks.items():
        path = out / f"{name}.json"
        if path.exists():
            continue
        say(printable(f"tussis-benchmark {' '.join(command)} --json {path}"))
        ended = subprocess.run([sys.executable, "-m", "benchmarks.command", *command, "--json", path], check=False)
        failed += [name] if ended.returncode else []
    measured = [out / f"{name}.json" for name in benchmarks if (out / f"{name}.json").exists()]
    others = sorted(set(out.glob("*.json")) - set(measured))
    n_results = write_report([*measured, *others], out) if measured or others else 0
    if failed:
        raise TussisError(f"{', '.join(failed)} failed; the report holds the others, and the next call measures these.")
    return n_results
