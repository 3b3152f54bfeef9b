"""Measures the bundle's model and its peers on a phone: choose, describe, push, time in turns, keep, clean up."""

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.phone.adb import Phone, PhoneError, PhoneLostError, choose_phone
from benchmarks.phone.app import open_app
from benchmarks.phone.benchmark_model import BenchmarkModelRunner, place_tool
from benchmarks.phone.device import PhoneDescription, describe_phone, remove_folder
from benchmarks.phone.models import DELEGATES, NNAPI, NNAPI_FIRST_SDK, ON_PROCESSOR, PhoneModel, Setting, load_models
from benchmarks.phone.rounds import Runner, Session, Turn, merge_rounds, operator_rows, ratios, turns
from benchmarks.results.names import MIN_RUNS
from benchmarks.results.result import Kind, Result, Row
from benchmarks.results.runner import Run
from benchmarks.results.tables import print_result
from core.errors import SettingsError, exit_on_error
from core.interpreter import MAX_THREADS

FOLDER = "/data/local/tmp"  # where adb may write and run programs on every Android
PHONE = Kind(
    "phone",
    "rounds in turns: in each, every setting, and in that every model, the first one changing; a round is a process "
    "of its own with 5 warm-up runs; numbers are medians over the rounds, min and max over all runs; benchmark_model "
    "gives random input and times the invocation, the app times input copied, model invoked and outputs read; "
    "delegates other than the processor's run with the first number of threads only; ratios are of the rounds' "
    "medians, per second of audio, with a 95 % bootstrap interval over rounds",
    columns=(
        *("p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms", "mean_ms", "first_run_ms", "load_ms", "rtf"),
        *("share_of_time", "times_called", "operator"),
    ),
)

Failure = dict[str, Any]
"""A model that did not run in a setting: ``name``, ``delegate``, ``threads``, ``reason``."""


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


def measure_phone(plan: PhonePlan, run: Run) -> Result:
    """Measure on a phone; every finished round is in `run` at once, and the result has one row per setting.

    Where the phone is lost, the rows that were finished are printed before PhoneLostError.
    """
    check_plan(plan)
    models = load_models(plan.bundle, plan.peers)
    phone = choose_phone(plan.serial)
    description = describe_phone(phone)
    todo = turns(models, choose_settings(plan, description), plan.rounds)
    try:
        with lent_folder(phone) as folder, placed_runner(plan, phone, description, folder, models) as runner:
            failures = keep_rounds(Session(phone, description, runner), todo, run)
            rows = merge_rounds(run.rows)
            operators, not_profiled = profile(runner, models, rows) if plan.operators else ([], [])
    except PhoneLostError:
        if run.rows:
            print_result(run.result(merge_rounds(run.rows)))
        raise
    if not rows:
        raise PhoneError(f"nothing ran on this phone; the first reason: {failures[0]['reason']}")
    facts = {**description.core_facts(), "failures": failures + not_profiled}
    return run.result([*rows, *operators], ratios(rows), facts=facts)


def refuse_failures(result: Result) -> None:
    """Exit with status 2 and a sentence where a part of what was asked for did not run."""
    with exit_on_error("tussis-benchmark"):
        if failures := result["facts"]["failures"]:
            n_failed = len(failures)
            raise PhoneError(f"{n_failed} of the settings did not run on this phone; the others are in the result.")


def check_plan(plan: PhonePlan) -> None:
    """Refuse a plan that cannot be measured, before a phone is touched."""
    if plan.tool is not None and not plan.tool.is_file():
        raise SettingsError(f"--benchmark-model is {plan.tool}, and there is no such file.")
    if (total := plan.rounds * plan.runs) < MIN_RUNS:
        raise SettingsError(
            f"--rounds {plan.rounds} of --runs {plan.runs} are {total} runs; percentiles need at least {MIN_RUNS}."
        )
    if unknown := [delegate for delegate in plan.delegates if delegate not in DELEGATES]:
        raise SettingsError(f"--delegate is {unknown[0]!r}; expected one of {', '.join(DELEGATES)}.")
    if wrong := [threads for threads in plan.threads if not 1 <= threads <= MAX_THREADS]:
        raise SettingsError(f"--threads is {wrong[0]}; expected 1 to {MAX_THREADS}.")
    if plan.operators and plan.tool is None:
        raise SettingsError("--operators needs --benchmark-model: the app measures no operators.")
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
    """A new folder on the phone, removed with all that was pushed, if the phone is still there."""
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


def keep_rounds(session: Session, todo: Sequence[Turn], run: Run) -> list[Failure]:
    """Measure all rounds, each on disk before the next begins; a model and setting that fails is not tried again."""
    failures: dict[tuple[str, Setting], Failure] = {}
    with run.progress(f"timing on {session.description.model}", len(todo)) as step:
        for turn in todo:
            key = (turn.model.name, turn.setting)
            if key not in failures:
                with noted_failure(failures, *key):
                    run.append(session.measure(turn))
            step()
    return list(failures.values())


def profile(runner: BenchmarkModelRunner, models: list[PhoneModel], rows: list[Row]) -> tuple[list[Row], list[Failure]]:
    """Rows of the operators, of a profiled round of each setting after all others, and what could not be profiled."""
    by_name, operators, failures = {model.name: model for model in models}, [], {}
    for row in rows:
        setting = Setting(row["threads"], row["delegate"])
        with noted_failure(failures, f"operators of {row['name']}", setting):
            operators += operator_rows(row, runner.measure_operators(by_name[row["name"]], setting))
    return operators, list(failures.values())


@contextlib.contextmanager
def noted_failure(failures: dict[tuple[str, Setting], Failure], name: str, setting: Setting) -> Iterator[None]:
    """Add to `failures` what does not run in a setting, and why; a phone that is lost ends all."""
    try:
        yield
    except PhoneLostError:
        raise
    except PhoneError as error:
        where = {"name": name, "delegate": setting.delegate, "threads": setting.threads}
        failures[name, setting] = {**where, "reason": str(error)}
