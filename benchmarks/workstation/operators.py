"""The only place that says where a model's time goes: microseconds, bytes and speed of each of its operators."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from ai_edge_litert.interpreter import Interpreter
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from benchmarks.results.device import load_average
from benchmarks.results.names import MIN_RUNS
from benchmarks.results.result import Result, Row, describe_run, make_result, make_row, write_result
from benchmarks.timing.chosen_model import ChosenModel, choose_model
from benchmarks.timing.contenders import load_plain
from benchmarks.timing.interleaved import check_runs, time_interleaved
from benchmarks.workstation.operator_alignment import align
from benchmarks.workstation.operator_facts import (
    BODY,
    FRONT_END,
    HEADS,
    Traffic,
    describe_traffic,
    part_of,
    partitions_of,
)
from benchmarks.workstation.repeated_operators import find_constants, time_alone
from benchmarks.workstation.runtime_profiler import Profile, ProfilerError, profile
from core.clips import CLIP_S, CLIP_SAMPLES
from core.errors import exit_on_error
from core.files import check_writable
from core.interpreter import MAX_THREADS
from quantize.tflite_graph import Operator, read_operators

KIND = "operators"
DELEGATE = "xnnpack"
WHOLE = "whole"
PART_METRICS = {FRONT_END: "front_end_us", BODY: "body_us", HEADS: "heads_us"}
SMALLEST_SHARE = 0.01
_NUMBERS = ("us", "kMAC", "kB", "GMAC/s", "GB/s")
AT_LOAD, INTO_NEIGHBOUR = "computed when the model is loaded", "folded into a neighbour"
PROTOCOL = (
    "each operator within the model by the runtime's profiler, which rounds down to whole microseconds (median); its "
    "fraction from the operator alone, repeated in a graph, in turns with all others; one thread unless said otherwise"
)


@dataclass(frozen=True)
class OperatorTime:
    """An operator's time in microseconds.

    ``us`` is the best estimate: ``alone_us`` (by itself; None where that cannot be) kept within ``low_us`` and
    ``high_us``, between which the profiler saw it in the model; without a profiler these are None.
    """

    number: int
    operator: Operator
    part: str
    partition: int | None
    traffic: Traffic
    us: float
    alone_us: float | None
    low_us: float | None
    high_us: float | None
    note: str


def combine(
    operators: Sequence[Operator],
    traffic: Sequence[Traffic],
    constant: Sequence[bool],
    alone_us: Sequence[float | None],
    profiled: Profile | None,
) -> list[OperatorTime]:
    """Put together what the profiler says of each operator in the model and what it takes by itself.

    Raises
    ------
    ProfilerError
        If the profiler's operators are not those of the model.
    """
    groups: dict[int, list[int]] = {}
    if profiled is not None:
        varying = [number for number in range(len(operators)) if not constant[number]]
        groups = dict(zip(varying, align(profiled.names, [operators[n].kind for n in varying]), strict=True))
    partitions = partitions_of(operators)
    times = []
    for number, operator in enumerate(operators):
        low = high = None
        us, note = alone_us[number] or 0.0, AT_LOAD if constant[number] else ""
        if number in groups and profiled is not None:
            low = float(np.median(profiled.elapsed_us[:, groups[number]].sum(axis=1))) if groups[number] else 0.0
            high = low + len(groups[number])
            us = (low + high) / 2 if alone_us[number] is None else float(np.clip(us, low, high))
            note = note if groups[number] else INTO_NEIGHBOUR
        facts = part_of(number, operators), partitions[number], traffic[number]
        times.append(OperatorTime(number, operator, *facts, us, alone_us[number], low, high, note))
    return times


@dataclass(frozen=True)
class ModelTimes:
    """A model's operators, and the whole of it: ``whole_ms`` (n_runs,), as the app runs it.

    ``profiled`` is None where ``missing`` says why there is no profile.
    """

    operators: list[OperatorTime]
    whole_ms: np.ndarray
    profiled: Profile | None
    missing: str
    load_before: float | None

    @property
    def sum_us(self) -> float:
        """All operators' time together."""
        return sum(its.us for its in self.operators)


