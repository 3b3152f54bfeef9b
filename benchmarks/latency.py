"""The only place for the latency benchmark: the bundle's model and its peers in turns (tussis-benchmark latency)."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.contenders import DETECTOR, YAMNET, load_detectors, load_student_model, load_yamnet
from benchmarks.device import describe_device, load_average
from benchmarks.interleaved import (
    MIN_RUNS,
    WARM_UP_RUNS,
    Contender,
    Timing,
    check_runs,
    ratio_with_interval,
    summarize,
    time_interleaved,
)
from benchmarks.stages import stages
from core.bundle import load_bundle
from core.errors import exit_on_error
from core.files import check_writable, write_atomically
from core.interpreter import MAX_THREADS
from distill.provenance import source_commit

SCHEMA = "tussis.latency/1"
YAMNET_FILE = Path("../shared/models/yamnet.tflite")
PROTOCOL = (
    "one run of each model in turn; warm-up left out; a run is input copied, model invoked, all its outputs read; "
    "YAMNet's frames do not overlap; ratio of medians per second of audio, 95 % bootstrap interval over rounds; the "
    "detector that ratios are to is the fastest of its precisions"
)


def measure(contenders: list[Contender], threads: int, runs: int, seconds: float, console: Console) -> dict[str, Any]:
    """Time contenders in turns and describe all that the times depend on; ratios are to those peers that are there."""
    load_before = load_average()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("timing", total=runs)
        timings = time_interleaved(contenders, runs, seconds, lambda n: progress.update(task, completed=n))
    timed = list(zip(contenders, timings, strict=True))
    results = [summarize(contender, timing) for contender, timing in timed]
    for peer, key in ((YAMNET, "of_yamnet_per_audio_s"), (DETECTOR, "of_detector_per_audio_s")):
        for result, ratio in zip(results, ratios_to(peer, timed), strict=True):
            result[key] = ratio
    return {
        "schema": SCHEMA,
        "protocol": PROTOCOL,
        "device": describe_device(),
        "load_average": {"before": load_before, "after": load_average()},
        "runtime": f"ai-edge-litert {version('ai-edge-litert')}",
        "threads": threads,
        "warm_up_runs": 1 + WARM_UP_RUNS,
        "commit": source_commit(),
        "results": results,
    }


def ratios_to(peer: str, timed: list[tuple[Contender, Timing]]) -> list[dict[str, float] | None]:
    """Ratio of each to the fastest contender whose name begins with `peer`; None for these, or where there is none."""
    peers = [pair for pair in timed if pair[0].name.startswith(peer)]
    if not peers:
        return [None] * len(timed)
    fastest = min(peers, key=lambda pair: float(np.median(pair[1].runs_s)))
    return [None if any(pair is its for its in peers) else ratio_with_interval(pair, fastest) for pair in timed]


def gather(
    bundle: Path | None, models: list[Path], yamnet: Path, detector: bool, threads: int, console: Console
) -> list[Contender]:
    """Load the bundle's model, further models and the peers; one whose file is absent is left out with a sentence."""
    opened = load_bundle(bundle)
    contenders = [load_student_model(opened.model_path, threads, opened.name)]
    contenders += [load_student_model(path, threads, path.name) for path in models]
    if yamnet.exists():
        contenders.append(load_yamnet(yamnet, threads))
    else:
        console.print(f"YAMNet is left out: there is no file {yamnet}")
    return contenders + (load_detectors(threads) if detector else [])


def show(result: dict[str, Any], console: Console) -> None:
    """Print a result as a table for a person."""
    device = result["device"]
    table = Table(title=f"{result['threads']} thread(s), {result['results'][0]['n_runs']} runs in turns, milliseconds")
    for column in ("model", "load", "first", "p50", "p90", "p99", "p50 per s"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for its in result["results"]:
        times = [f"{its[key]:.2f}" for key in ("load_ms", "first_run_ms", "p50_ms", "p90_ms", "p99_ms")]
        table.add_row(f"{its['name']}, {its['audio_s']:g} s", *times, f"{its['p50_ms_per_audio_s']:.3f}")
    console.print(table)
    for peer, key in ((YAMNET, "of_yamnet_per_audio_s"), (f"the fastest {DETECTOR}", "of_detector_per_audio_s")):
        for its in result["results"]:
            if ratio := its[key]:
                interval = f"{ratio['low']:.3f} to {ratio['high']:.3f}"
                share = f"{ratio['value']:.3f} ({interval})"
                console.print(f"{its['name']} takes {share} of {peer}'s time per second of audio")
    for its in result["results"]:
        facts = f"{its['model_bytes'] / 1e6:.2f} MB, sha256 {its['model_sha256'][:12]}, {its['delegate']}"
        console.print(f"{its['name']}: {facts}")
    instructions = ", ".join(device["instructions"]) or "no telling instructions"
    load = result["load_average"]
    console.print(f"{device['cpu']} ({instructions}), {result['runtime']}, commit {result['commit']}")
    console.print(f"load average {load['before']} before and {load['after']} after, {device['n_cores']} cores")


app = typer.Typer(add_completion=False, help="Measure what the shipped model costs.")


@app.callback()
def benchmark() -> None:
    """Measure what the shipped model costs."""


@app.command()
def latency(
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the shipped one when left out.")] = None,
    model: Annotated[
        list[Path] | None, typer.Option(help="A further .tflite of the same signature; repeatable.")
    ] = None,
    float_model: Annotated[Path | None, typer.Option("--float", help="The float model, to stand beside.")] = None,
    yamnet: Annotated[
        Path, typer.Option(help="YAMNet as .tflite; left out with a sentence where absent.")
    ] = YAMNET_FILE,
    detector: Annotated[
        bool, typer.Option(help=f"Build {DETECTOR} with random weights in three precisions; takes half a minute.")
    ] = False,
    runs: Annotated[int, typer.Option(help=f"Runs of each model, at least {MIN_RUNS}.")] = MIN_RUNS,
    seconds: Annotated[float, typer.Option(min=0, help="Go on for at least this many seconds, for instance 60.")] = 0,
    threads: Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="Threads of each model.")] = 1,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
) -> None:
    """Time the bundle's model beside its peers, run by run in turns; milliseconds, percentiles, per second of audio.

    Example: tussis-benchmark latency --yamnet ../shared/models/yamnet.tflite --runs 200 --json latency.json
    """
    with exit_on_error("tussis-benchmark"):
        check_runs(runs)
        if json_path is not None:
            check_writable(json_path)
        console, notes = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
        models = [*(model or []), *([float_model] if float_model else [])]
        contenders = gather(bundle, models, yamnet, detector, threads, notes)
        result = measure(contenders, threads, runs, seconds, notes)
        if json_path is not None:
            write_atomically(json_path, json.dumps(result, indent=1, allow_nan=False) + "\n")
        show(result, console)


app.command()(stages)


def main() -> None:
    """Entry point of ``tussis-benchmark``."""
    app()


if __name__ == "__main__":
    main()
