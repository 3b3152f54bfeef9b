"""The only place that tells front end from body in time, and how near the body is to this machine's int8 peak."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.arm64_parts import BODY, FRONT_END, student_parts
from benchmarks.contenders import load_plain
from benchmarks.device import describe_device, load_average
from benchmarks.interleaved import MIN_RUNS, WARM_UP_RUNS, Timing, check_runs, time_interleaved
from benchmarks.peak import FLOAT, INT8, PeakModel, count_macs, load_peak_models
from core.bundle import load_bundle
from core.clips import CLIP_SAMPLES
from core.errors import exit_on_error
from core.files import check_writable, write_atomically
from core.interpreter import MAX_THREADS
from distill.provenance import source_commit
from quantize.operators import read_model

SCHEMA = "tussis.stages/1"
WHOLE = "whole"
PROTOCOL = (
    "one run of each in turn, warm-up left out; front end and body: the same file cut at its features; medians; "
    "peak: the fastest of several large convolutions in the same runtime, by medians"
)


def measure(content: bytes, peaks: list[PeakModel], threads: int, runs: int, console: Console) -> dict[str, Any]:
    """Time the whole model, its two parts and the peak models in turns, and describe all that the times depend on."""
    cut = student_parts(content, "the model")
    parts = {WHOLE: content, FRONT_END: cut[FRONT_END], BODY: cut[BODY]}
    ours = [load_plain(its, name, threads, None if name == BODY else CLIP_SAMPLES) for name, its in parts.items()]
    load_before = load_average()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("timing", total=runs)
        contenders = [*ours, *(peak.contender for peak in peaks)]
        timings = time_interleaved(contenders, runs, on_round=lambda n: progress.update(task, completed=n))
    speeds = [peak_speed(peak, timing) for peak, timing in zip(peaks, timings[len(ours) :], strict=True)]
    macs = {name: count_macs(its) for name, its in parts.items()}
    best = {
        precision: max(its["gmacs_per_s"] for its in speeds if its["precision"] == precision)
        for precision in (FLOAT, INT8)
    }
    return {
        "schema": SCHEMA,
        "protocol": PROTOCOL,
        "device": describe_device(),
        "load_average": {"before": load_before, "after": load_average()},
        "runtime": f"ai-edge-litert {version('ai-edge-litert')}",
        "threads": threads,
        "n_runs": runs,
        "warm_up_runs": 1 + WARM_UP_RUNS,
        "commit": source_commit(),
        "model_sha256": ours[0].facts["model_sha256"],
        "stages": stage_rows(dict(zip(parts, timings, strict=False)), macs, best),
        "peak_gmacs_per_s": best,
        "peaks": speeds,
    }


def stage_rows(timings: dict[str, Timing], macs: dict[str, int], best: dict[str, float]) -> dict[str, dict[str, float]]:
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


def peak_speed(peak: PeakModel, timing: Timing) -> dict[str, Any]:
    """Median time and speed of a peak model."""
    median_s = float(np.median(timing.runs_s))
    return {
        "name": peak.contender.name,
        "precision": peak.precision,
        "macs": peak.macs,
        "p50_ms": 1000 * median_s,
        "gmacs_per_s": peak.macs / median_s / 1e9,
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Print a result as two tables for a person."""
    table = Table(title=f"{result['threads']} thread(s), {result['n_runs']} runs in turns")
    for column in ("stage", "p50 ms", "of the time", "MMAC", "GMAC/s", "of the peak"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for name, its in result["stages"].items():
        shares = f"{100 * its['share_of_time']:.0f} %", f"{100 * its['share_of_peak']:.0f} %"
        figures = f"{its['p50_ms']:.3f}", shares[0], f"{its['macs'] / 1e6:.1f}", f"{its['gmacs_per_s']:.1f}", shares[1]
        table.add_row(name, *figures)
    console.print(table)
    for its in result["peaks"]:
        console.print(f"{its['name']}: {its['p50_ms']:.2f} ms, {its['gmacs_per_s']:.1f} GMAC/s")
    peak, load = result["peak_gmacs_per_s"], result["load_average"]
    console.print(
        f"best: float32 {peak[FLOAT]:.1f}, int8 {peak[INT8]:.1f} GMAC/s; the front end stands against the first, "
        "body and whole against the second"
    )
    console.print(f"{result['device']['cpu']}, {result['runtime']}, commit {result['commit']}")
    console.print(
        f"load average {load['before']} before and {load['after']} after, {result['device']['n_cores']} cores"
    )


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
        content = read_model(model or load_bundle(bundle).model_path)
        result = measure(content, load_peak_models(threads), threads, runs, notes)
        if json_path is not None:
            write_atomically(json_path, json.dumps(result, indent=1, allow_nan=False) + "\n")
        show(result, console)