def time_operators(
    model: bytes, threads: int, runs: int, on_round: Callable[[int], None] = lambda n_rounds: None
) -> ModelTimes:
    """Time a model whole, by the runtime's profiler and operator by operator."""
    load_before = load_average()
    operators = read_operators(model)
    graph_inputs = [its["index"] for its in Interpreter(model_content=model).get_input_details()]
    constants = find_constants(operators, graph_inputs)
    constant = [set(its.outputs) <= constants for its in operators]
    whole = time_interleaved([load_plain(model, WHOLE, threads, CLIP_SAMPLES)], runs)[0]
    alone = time_alone(model, operators, threads, runs, on_round)
    traffic = describe_traffic(model, operators)
    profiled, missing = None, ""
    try:
        profiled = profile(model, runs, threads)
        times = combine(operators, traffic, constant, alone, profiled)
    except ProfilerError as reason:
        profiled, missing = None, str(reason)
        times = combine(operators, traffic, constant, alone, None)
    return ModelTimes(times, 1000 * whole.runs_s, profiled, missing, load_before)


def operator_row(name: str, its: OperatorTime, sum_us: float, provenance: dict[str, Any], n_runs: int) -> Row:
    """A row of the result; what an operator does not have (products, a profile) is left out of its metrics."""
    traffic, operator = its.traffic, its.operator
    n_bytes = traffic.weight_bytes + traffic.activation_bytes
    optional = {"alone_us": its.alone_us, "profiler_low_us": its.low_us, "profiler_high_us": its.high_us}
    metrics = {
        **{"us": its.us, "p50_ms": its.us / 1000, "share_of_time": its.us / sum_us if sum_us else 0.0},
        **{"macs": operator.macs, "weight_bytes": traffic.weight_bytes, "activation_bytes": traffic.activation_bytes},
        **{key: value for key, value in optional.items() if value is not None},
    }
    if its.us > 0:
        metrics |= {"gmacs_per_s": operator.macs / its.us / 1000, "gb_per_s": n_bytes / its.us / 1000}
    facts = {
        **{"number": its.number, "layer": operator.layer, "operator": operator.kind, "part": its.part},
        **{"precision": traffic.precision, "shape": traffic.shape, "partition": its.partition, "note": its.note},
    }
    stage = " ".join(word for word in (f"{its.number:03d}", operator.layer, operator.kind) if word)
    runner = provenance if operator.is_delegated else {**provenance, "delegate": "builtin"}
    return make_row(name, stage, runner, metrics, n_runs=n_runs, facts=facts)


def whole_row(name: str, times: ModelTimes, provenance: dict[str, Any]) -> Row:
    """The model as it is, and how much of its time the operators' sum leaves unexplained.

    That is told from runs beside the profiled ones, which met the same load, where there are any.
    """
    p50_us = 1000 * float(np.median(times.whole_ms))
    profiled = times.profiled
    plain_us = p50_us if profiled is None else float(np.median(profiled.plain_us))
    parts = {part: sum(its.us for its in times.operators if its.part == part) for part in PART_METRICS}
    metrics = {
        **{"p50_ms": p50_us / 1000, "us": p50_us, "operators_us": times.sum_us, "plain_us": plain_us},
        **{"unexplained_us": plain_us - times.sum_us, "unexplained_share": 1 - times.sum_us / plain_us},
        **{PART_METRICS[part]: us for part, us in parts.items()},
        "macs": sum(its.operator.macs for its in times.operators),
    }
    if profiled is not None:
        metrics["profiler_cost_share"] = float(np.median(profiled.profiled_us)) / plain_us - 1
    facts = {"profiler": times.missing or "read"}
    return make_row(name, WHOLE, provenance, metrics, CLIP_S, len(times.whole_ms), times.whole_ms, facts)


