"""Measures time and memory of a screening against the length of the recording."""

import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results.device import load_average
from benchmarks.results.names import XNNPACK
from benchmarks.results.result import Kind, Result, Row, describe_run, make_row
from benchmarks.results.runner import Run
from benchmarks.workstation.fresh_process import Start, start_process
from benchmarks.workstation.long_sound import SAMPLE_BYTES, write_long_wav
from core.audio import SAMPLE_RATE_HZ
from core.bundle import load_bundle
from core.errors import OutputError, SettingsError
from core.screener import Screener
from core.stopwatch import STAGES, timing_metrics

LENGTHS_S = (1, 10, 60, 600, 3600, 14_400)
MIN_LENGTHS = 3
FULL_S = 60  # a shorter recording does not fill all the blocks that are held of a longer one
WARM_UP_RUNS = 5
SLOWEST_RTF = 0.5  # a process that screens slower than this has hung
PATIENCE_S = 120.0
SPARE_BYTES = 50_000_000
SCALE = Kind(
    "scale",
    "the app's screening of a WAV at 16 kHz on disk, from the file to the result, all lengths in turns, short ones "
    "several times a round; memory: the most that tussis-screen took in a fresh process; the line is fitted to medians "
    "by relative error",
    columns=("p50_ms", "max_ms", "rtf", "peak_bytes", "before_bytes", *(f"{stage}_ms" for stage in STAGES)),
)


@dataclass(frozen=True)
class Line:
    """time = fixed_ms + ms_per_unit * n, and how far the time that lies furthest from it lies from it, as a part."""

    fixed_ms: float
    ms_per_unit: float
    largest_deviation: float
    largest_at: float


def measure_scale(bundle: Path | None, longest_s: float, rounds: int, run: Run) -> Result:
    """Screen recordings of all lengths in turns, `rounds` times, then each once in a fresh process; a row a length."""
    lengths_s, opened, load_before = lengths_up_to(longest_s), load_bundle(bundle), load_average()
    n_steps = (rounds + 1) * len(lengths_s)
    with tempfile.TemporaryDirectory() as folder, run.progress("screening", n_steps) as step:
        paths = write_recordings(Path(folder), lengths_s)
        screener = Screener(opened)
        for _ in range(WARM_UP_RUNS):
            screener.screen(paths[lengths_s[1]])
        timings_ms: dict[int, list[dict[str, float]]] = {length_s: [] for length_s in lengths_s}
        for _ in range(rounds):
            for length_s, path in paths.items():
                timings_ms[length_s] += [screener.screen(path).timing_ms for _ in range(repeats(length_s))]
                step()
        provenance = describe_run(1, XNNPACK, opened.read_model(), load_before=load_before)
        bytecode = Path(folder) / "bytecode"
        start_screening(bundle, paths[lengths_s[0]], lengths_s[0], bytecode)  # compiles
        for length_s, path in paths.items():
            start = start_screening(bundle, path, length_s, bytecode)
            run.append(_length_row(opened.name, length_s, timings_ms[length_s], start, provenance))
            step()
    return run.result(facts=scale_facts(run.rows))


def lengths_up_to(longest_s: float) -> tuple[int, ...]:
    """Lengths to measure, seconds; SettingsError where there are too few for a line and its deviation."""
    lengths = tuple(length_s for length_s in LENGTHS_S if length_s <= longest_s)
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


def start_screening(bundle: Path | None, recording: Path, audio_s: float, bytecode: Path) -> Start:
    """Run ``tussis-screen`` on a recording in a fresh process; `bundle` is None for the shipped one."""
    arguments = [] if bundle is None else ["--bundle", str(bundle.resolve())]
    timeout_s = PATIENCE_S + SLOWEST_RTF * audio_s
    return start_process("command", *arguments, str(recording), bytecode=bytecode, timeout_s=timeout_s)


def memory_metrics(start: Start) -> dict[str, float]:
    """Most bytes of the process, and of it before it opened a recording."""
    peak, before = start.stage("recordings")["peak_bytes"], start.stage("core")["peak_bytes"]
    return {"peak_bytes": peak, "before_bytes": before}


def _length_row(name: str, length_s: int, timings_ms: list[dict[str, float]], start: Start, run: dict[str, Any]) -> Row:
    totals_ms = [timing_ms["total"] for timing_ms in timings_ms]
    stages = {f"{stage}_ms": float(np.median([timing_ms[stage] for timing_ms in timings_ms])) for stage in STAGES}
    metrics = {**timing_metrics(totals_ms, length_s), **memory_metrics(start), **stages}
    return make_row(name, f"recording of {words_of(length_s)}", run, metrics, length_s, len(totals_ms), totals_ms)


def words_of(length_s: float) -> str:
    """A length in the unit that suits it: 10 s, 1 min, 4 h."""
    for unit_s, unit in ((3600, "h"), (60, "min")):
        if length_s >= unit_s:
            return f"{length_s / unit_s:g} {unit}"
    return f"{length_s:g} s"


def scale_facts(rows: list[Row]) -> dict[str, Any]:
    """The line through times over lengths, and how far memory is from flat."""
    line = fit_line([row["audio_s"] for row in rows], [row["metrics"]["p50_ms"] for row in rows])
    peaks = [row["metrics"]["peak_bytes"] for row in rows if row["audio_s"] >= FULL_S]
    flat = {"minute_peak_bytes": peaks[0], "most_peak_bytes": max(peaks), "most_over_minute": max(peaks) / peaks[0]}
    return {"line_over_audio_s": asdict(line), "memory": flat}


def fit_line(sizes: list[float], times_ms: list[float]) -> Line:
    """The line that is off by the least part of each time: by milliseconds alone only the largest would count."""
    n, times = np.array(sizes, np.float64), np.array(times_ms)
    terms = np.stack([np.ones_like(n), n], axis=1) / times[:, None]
    fixed_ms, ms_per_unit = np.linalg.lstsq(terms, np.ones_like(n), rcond=None)[0]
    off = np.abs((fixed_ms + ms_per_unit * n) / times - 1)
    worst = int(np.argmax(off))
    return Line(float(fixed_ms), float(ms_per_unit), float(off[worst]), float(n[worst]))
