"""The only place that times the app's screening against the length of a recording, and tussis-screen against files."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results.device import load_average
from benchmarks.results.names import XNNPACK
from benchmarks.results.result import Row, describe_run, make_row, timing_metrics
from benchmarks.workstation.fresh_process import Start, start_process
from benchmarks.workstation.looped_sound import SAMPLE_BYTES, write_long_wav
from core.audio import SAMPLE_RATE_HZ
from core.bundle import Bundle
from core.errors import OutputError, SettingsError
from core.screener import Screener
from core.stopwatch import STAGES

LENGTHS_S = (1, 10, 60, 600, 3600, 14_400)
MIN_LENGTHS = 3
N_FILES = (1, 10, 100)
FILE_S = 10
WARM_UP_RUNS = 5
SLOWEST_RTF = 0.5  # a process that screens slower than this has hung
PATIENCE_S = 120.0
SPARE_BYTES = 50_000_000


@dataclass(frozen=True)
class Subject:
    """A bundle that is open, and where a new process finds it: None for the shipped one."""

    bundle: Bundle
    path: Path | None

    def start(self, files: list[Path], audio_s: float, bytecode: Path) -> Start:
        """Run ``tussis-screen`` on files in a fresh process."""
        arguments = [] if self.path is None else ["--bundle", str(self.path.resolve())]
        timeout_s = PATIENCE_S + SLOWEST_RTF * audio_s
        return start_process("command", *arguments, *map(str, files), bytecode=bytecode, timeout_s=timeout_s)


@dataclass(frozen=True)
class Line:
    """time = fixed_ms + ms_per_unit * n, and how far the time that lies furthest from it lies from it, as a part."""

    fixed_ms: float
    ms_per_unit: float
    largest_deviation: float
    largest_at: float


def fit_line(sizes: list[float], times_ms: list[float]) -> Line:
    """The line that is off by the least part of each time: by milliseconds alone only the largest would count."""
    n, times = np.array(sizes, np.float64), np.array(times_ms)
    terms = np.stack([np.ones_like(n), n], axis=1) / times[:, None]
    fixed_ms, ms_per_unit = np.linalg.lstsq(terms, np.ones_like(n), rcond=None)[0]
    off = np.abs((fixed_ms + ms_per_unit * n) / times - 1)
    worst = int(np.argmax(off))
    return Line(float(fixed_ms), float(ms_per_unit), float(off[worst]), float(n[worst]))


def lengths_up_to(longest_s: float) -> tuple[int, ...]:
    """Lengths to measure, seconds; SettingsError where there are too few for a line and its deviation."""
    lengths = tuple(its for its in LENGTHS_S if its <= longest_s)
    if len(lengths) < MIN_LENGTHS:
        raise SettingsError(f"--longest is {longest_s:g} s; a line needs at least {LENGTHS_S[MIN_LENGTHS - 1]} s.")
    return lengths


def write_recordings(folder: Path, lengths_s: tuple[int, ...]) -> dict[int, Path]:
    """Write a WAV of each length, by length; OutputError at once where the disk has no room for them."""
    wanted = sum(lengths_s) * SAMPLE_RATE_HZ * SAMPLE_BYTES + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < wanted:
        room = f"{free / 1e6:.0f} MB are free and {wanted / 1e6:.0f} MB are needed"
        raise OutputError(f"recordings cannot be written to {folder}: {room}; cut them with --longest.")
    return {length_s: write_long_wav(folder / f"{length_s}.wav", length_s) for length_s in lengths_s}


def repeats(length_s: float) -> int:
    """How often a recording is screened in a round: short ones more often, because they take less and vary more."""
    return max(1, round(30 / length_s**0.5))


def measure_lengths(
    subject: Subject, lengths_s: tuple[int, ...], rounds: int, on_step: Callable[[], None]
) -> Iterator[Row]:
    """Screen recordings of all lengths in turns, `rounds` times, then each once in a fresh process; a row a length."""
    load_before = load_average()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_recordings(Path(folder), lengths_s)
        screener = Screener(subject.bundle)
        for _ in range(WARM_UP_RUNS):
            screener.screen(paths[lengths_s[1]])
        timings_ms: dict[int, list[dict[str, float]]] = {length_s: [] for length_s in lengths_s}
        for _ in range(rounds):
            for length_s, path in paths.items():
                timings_ms[length_s] += [screener.screen(path).timing_ms for _ in range(repeats(length_s))]
                on_step()
        run = describe_run(1, XNNPACK, subject.bundle.read_model(), load_before=load_before)
        bytecode = Path(folder) / "bytecode"
        subject.start([paths[lengths_s[0]]], lengths_s[0], bytecode)  # compiles
        for length_s, path in paths.items():
            start = subject.start([path], length_s, bytecode)
            yield _length_row(subject.bundle.name, length_s, timings_ms[length_s], start, run)
            on_step()


def memory_metrics(start: Start) -> dict[str, float]:
    """Most bytes of the process, and of it before it opened a recording."""
    peak, before = start.stage("recordings")["peak_bytes"], start.stage("core")["peak_bytes"]
    return {"peak_bytes": peak, "before_bytes": before}


def _length_row(name: str, length_s: int, timings_ms: list[dict[str, float]], start: Start, run: dict[str, Any]) -> Row:
    totals_ms = [its["total"] for its in timings_ms]
    stages = {f"{stage}_ms": float(np.median([its[stage] for its in timings_ms])) for stage in STAGES}
    metrics = {**timing_metrics(totals_ms, length_s), **memory_metrics(start), **stages}
    return make_row(name, f"recording of {words_of(length_s)}", run, metrics, length_s, len(totals_ms), totals_ms)


def words_of(length_s: float) -> str:
    """A length in the unit that suits it: 10 s, 1 min, 4 h."""
    for unit_s, unit in ((3600, "h"), (60, "min")):
        if length_s >= unit_s:
            return f"{length_s / unit_s:g} {unit}"
    return f"{length_s:g} s"


def measure_batches(
    subject: Subject, counts: tuple[int, ...], rounds: int, on_step: Callable[[], None]
) -> Iterator[Row]:
    """Run ``tussis-screen`` on as many files at once, each time in a fresh process, in turns; a row a number."""
    load_before = load_average()
    with tempfile.TemporaryDirectory() as folder:
        bytecode, files = Path(folder) / "bytecode", [write_long_wav(Path(folder) / "0.wav", FILE_S)]
        files += [Path(shutil.copy(files[0], Path(folder) / f"{number}.wav")) for number in range(1, max(counts))]
        subject.start(files[:1], FILE_S, bytecode)
        starts: dict[int, list[Start]] = {count: [] for count in counts}
        for _ in range(rounds):
            for count in counts:
                starts[count].append(subject.start(files[:count], count * FILE_S, bytecode))
                on_step()
    run = describe_run(1, XNNPACK, subject.bundle.read_model(), load_before=load_before)
    for count in counts:
        yield _batch_row(subject.bundle.name, count, starts[count], run)


def _batch_row(name: str, count: int, starts: list[Start], run: dict[str, Any]) -> Row:
    samples_ms = [its.stage("recordings")["at_ms"] for its in starts]
    memory = [memory_metrics(its) for its in starts]
    median = {key: float(np.median([its[key] for its in memory])) for key in memory[0]}
    metrics = {**timing_metrics(samples_ms, count * FILE_S), **median, "n_files": count}
    stage = f"process for {count} {'file' if count == 1 else 'files'} of {FILE_S} s"
    return make_row(name, stage, run, metrics, count * FILE_S, len(samples_ms), samples_ms)