def operators_result(chosen: ChosenModel, times: ModelTimes, threads: int) -> Result:
    """The result of kind ``operators``: the whole model's row, then one an operator."""
    provenance = describe_run(threads, DELEGATE, chosen.content, load_before=times.load_before)
    n_runs, sum_us = len(times.whole_ms), times.sum_us
    rows = [operator_row(chosen.name, its, sum_us, provenance, n_runs) for its in times.operators]
    return make_result(KIND, PROTOCOL, [whole_row(chosen.name, times, provenance), *rows])


def show(result: Result, console: Console) -> None:
    """Print a result for a person: the operators that take time, and all of them by part and kind."""
    whole, *rows = result["rows"]
    slow = [row for row in rows if row["metrics"]["share_of_time"] >= SMALLEST_SHARE]
    title = f"{whole['name']}, {whole['threads']} thread(s), {whole['n_runs']} runs: operators of at least 1 %"
    table = operator_table("precision", _NUMBERS, title)
    for row in slow:
        its = row["metrics"]
        n_bytes = its["weight_bytes"] + its["activation_bytes"]
        costs = (
            f"{its['macs'] / 1e3:.0f}",
            f"{n_bytes / 1e3:.0f}",
            f"{its['gmacs_per_s']:.1f}",
            f"{its['gb_per_s']:.1f}",
        )
        table.add_row(short_name(row), row["facts"]["precision"], f"{its['us']:.2f}", *costs)
    console.print(table)
    for part, key in PART_METRICS.items():
        console.print(f"{part}, {whole['metrics'][key]:.0f} us: {_by_kind(rows, part)}")
    its = whole["metrics"]
    console.print(f"all {len(rows)} operators {its['operators_us']:.0f} us; the model itself {its['plain_us']:.0f} us")
    if whole["facts"]["profiler"] != "read":
        console.print(f"times are of operators alone: {whole['facts']['profiler']}")


def operator_table(kind: str, numbers: Sequence[str], title: str) -> Table:
    """An empty table of operators: name, a column of words, and columns of numbers."""
    columns = (Column(its, justify="right") for its in numbers)
    table = Table("operator", kind, *columns, title=title, box=SIMPLE, padding=(0, 1, 0, 0))
    table.columns[0].no_wrap = True
    return table


def short_name(row: Row) -> str:
    """An operator's name for a narrow table."""
    return row["stage"].replace(" body.", " ")


def _by_kind(rows: Sequence[Row], part: str) -> str:
    spent: dict[str, list[float]] = {}
    for row in rows:
        if row["facts"]["part"] == part:
            spent.setdefault(row["facts"]["operator"], []).append(row["metrics"]["us"])
    slowest_first = sorted(spent.items(), key=lambda pair: -sum(pair[1]))
    return ", ".join(f"{len(its)} {kind} {sum(its):.1f}" for kind, its in slowest_first)


def operators(
    bundle: Annotated[Path | None, typer.Option(help="Bundle; the shipped one when left out.")] = None,
    model: Annotated[Path | None, typer.Option(help="A .tflite of the same signature in place of a bundle.")] = None,
    runs: Annotated[int, typer.Option(help=f"Runs of each, at least {MIN_RUNS}.")] = MIN_RUNS,
    threads: Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="Threads of the model.")] = 1,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
) -> None:
    """Time each operator of a model, with its products, bytes and speed.

    Example: tussis-benchmark operators --model student_int8.tflite --json operators.json
    """
    with exit_on_error("tussis-benchmark"):
        check_runs(runs)
        if json_path is not None:
            check_writable(json_path)
        console, notes = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
        chosen = choose_model(bundle, model)
        with Progress(console=notes, transient=True, disable=not notes.is_terminal) as progress:
            task = progress.add_task("timing operators", total=runs)
            times = time_operators(chosen.content, threads, runs, lambda n: progress.update(task, completed=n))
        result = operators_result(chosen, times, threads)
        if json_path is not None:
            write_result(json_path, result)
        show(result, console)
