"""The only place that says what Tussis takes of a telephone's memory, and how long it takes to start."""

import tempfile
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
from benchmarks.results.names import XNNPACK
from benchmarks.results.result import Result, Row, describe_run, make_result, make_row, timing_metrics, write_result
from benchmarks.timing.chosen_model import ChosenModel, choose_model
from benchmarks.workstation.fresh_process import ImportedModule, Start, measure_imports, start_process
from benchmarks.workstation.repeated_operators import find_constants
from benchmarks.workstation.started_process import N_AGAIN
from core.audio import write_wav
from core.demonstration import DEMONSTRATION_S, synthesize_demonstration
from core.errors import SettingsError, exit_on_error
from core.files import check_writable
from quantize.tflite_graph import read_operators

KIND = "memory"
MIN_STARTS, DEFAULT_STARTS = 3, 9
N_MODULES = 15
SMALLEST_PACKAGE_MS = 0.5  # less is a name that was looked for and not found
FOOTPRINT, FIRST_RESULT = "footprint", "first result"
PROTOCOL = (
    "each start is a new process with only the standard library, numpy and the runtime, which screens a recording of "
    "6 s; modules were compiled before, by a start that is left out; memory is what the system calls resident; import "
    "times by python -X importtime; medians over the starts"
)


def planned_bytes(model: bytes) -> tuple[int, int]:
    """Bytes that a model's values need at once, and all together, from the graph: what no plan can go below, and above.

    A value lives from the operator that makes it, or the start, to the last one that reads it, or the end.
    """
    runtime = Interpreter(model_content=model, num_threads=1)
    runtime.allocate_tensors()
    sizes = {
        detail["index"]: int(np.prod(detail["shape"], dtype=np.int64)) * np.dtype(detail["dtype"]).itemsize
        for detail in runtime.get_tensor_details()
    }
    inputs = [its["index"] for its in runtime.get_input_details()]
    outputs = [its["index"] for its in runtime.get_output_details()]
    operators = read_operators(model)
    constants = find_constants(operators, inputs)
    last_read = {index: number for number, its in enumerate(operators) for index in its.inputs}
    last_read |= dict.fromkeys(outputs, len(operators))
    living, most = set(inputs), 0
    every = set(inputs)
    for number, operator in enumerate(operators):
        living |= {index for index in operator.outputs if index in sizes and index not in constants}
        every |= living
        most = max(most, sum(sizes[index] for index in living))
        living = {index for index in living if last_read.get(index, -1) > number}
    return most, sum(sizes[index] for index in every)


@dataclass(frozen=True)
class Footprint:
    """All that was measured of a model: starts to the first result, one allocation apart, and imports."""

    starts: list[Start]
    allocation: Start
    modules: list[ImportedModule]
    load_before: float | None


def measure(chosen: ChosenModel, bundle: Path | None, is_file: bool, starts: int, console: Console) -> Footprint:
    """Start processes until there are `starts` of each kind, with a progress bar."""
    load_before = load_average()
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task("starting", total=2 * starts)
        recording, model, bytecode = (Path(folder) / name for name in ("recording.wav", "model.tflite", "bytecode"))
        write_wav(recording, synthesize_demonstration())
        model.write_bytes(chosen.content)
        arguments = str(recording), "" if bundle is None else str(bundle.resolve()), str(model) if is_file else ""
        start_process("screen", *arguments, bytecode=bytecode)
        allocation = start_process("allocate", str(model), bytecode=bytecode)
        runs = []
        for _ in range(starts):
            runs.append(start_process("screen", *arguments, bytecode=bytecode))
            progress.advance(task)
        modules = measure_imports(starts, bytecode, lambda: progress.advance(task))
    return Footprint(runs, allocation, modules, load_before)


def memory_result(chosen: ChosenModel, footprint: Footprint) -> Result:
    """The result of kind ``memory``: the footprint, the first result, each stage of a start, packages and modules."""
    provenance = describe_run(1, XNNPACK, chosen.content, load_before=footprint.load_before)
    n_starts = len(footprint.starts)
    first_ms = [its.stage(FIRST_RESULT)["at_ms"] for its in footprint.starts]
    facts = {"packages": footprint.starts[0].packages}
    metrics = footprint_metrics(chosen.content, footprint)
    first = timing_metrics(first_ms), DEMONSTRATION_S, n_starts, first_ms
    rows = [
        make_row(chosen.name, FOOTPRINT, provenance, metrics, n_runs=n_starts, facts=facts),
        make_row(chosen.name, FIRST_RESULT, provenance, *first),
        *_stage_rows(chosen.name, footprint.starts, provenance),
        *_import_rows(chosen.name, footprint.modules, provenance, n_starts),
    ]
    return make_result(KIND, PROTOCOL, rows)


def footprint_metrics(model: bytes, footprint: Footprint) -> dict[str, float]:
    """Bytes of the file, of the tensors by plan and by measurement, and of the whole process above a bare Python."""
    at_once, together = planned_bytes(model)

    def median(value: Callable[[Start], float]) -> float:
        return float(np.median([value(its) for its in footprint.starts]))

    peak = median(lambda its: its.stage(FIRST_RESULT)["peak_bytes"])
    python = median(lambda its: its.stage("python")["peak_bytes"])
    growth = median(lambda its: its.added_bytes("again"))
    return {
        **{"model_bytes": len(model), "values_at_once_bytes": at_once, "values_together_bytes": together},
        **{f"{name}_bytes": footprint.allocation.added_bytes(name) for name in ("create", "allocate", "invoke")},
        **{"peak_bytes": peak, "python_bytes": python, "above_python_bytes": peak - python, "growth_bytes": growth},
    }


