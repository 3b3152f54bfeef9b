"""The only place that tells front end from body in time, and how near the body is to this machine's int8 peak."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.results.device import load_average
from benchmarks.results.names import MIN_RUNS, OURS, XNNPACK
from benchmarks.results.result import Result, Row, make_result
from benchmarks.results.row_log import RowLog
from benchmarks.timing.contenders import load_plain
from benchmarks.timing.interleaved import WARM_UP_RUNS, Contender, Timing, check_runs, time_interleaved
from benchmarks.timing.timed_rows import timed_row
from benchmarks.workstation.machine_peaks import FLOAT, INT8, PeakModel, count_macs, load_peak_models
from core.bundle import load_bundle
from core.clips import CLIP_S, CLIP_SAMPLES
from core.errors import exit_on_error
from core.files import check_writable
from core.interpreter import MAX_THREADS
from quantize.tflite_graph import read_model
from quantize.tflite_parts import BODY_AND_HEADS, FRONT_END, student_parts

KIND = "stages"
WHOLE, PEAK = "whole", "peak"
PROTOCOL = (
    "two runs of each in turn, the second timed, warm-up left out; front end and body: the same file cut at its "
    "features; medians; "
    "peak: the fastest of several large convolutions in the same runtime, by medians"
)


def measure(
    content: bytes, name: str, peaks: list[PeakModel], threads: int, runs: int, log: RowLog, console: Console
) -> Result:
    """Time the whole model, its two parts and the peak models in turns; rows are in `log` as soon as they are there."""
    parts = _parts(content)
    ours = [_load(stage, its, name, threads) for stage, its in parts.items()]
    load_before = load_average()
    contenders = [*ours, *(replace(peak.contender, audio_s=None, stage=PEAK) for peak in peaks)]
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("timing", total=runs)
        timings = time_interleaved(contenders, runs, on_round=lambda n: progress.update(task, completed=n))
    speeds = [peak_speed(peak, timing) for peak, timing in zip(peaks, timings[len(ours) :], strict=True)]
    best = {
        precision: max(
            its["gmacs_per_s"] for peak, its in zip(peaks, speeds, strict=True) if peak.precision == precision
        )
        for precision in (FLOAT, INT8)
    }
    macs = {stage: count_macs(its) for stage, its in parts.items()}
    metrics = [*stage_metrics(dict(zip(parts, timings, strict=False)), macs, best).values(), *speeds]
    for contender, timing, its in zip(contenders, timings, metrics, strict=True):
        log.append(timed_row(contender, timing, threads, load_before, its))
    facts = {"n_runs": runs, "warm_up_runs": 1 + WARM_UP_RUNS, "peak_gmacs_per_s": best}
    return make_result(KIND, PROTOCOL, log.rows, facts=facts)


def _parts(content: bytes) -> dict[str, bytes]:
    cut = student_parts(content, "the model")
    return {WHOLE: content, FRONT_END: cut[FRONT_END], BODY_AND_HEADS: cut[BODY_AND_HEADS]}


def _load(stage: str, content: bytes, name: str, threads: int) -> Contender:
    n_samples = None if stage == BODY_AND_HEADS else CLIP_SAMPLES
    return load_plain(content, name, threads, n_samples, XNNPACK, stage, CLIP_S, OURS)


def stage_metrics(
    timings: dict[str, Timing], macs: dict[str, int], best: dict[str, float]
) -> dict[str, dict[str, float]]:
    """Median time, share of the whole's time, multiply-accumulates and speed of each stage.

    The front end is compared with the float32 peak, the others with that of int8: the stem and the heads of a body
    compute in float32 and count too.
    """
    medians = {name: float(np.median(its.runs_s)) for name, its in timings.items()}
    rows = {}
    for name, median_s in medians.items():
        speed = macs[name] / median_s / 1e9
        rows[name] = {
            "p50_ms": 1000 * median_s,
            "min_ms": 1000 * float(timings[name].runs_s.min()),
            "share_of_time": median_s / medians[WHOLE],
            "macs": macs[name],
            "gmacs_per_s": speed,
            "share_of_peak": speed / best[FLOAT if name == FRONT_END else INT8],
        }
    return rows


def peak_speed(peak: PeakModel, timing: Timing) -> dict[str, float]:
    """Speed of a peak model by its median time."""
    return {"macs": peak.macs, "gmacs_per_s": peak.macs / float(np.median(timing.runs_s)) / 1e9}


def show(result: Result, console: Console) -> None:
    """Print a result as two tables for a person."""
    rows, facts = result["rows"], result["facts"]
    table = Table(title=f"{rows[0]['threads']} thread(s), {facts['n_runs']} runs in turns")
    for column in ("stage", "p50 ms", "of the time", "MMAC", "GMAC/s", "of the peak"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for row in _of_stage(rows, (WHOLE, FRONT_END, BODY_AND_HEADS)):
        its = row["metrics"]
        shares = f"{100 * its['share_of_time']:.0f} %", f"{100 * its['share_of_peak']:.0f} %"
        figures = f"{its['p50_ms']:.3f}", shares[0], f"{its['macs'] / 1e6:.1f}", f"{its['gmacs_per_s']:.1f}", shares[1]
        table.add_row(row["stage"], *figures)
    console.print(table)
    for row in _of_stage(rows, (PEAK,)):
        its = row["metrics"]
        console.print(f"{row['name']}: {its['p50_ms']:.2f} ms, {its['gmacs_per_s']:.1f} GMAC/s")
    peak, load = facts["peak_gmacs_per_s"], rows[0]["load_average"]
    console.print(
        f"best: float32 {peak[FLOAT]:.1f}, int8 {peak[INT8]:.1f} GMAC/s; the front end stands against the first, "
        "body and whole against the second"
    )
    console.print(f"{rows[0]['cpu']}, {rows[0]['runtime']}, commit {rows[0]['commit']}")
    console.print(f"load average {load['before']} before and {load['after']} after, {rows[0]['n_cores']} cores")


def _of_stage(rows: Sequence[Row], stages: tuple[str, ...]) -> list[Row]:
    return [row for row in rows if row["stage"] in stages]


def stages(
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the shipped one when left out.")] = None,
    model: Annotated[Path | None, typer.Option(help="A student's .tflite in place of a bundle's.")] = None,
    runs: Annotated[int, typer.Option(help=f"Runs of each, at least {MIN_RUNS}.")] = MIN_RUNS,
    threads: Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="Threads of each model.")] = 1,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
) -> None:
    """Time front end and body apart, and set the body beside the fastest int8 convolutions of this machine.

    Example: tussis-benchmark stages --json stages.json
    """
    with exit_on_error("tussis-benchmark"):
        check_runs(runs)
        if json_path is not None:
            check_writable(json_path)
        console, notes = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
        opened = load_bundle(bundle)
        content, name = (read_model(model), model.name) if model else (opened.read_model(), opened.name)
        with RowLog(json_path, KIND, PROTOCOL) as log:
            result = measure(content, name, load_peak_models(threads), threads, runs, log, notes)
            log.finish(result)
        show(result, console)
