"""The only place for the flow of tussis-benchmark phone: choose, describe, push, measure in turns, keep, clean up."""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.phone.adb import Phone, PhoneError, PhoneLostError, choose_phone
from benchmarks.phone.app import open_app
from benchmarks.phone.benchmark_model import BenchmarkModelRunner, place_tool
from benchmarks.phone.device import PhoneDescription, describe_phone, remove_folder
from benchmarks.phone.models import (
    DELEGATES,
    NNAPI,
    NNAPI_FIRST_SDK,
    ON_PROCESSOR,
    XNNPACK,
    PhoneModel,
    Runner,
    Setting,
    load_models,
)
from benchmarks.phone.profile import FormatError
from benchmarks.phone.rounds import measure_in_turns, merge_rounds, operator_rows, ratios, turns
from benchmarks.results.names import MIN_RUNS
from benchmarks.results.result import Result, Row, make_result
from benchmarks.results.row_log import RowLog
from core.errors import SettingsError, exit_on_error
from core.files import check_writable
from core.interpreter import MAX_THREADS

KIND = "phone"
FOLDER = "/data/local/tmp"  # where adb may write and run programs on every Android
DEFAULT_THREADS = (1, 2, 4)
PROTOCOL = (
    "rounds in turns: in each, every setting, and in that every model, the first one changing; a round is a process "
    "of its own with 5 warm-up runs; numbers are medians over the rounds, min and max over all runs; benchmark_model "
    "gives random input and times the invocation, the app times input copied, model invoked and outputs read; "
    "delegates other than the processor's run with the first number of threads only; ratios are of the rounds' "
    "medians, or means where the tool tells no median, per second of audio, with a 95 % bootstrap interval over rounds"
)


@dataclass(frozen=True)
class PhonePlan:
    """What the command was asked to do; ``tool`` is benchmark_model's file, None for the installed app."""

    serial: str | None
    bundle: Path | None
    peers: list[Path]
    tool: Path | None
    threads: list[int]
    delegates: list[str]
    rounds: int
    runs: int
    big_cores: bool
    operators: bool


def benchmark_phone(plan: PhonePlan, log: RowLog, notes: Console) -> Result:
    """Measure on a telephone; every finished round is in `log` at once, and the result has one row per setting.

    Raises
    ------
    PhoneError
        If the telephone cannot be used or is lost, or no model ran on it.
    """
    check_plan(plan)
    models = load_models(plan.bundle, plan.peers)
    phone = choose_phone(plan.serial)
    description = describe_phone(phone)
    settings = choose_settings(plan, description)
    failures: dict[tuple[str, Setting], str] = {}
    with lent_folder(phone) as folder, placed_runner(plan, phone, description, folder, models) as runner:
        keep_rounds(plan, phone, description, runner, models, settings, failures, log, notes)
        rows = merge_rounds(log.rows)
        operators = profile(plan, runner, models, rows, failures)
    if not rows:
        raise PhoneError(f"nothing ran on this phone; the first reason: {next(iter(failures.values()))}")
    return make_result(KIND, PROTOCOL, [*rows, *operators], ratios(rows), facts=result_facts(description, failures))


def check_plan(plan: PhonePlan) -> None:
    """Refuse a plan that cannot be measured, before a telephone is touched."""
    if plan.tool is not None and not plan.tool.is_file():
        raise SettingsError(f"--benchmark-model is {plan.tool}, and there is no such file.")
    if plan.rounds * plan.runs < MIN_RUNS:
        total = plan.rounds * plan.runs
        raise SettingsError(
            f"--rounds {plan.rounds} of --runs {plan.runs} are {total} runs; percentiles need at least {MIN_RUNS}."
        )
    if unknown := [its for its in plan.delegates if its not in DELEGATES]:
        raise SettingsError(f"--delegate is {unknown[0]!r}; expected one of {', '.join(DELEGATES)}.")
    if wrong := [its for its in plan.threads if not 1 <= its <= MAX_THREADS]:
        raise SettingsError(f"--threads is {wrong[0]}; expected 1 to {MAX_THREADS}.")
    if plan.operators and plan.tool is None:
        raise SettingsError("--operators needs --benchmark-model: the app tells no times of operators.")
    if plan.big_cores and plan.tool is None:
        raise SettingsError("--big-cores needs --benchmark-model: Android chooses the cores of an app.")