def _stage_rows(name: str, starts: Sequence[Start], provenance: dict[str, Any]) -> list[Row]:
    rows = []
    for place, stage in enumerate(its["stage"] for its in starts[0].stages):
        at_ms = np.array([its.stages[place]["at_ms"] for its in starts])
        before_ms = np.array([its.stages[place - 1]["at_ms"] if place else 0.0 for its in starts])
        keys = "resident_bytes", "peak_bytes"
        bytes_of = {key: np.median([its.stages[place][key] for its in starts]) for key in keys}
        metrics = {**timing_metrics(at_ms - before_ms), "at_ms": float(np.median(at_ms)), **bytes_of}
        rows.append(make_row(name, f"start: {stage}", provenance, metrics, n_runs=len(starts)))
    return rows


def _import_rows(name: str, modules: Sequence[ImportedModule], provenance: dict[str, Any], n_starts: int) -> list[Row]:
    packages: dict[str, float] = {}
    for its in modules:
        packages[its.package] = packages.get(its.package, 0.0) + its.self_ms
    rows = [
        make_row(name, f"package: {package}", provenance, {"self_ms": its_ms}, n_runs=n_starts)
        for package, its_ms in sorted(packages.items(), key=lambda pair: -pair[1])
        if its_ms >= SMALLEST_PACKAGE_MS
    ]
    for its in modules[:N_MODULES]:
        metrics = {"self_ms": its.self_ms, "cumulative_ms": its.cumulative_ms}
        rows.append(make_row(name, f"import: {its.name}", provenance, metrics, n_runs=n_starts))
    return rows


def show(result: Result, console: Console) -> None:
    """Print a result for a person: bytes, the way to the first result, and the imports that take longest."""
    by_stage = {row["stage"]: row for row in result["rows"]}
    footprint = by_stage[FOOTPRINT]
    title = f"{footprint['name']}, {footprint['n_runs']} starts"
    numbers = (Column(its, justify="right") for its in ("ms", "at ms", "MB", "most MB"))
    table = Table("start", *numbers, title=title, box=SIMPLE)
    for stage, row in by_stage.items():
        if stage.startswith("start: "):
            its = row["metrics"]
            sizes = f"{its['resident_bytes'] / 1e6:.1f}", f"{its['peak_bytes'] / 1e6:.1f}"
            table.add_row(stage.removeprefix("start: "), f"{its['p50_ms']:.1f}", f"{its['at_ms']:.0f}", *sizes)
    console.print(table)
    imports = {name: row["metrics"] for name, row in by_stage.items() if name.startswith(("package: ", "import: "))}
    for kind in ("package", "import"):
        chosen = {name.removeprefix(f"{kind}: "): at for name, at in imports.items() if name.startswith(kind)}
        words = ", ".join(f"{name} {at['self_ms']:.1f}" for name, at in chosen.items())
        console.print(f"milliseconds of {kind}s: {words}")
    _show_bytes(footprint["metrics"], console)
    first = by_stage[FIRST_RESULT]["metrics"]
    span = f"{first['min_ms']:.0f} to {first['max_ms']:.0f}"
    console.print(f"first result {first['p50_ms']:.0f} ms after the start ({span})")
    console.print(f"imported beside Python's own: {', '.join(footprint['facts']['packages'])}")


def _show_bytes(its: dict[str, float], console: Console) -> None:
    mb = {key: f"{value / 1e6:.2f} MB" for key, value in its.items()}
    at_once = f"values {mb['values_at_once_bytes']} at once, {mb['values_together_bytes']} without reuse"
    console.print(f"model file {mb['model_bytes']}; {at_once}")
    console.print(f"allocating tensors adds {mb['allocate_bytes']}, the first run {mb['invoke_bytes']}")
    console.print(
        f"the process takes {mb['peak_bytes']} at most, {mb['above_python_bytes']} above a bare Python; "
        f"{N_AGAIN} more recordings add {mb['growth_bytes']}"
    )


def memory(
    bundle: Annotated[Path | None, typer.Option(help="Bundle; the shipped one when left out.")] = None,
    model: Annotated[Path | None, typer.Option(help="A .tflite of the same signature in place of a bundle.")] = None,
    starts: Annotated[int, typer.Option(help=f"Processes of each kind, at least {MIN_STARTS}.")] = DEFAULT_STARTS,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
) -> None:
    """Measure memory, imports and the time to the first result, in processes as on a telephone.

    Example: tussis-benchmark memory --json memory.json
    """
    with exit_on_error("tussis-benchmark"):
        if starts < MIN_STARTS:
            raise SettingsError(f"--starts is {starts}; medians need at least {MIN_STARTS}.")
        if json_path is not None:
            check_writable(json_path)
        console, notes = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
        chosen = choose_model(bundle, model)
        result = memory_result(chosen, measure(chosen, bundle, model is not None, starts, notes))
        if json_path is not None:
            write_result(json_path, result)
        show(result, console)
