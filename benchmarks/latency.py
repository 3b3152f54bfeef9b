"""The only place for the latency benchmark: the bundle's model beside YAMNet, in turns (tussis-benchmark latency)."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.contenders import load_student_model, load_yamnet
from benchmarks.device import describe_device, load_average
from benchmarks.interleaved import MIN_RUNS, WARM_UP_RUNS, Contender, ratio_with_interval, summarize, time_interleaved
from core.bundle import load_bundle
from core.errors import SettingsError, exit_on_error
from core.files import check_writable, write_atomically
from core.interpreter import MAX_THREADS
from distill.provenance import source_commit

SCHEMA = "tussis.latency/1"
YAMNET = Path("../shared/models/yamnet.tflite")
PROTOCOL = (
    "one run of each model in turn; warm-up left out; a run is input copied, model invoked, all its outputs read; "
    "YAMNet's frames do not overlap; ratio of medians per second of audio, 95 % bootstrap interval over rounds"
)


def measure(contenders: list[Contender], threads: int, runs: int, seconds: float, console: Console) -> dict[str, Any]:
    """Time contenders in turns and describe all that the times depend on; ratios are to YAMNet where it is there."""
    load_before = load_average()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("timing", total=runs)
        timings = time_interleaved(contenders, runs, seconds, lambda n: progress.update(task, completed=n))
    timed = list(zip(contenders, timings, strict=True))
    peers = [pair for pair in timed if pair[0].name == "YAMNet"]
    results = [summarize(contender, timing) for contender, timing in timed]
    for pair, result in zip(timed, results, strict=True):
        result["of_yamnet_per_audio_s"] = ratio_with_interval(pair, peers[0]) if peers and pair not in peers else None
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


def gather(bundle: Path | None, models: list[Path], yamnet: Path, threads: int, console: Console) -> list[Contender]:
    """Load the bundle's model, further models and YAMNet; a peer whose file is absent is left out with a sentence."""
    opened = load_bundle(bundle)
    contenders = [load_student_model(opened.model_path, threads, opened.name)]
    contenders += [load_student_model(path, threads, path.name) for path in models]
    if yamnet.exists():
        contenders.append(load_yamnet(yamnet, threads))
    else:
        console.print(f"YAMNet is left out: there is no file {yamnet}")
    return contenders


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
    for its in result["results"]:
        if ratio := its["of_yamnet_per_audio_s"]:
            interval = f"{ratio['low']:.3f} to {ratio['high']:.3f}"
            console.print(f"{its['name']} takes {ratio['value']:.3f} ({interval}) of YAMNet's time per second of audio")
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
    yamnet: Annotated[Path, typer.Option(help="YAMNet as .tflite; left out with a sentence where absent.")] = YAMNET,
    runs: Annotated[int, typer.Option(help=f"Runs of each model, at least {MIN_RUNS}.")] = MIN_RUNS,
    seconds: Annotated[float, typer.Option(min=0, help="Go on for at least this many seconds, for instance 60.")] = 0,
    threads: Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="Threads of each model.")] = 1,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
) -> None:
    """Time the bundle's model beside YAMNet, run by run in turns; milliseconds, percentiles, per second of audio.

    Example: tussis-benchmark latency --yamnet ../shared/models/yamnet.tflite --runs 200 --json latency.json
    """
    with exit_on_error("tussis-benchmark"):
        if runs < MIN_RUNS:
            raise SettingsError(f"--runs is {runs}; percentiles need at least {MIN_RUNS} runs")
        if json_path is not None:
            check_writable(json_path)
        console, notes = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
        models = [*(model or []), *([float_model] if float_model else [])]
        result = measure(gather(bundle, models, yamnet, threads, notes), threads, runs, seconds, notes)
        if json_path is not None:
            write_atomically(json_path, json.dumps(result, indent=1, allow_nan=False) + "\n")
        show(result, console)


def main() -> None:
    """Entry point of ``tussis-benchmark``."""
    app()


if __name__ == "__main__":
    main()