def choose_settings(plan: PhonePlan, description: PhoneDescription) -> list[Setting]:
    """Every delegate with every number of threads; one that leaves the processor, with the first number only."""
    if NNAPI in plan.delegates and 0 < description.sdk < NNAPI_FIRST_SDK:
        raise PhoneError(
            f"{description.model} has Android's SDK {description.sdk}, and NNAPI needs {NNAPI_FIRST_SDK}; leave out "
            f"--delegate {NNAPI}."
        )
    threads = list(dict.fromkeys(plan.threads))
    return [
        Setting(n, delegate)
        for delegate in dict.fromkeys(plan.delegates)
        for n in (threads if delegate in ON_PROCESSOR else threads[:1])
    ]


@contextlib.contextmanager
def lent_folder(phone: Phone) -> Iterator[str]:
    """A new folder on the telephone, removed with all that was pushed, if the telephone is still there."""
    folder = f"{FOLDER}/tussis-{secrets.token_hex(6)}"
    phone.read(["mkdir", folder])
    try:
        yield folder
    except BaseException:
        with contextlib.suppress(PhoneError):
            remove_folder(phone, folder)
        raise
    remove_folder(phone, folder)


@contextlib.contextmanager
def placed_runner(
    plan: PhonePlan, phone: Phone, description: PhoneDescription, folder: str, models: list[PhoneModel]
) -> Iterator[Runner]:
    """The runner with all models at its hand; what it left elsewhere than in the folder is removed after."""
    if plan.tool is None:
        runner: Runner = open_app(phone, folder, plan.runs)
    else:
        cores = description.big_cores() if plan.big_cores else ()
        if plan.big_cores and not cores:
            raise PhoneError(f"{description.model} does not tell the clocks of its cores; leave out --big-cores.")
        runner = place_tool(phone, folder, plan.tool, plan.runs, cores)
    try:
        for model in models:
            runner.place(model)
        yield runner
    finally:
        with contextlib.suppress(PhoneError):
            runner.clean()


def keep_rounds(
    plan: PhonePlan,
    phone: Phone,
    description: PhoneDescription,
    runner: Runner,
    models: list[PhoneModel],
    settings: list[Setting],
    failures: dict[tuple[str, Setting], str],
    log: RowLog,
    notes: Console,
) -> None:
    """Measure all rounds, each on disk before the next one begins."""
    todo = turns(models, settings, plan.rounds)
    with Progress(console=notes, transient=True, disable=not notes.is_terminal) as progress:
        task = progress.add_task(f"timing on {description.model}", total=len(todo))
        for row in measure_in_turns(phone, description, runner, todo, failures, lambda: progress.advance(task)):
            log.append(row)


def profile(
    plan: PhonePlan, runner: Runner, models: list[PhoneModel], rows: list[Row], failures: dict[tuple[str, Setting], str]
) -> list[Row]:
    """Rows of the operators, of a profiled round of each setting after all others; none unless asked for."""
    if not plan.operators or not isinstance(runner, BenchmarkModelRunner):
        return []
    by_name, found = {model.name: model for model in models}, []
    for row in rows:
        setting = Setting(row["threads"], row["delegate"])
        try:
            found += operator_rows(row, runner.measure_operators(by_name[row["name"]], setting))
        except (PhoneError, FormatError) as error:
            if isinstance(error, PhoneLostError):
                raise
            failures[f"operators of {row['name']}", setting] = str(error)
    return found


def result_facts(description: PhoneDescription, failures: dict[tuple[str, Setting], str]) -> dict[str, Any]:
    """Cores and clocks of the telephone, and what did not run on it."""
    cores = [{"core": core.index, "max_khz": core.max_khz, "governor": core.governor} for core in description.cores]
    failed = [
        {"name": name, "delegate": setting.delegate, "threads": setting.threads, "reason": reason}
        for (name, setting), reason in failures.items()
    ]
    return {"cores": cores, "big_cores": list(description.big_cores()), "failures": failed}


