"""Registers the commands of ``tussis-benchmark`` with their options; each imports its work when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.results.names import DATA_FOLDER, DETECTOR_NAME, MIN_RUNS, XNNPACK, YAMNET_FILE
from core.errors import exit_on_error
from core.files import refuse_same
from core.process.terminal import printable, say
from distill.command_line import run_app

BundleOption = Annotated[Path | None, typer.Option(help="Bundle, a folder or file; the shipped one when left out.")]
ModelOption = Annotated[Path | None, typer.Option(help="A .tflite of the same signature in place of a bundle.")]
ModelsOption = Annotated[list[Path] | None, typer.Option("--model", help="A further .tflite; repeatable.")]
YamnetOption = Annotated[Path, typer.Option(help="YAMNet as .tflite; left out with a sentence where absent.")]
RunsOption = Annotated[int, typer.Option(help=f"Runs of each, at least {MIN_RUNS}.")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="Threads of each model.")]
SeveralThreadsOption = Annotated[list[int] | None, typer.Option("--threads", min=1, help="Threads; repeatable.")]
DelegatesOption = Annotated[list[str] | None, typer.Option("--delegate", help="Who runs a model; repeatable.")]
ARM64_ROOT = Path("cache/arm64")
StoreOption = Annotated[Path | None, typer.Option(help="Waveform store, to monitor its validation recordings.")]
DataOption = Annotated[Path, typer.Option(help="Folder of packs; without any, synthesized sounds are monitored.")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")]

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def benchmark() -> None:
    """Measure what the shipped model costs."""


@app.command()
def latency(
    bundle: BundleOption = None,
    model: ModelsOption = None,
    yamnet: YamnetOption = YAMNET_FILE,
    detector: Annotated[bool, typer.Option(help=f"Build and time {DETECTOR_NAME}: half a minute.")] = False,
    peer: Annotated[list[Path] | None, typer.Option(help="A peer's .tflite or .onnx; repeatable.")] = None,
    peer_seconds: Annotated[float | None, typer.Option(min=0.01, help="Audio of a run, if an input hides it.")] = None,
    recording: Annotated[Path | None, typer.Option(help="Recording to screen; a demonstration when left out.")] = None,
    runs: RunsOption = MIN_RUNS,
    seconds: Annotated[float, typer.Option(min=0, help="Go on for at least this many seconds, for instance 60.")] = 0,
    threads: SeveralThreadsOption = None,
    delegate: DelegatesOption = None,
    json_path: JsonOption = None,
) -> None:
    """Time the app's screening, its stages, the model and peers, run by run in turns: percentiles in milliseconds.

    Delegates are xnnpack, which is the app's, and builtin, LiteRT's own kernels.
    Example: tussis-benchmark latency --threads 1 --threads 2 --json latency.json
    """
    from benchmarks.results.runner import run_benchmark
    from benchmarks.workstation.latency import LATENCY, Lineup, make_plan, measure_latency

    lineup = Lineup(bundle, tuple(model or []), yamnet, detector, tuple(peer or []), peer_seconds, recording)
    settings = threads, delegate, runs, seconds
    run_benchmark(LATENCY, json_path, lambda run: measure_latency(lineup, make_plan(*settings), run))


@app.command()
def operators(
    bundle: BundleOption = None,
    model: ModelOption = None,
    runs: RunsOption = MIN_RUNS,
    threads: ThreadsOption = 1,
    json_path: JsonOption = None,
) -> None:
    """Time each operator of a model, with its products, bytes and speed.

    Example: tussis-benchmark operators --model student_int8.tflite --json operators.json
    """
    from benchmarks.results.runner import run_benchmark
    from benchmarks.timing.models import choose_model
    from benchmarks.workstation.operators import OPERATORS, measure_operators

    run_benchmark(OPERATORS, json_path, lambda run: measure_operators(choose_model(bundle, model), threads, runs, run))


@app.command()
def roofline(
    bundle: BundleOption = None,
    model: ModelOption = None,
    runs: RunsOption = MIN_RUNS,
    threads: ThreadsOption = 1,
    json_path: JsonOption = None,
) -> None:
    """Set each operator beside the most that this machine could do; takes about a minute.

    Example: tussis-benchmark roofline --json roofline.json
    """
    from benchmarks.results.runner import run_benchmark
    from benchmarks.timing.models import choose_model
    from benchmarks.workstation.roofline import ROOFLINE, measure_roofline

    run_benchmark(ROOFLINE, json_path, lambda run: measure_roofline(choose_model(bundle, model), threads, runs, run))


@app.command()
def memory(
    bundle: BundleOption = None,
    model: ModelOption = None,
    starts: Annotated[int, typer.Option(help="Processes of each kind, at least 3.")] = 9,
    json_path: JsonOption = None,
) -> None:
    """Measure memory, imports and the time to the first result, in processes as on a phone.

    Example: tussis-benchmark memory --json memory.json
    """
    from benchmarks.results.runner import run_benchmark
    from benchmarks.workstation.memory import MEMORY, measure_memory

    run_benchmark(MEMORY, json_path, lambda run: measure_memory(bundle, model, starts, run))


@app.command()
def accuracy(
    bundle: BundleOption = None,
    model: ModelsOption = None,
    yamnet: YamnetOption = YAMNET_FILE,
    data: DataOption = DATA_FOLDER,
    pack: Annotated[str, typer.Option(help="Which pack.")] = "esc50_part",
    runs: RunsOption = MIN_RUNS,
    json_path: JsonOption = None,
) -> None:
    """Cough AUROC beside the time of a clip and the size of the file: the bundle, students by file, YAMNet.

    Example: tussis-benchmark accuracy --model float.tflite --model int8.tflite --json accuracy.json
    """
    from benchmarks.results.runner import run_benchmark
    from benchmarks.workstation.accuracy import ACCURACY, measure_accuracy

    models = tuple(model or [])
    run_benchmark(ACCURACY, json_path, lambda run: measure_accuracy(bundle, models, yamnet, data, pack, runs, run))


@app.command()
def monitoring(
    bundle: BundleOption = None,
    yamnet: YamnetOption = YAMNET_FILE,
    store: StoreOption = None,
    data: DataOption = DATA_FOLDER,
    minutes: Annotated[float, typer.Option(min=2, max=1440, help="How much sound is heard.")] = 60,
    pause_s: Annotated[float, typer.Option(min=0, max=3600, help="Mean pause between two sounds, seconds.")] = 10,
    composed: Annotated[int, typer.Option(min=1, help="Recordings with known coughs to find with and without.")] = 120,
    real_time: Annotated[bool, typer.Option("--real-time", help="As slowly as a microphone gives sound.")] = False,
    json_path: JsonOption = None,
) -> None:
    """Monitor an hour with and without the gate beside YAMNet, in turns: cost, drift, memory, heat, coughs lost.

    Example: tussis-benchmark monitoring --store cache/store --json monitoring.json
    """
    from benchmarks.results.runner import run_benchmark
    from benchmarks.workstation.monitoring import MONITORING, Hearing, measure_monitoring

    hearing = Hearing(store, data, minutes, pause_s, real_time)
    run_benchmark(MONITORING, json_path, lambda run: measure_monitoring(bundle, yamnet, hearing, composed, run))


@app.command()
def scale(
    bundle: BundleOption = None,
    longest: Annotated[float, typer.Option(help="Longest recording, seconds: 60 at least, 14400 is 4 h.")] = 14_400,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often each length is measured.")] = 3,
    json_path: JsonOption = None,
) -> None:
    """Screen recordings from 1 s to 4 h: time and memory.

    Example: tussis-benchmark scale --longest 3600 --json scale.json
    """
    from benchmarks.results.runner import run_benchmark
    from benchmarks.workstation.length import SCALE, measure_scale

    run_benchmark(SCALE, json_path, lambda run: measure_scale(bundle, longest, rounds, run))


@app.command()
def phone(
    benchmark_model: Annotated[Path | None, typer.Option(help="TFLite's program; else the installed app.")] = None,
    serial: Annotated[str | None, typer.Option(help="The phone, where adb sees several.")] = None,
    bundle: BundleOption = None,
    peer: Annotated[list[Path] | None, typer.Option(help="A .tflite to time in turns with it; repeatable.")] = None,
    threads: Annotated[list[int] | None, typer.Option(help="Threads; repeatable; 1, 2 and 4 when left out.")] = None,
    delegate: DelegatesOption = None,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="Rounds, in turns over settings and models.")] = 5,
    runs: Annotated[int, typer.Option(min=1, max=10_000, help="Runs of a model in a round.")] = 50,
    big_cores: Annotated[bool, typer.Option(help="Keep to the cores that are not the slowest ones.")] = False,
    operators: Annotated[bool, typer.Option(help="One profiled round more: time of each operator.")] = False,
    json_path: JsonOption = None,
) -> None:
    """Time the bundle's model, and peers in turns with it, on a phone that is connected by USB; milliseconds.

    Delegates are xnnpack, which is taken when none is named, builtin, gpu and nnapi.
    Example: tussis-benchmark phone --benchmark-model android_aarch64_benchmark_model --big-cores --json phone.json
    """
    from benchmarks.phone.measure import PHONE, PhonePlan, measure_phone, refuse_failures
    from benchmarks.results.runner import run_benchmark

    plan = PhonePlan(
        serial=serial,
        bundle=bundle,
        peers=peer or [],
        tool=benchmark_model,
        threads=threads or [1, 2, 4],
        delegates=delegate or [XNNPACK],
        rounds=rounds,
        runs=runs,
        big_cores=big_cores,
        operators=operators,
    )
    refuse_failures(run_benchmark(PHONE, json_path, lambda run: measure_phone(plan, run)))


@app.command()
def arm64(
    bundle: BundleOption = None,
    float_model: Annotated[Path | None, typer.Option("--float", help="The float student, to stand beside.")] = None,
    yamnet: YamnetOption = YAMNET_FILE,
    root: Annotated[Path, typer.Option(help="Folder for the ARM64 system, about 75 MB.")] = ARM64_ROOT,
    json_path: JsonOption = None,
) -> None:
    """Compare the model on x86 and on an emulated Cortex-A76 and A53, and count instructions.

    Tells so and exits with 0 where the emulator or its packages cannot be had; with 2 where the processors disagree.
    Example: tussis-benchmark arm64 --float runs/shipped/student_float.tflite --json runs/arm64.json
    """
    from benchmarks.arm64.check import ARM64, check_processors, refuse_disagreement
    from benchmarks.results.runner import run_benchmark

    models = bundle, float_model, yamnet
    refuse_disagreement(run_benchmark(ARM64, json_path, lambda run: check_processors(*models, root, run)))


@app.command(name="all")
def measure_all(
    out: Annotated[Path, typer.Option(help="Folder for the results and the report; results that are there stay.")],
    model: ModelsOption = None,
    yamnet: YamnetOption = YAMNET_FILE,
    store: StoreOption = None,
    data: DataOption = DATA_FOLDER,
) -> None:
    """Run every benchmark of this machine and make the report: half an hour, on a machine with nothing else to do.

    Example: tussis-benchmark all --out runs/benchmark
    """
    from benchmarks.suite import benchmarks_of, run_suite

    with exit_on_error("tussis-benchmark"):
        n_results = run_suite(benchmarks_of(model or [], yamnet, store, data), out)
        say(printable(f"{out}/report.html and {out}/report.md hold {n_results} result(s)"))


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Result to compare with, JSON.")],
    second: Annotated[Path, typer.Argument(help="Result that is faster or slower, JSON.")],
    fail_above: Annotated[float | None, typer.Option(min=1, help="Exit with 1 where a row is slower by more.")] = None,
    margin: Annotated[float | None, typer.Option(min=0, max=1, help="Noise; 0.05 beside a peer, else 0.1.")] = None,
    force: Annotated[bool, typer.Option(help="Compare results of different machines or runtimes too.")] = False,
    json_path: JsonOption = None,
) -> None:
    """Say row by row whether the second result is faster, slower, or whether that cannot be told.

    Example: tussis-benchmark compare main.json branch.json --fail-above 1.05
    """
    from benchmarks.results.compare import COMPARISON, compare_files, too_slow
    from benchmarks.results.runner import run_benchmark

    with exit_on_error("tussis-benchmark"):
        refuse_same(json_path or "-", [first, second], "one of the results that are compared")
    result = run_benchmark(COMPARISON, json_path, lambda run: compare_files(first, second, margin, force, run))
    if fail_above is not None and (slow := too_slow(result["comparisons"], fail_above)):
        typer.echo(f"{len(slow)} row(s) are slower by more than {fail_above:g}.", err=True)
        raise typer.Exit(1)


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(help="Results, JSON; one of a run that ended early is taken too.")],
    out: Annotated[Path, typer.Option(help="Folder for report.md and report.html; made where there is none.")],
) -> None:
    """Show results of any kind: tables in Markdown and plots as SVG, and one HTML page that needs nothing beside it.

    Example: tussis-benchmark report latency.json roofline.json --out report
    """
    from benchmarks.results.report import write_report

    with exit_on_error("tussis-benchmark"):
        n_results = write_report(results, out)
        say(printable(f"{out}/report.html and {out}/report.md hold {n_results} result(s)"))


def main() -> None:
    """Entry point of ``tussis-benchmark``."""
    run_app(app)


if __name__ == "__main__":
    main()