def show(result: Result, console: Console) -> None:
    """Print a result as a table for a person."""
    rows = [row for row in result["rows"] if not row["facts"].get("profiled")]
    columns = ("load_ms", "first_run_ms", "p50_ms", "mean_ms", "p95_ms", "max_ms")
    table = Table(title=f"{rows[0]['device']}, {rows[0]['cpu']}, {rows[0]['os']}; milliseconds")
    for name in ("model", "delegate", "threads", *(column.removesuffix("_ms") for column in columns), "Celsius"):
        table.add_column(name, justify="left" if name in ("model", "delegate") else "right")
    for row in rows:
        times = [f"{row['metrics'][key]:.2f}" if key in row["metrics"] else "-" for key in columns]
        heat = "-" if row["temperature_c"] is None else f"{row['temperature_c']:.1f}"
        table.add_row(row["name"], row["delegate"], str(row["threads"]), *times, heat)
    console.print(table)
    for its in result.get("ratios", ()):
        interval = "" if its["low"] is None else f" ({its['low']:.3f} to {its['high']:.3f})"
        setting = f"{its['delegate']}, {its['threads']} thread(s)"
        console.print(
            f"{its['name']} takes {its['value']:.3f}{interval} of {its['to']}'s time per second of audio, {setting}"
        )
    for its in result["facts"]["failures"]:
        console.print(f"not run: {its['name']}, {its['delegate']}, {its['threads']} thread(s): {its['reason']}")


def phone(
    benchmark_model: Annotated[
        Path | None,
        typer.Option(help="TFLite's program benchmark_model for this phone; the installed app where left out."),
    ] = None,
    serial: Annotated[str | None, typer.Option(help="The phone, where adb sees several.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder or file; the shipped one when left out.")] = None,
    peer: Annotated[list[Path] | None, typer.Option(help="A .tflite to time in turns with it; repeatable.")] = None,
    threads: Annotated[list[int] | None, typer.Option(help="Threads; repeatable; 1, 2 and 4 when left out.")] = None,
    delegate: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(DELEGATES)}; repeatable; {XNNPACK} when left out.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="Rounds, in turns over settings and models.")] = 5,
    runs: Annotated[int, typer.Option(min=1, max=10_000, help="Runs of a model in a round.")] = 50,
    big_cores: Annotated[bool, typer.Option(help="Keep to the cores that are not the slowest ones.")] = False,
    operators: Annotated[bool, typer.Option(help="One profiled round more: time of each operator.")] = False,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
) -> None:
    """Time the bundle's model, and peers in turns with it, on a phone that is connected by USB; milliseconds.

    Example: tussis-benchmark phone --benchmark-model android_aarch64_benchmark_model --big-cores --json phone.json
    """
    with exit_on_error("tussis-benchmark"):
        plan = PhonePlan(
            serial=serial,
            bundle=bundle,
            peers=peer or [],
            tool=benchmark_model,
            threads=threads or list(DEFAULT_THREADS),
            delegates=delegate or [XNNPACK],
            rounds=rounds,
            runs=runs,
            big_cores=big_cores,
            operators=operators,
        )
        run_plan(plan, json_path)


def run_plan(plan: PhonePlan, json_path: Path | None) -> None:
    """Measure, write and show; PhoneError at the end where a part of what was asked for did not run."""
    if json_path is not None:
        check_writable(json_path)
    console, notes = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    with RowLog(json_path, KIND, PROTOCOL) as log:
        try:
            result = benchmark_phone(plan, log, notes)
        except PhoneLostError:
            if log.rows:
                show(make_result(KIND, PROTOCOL, merge_rounds(log.rows), facts={"failures": []}), console)
            raise
        log.finish(result)
    show(result, console)
    if failures := result["facts"]["failures"]:
        raise PhoneError(f"{len(failures)} of the settings did not run on this phone; the others are in the result.")
