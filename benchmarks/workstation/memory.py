"""Measures what Tussis takes of a phone's memory, and how long it takes to start."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from benchmarks.results.device import load_average
from benchmarks.results.names import XNNPACK
from benchmarks.results.result import Kind, Result, Row, describe_run, make_row
from benchmarks.results.runner import Run
from benchmarks.timing.models import ChosenModel, choose_model
from benchmarks.workstation.fresh_process import ImportedModule, Start, measure_imports, start_process
from benchmarks.workstation.operators import find_constants, read_tensors
from core.audio import write_wav
from core.demonstration import DEMONSTRATION_S, synthesize_demonstration
from core.errors import SettingsError
from core.stopwatch import timing_metrics
from quantize.tflite_graph import read_operators

MIN_STARTS = 3
N_MODULES = 15
SMALLEST_PACKAGE_MS = 0.5  # less is a name that was looked for and not found
FOOTPRINT, FIRST_RESULT = "footprint", "first result"
MEMORY = Kind(
    "memory",
    "each start is a new process with only the standard library, numpy and the runtime, which screens a recording of "
    "6 s; modules were compiled before, by a start that is left out; memory is what the system calls resident; import "
    "times by python -X importtime; medians over the starts",
    columns=(
        *("model_bytes", "values_at_once_bytes", "values_together_bytes", "create_bytes", "allocate_bytes"),
        *("invoke_bytes", "python_bytes", "above_python_bytes", "growth_bytes", "at_ms", "self_ms", "cumulative_ms"),
        *("p50_ms", "min_ms", "max_ms", "resident_bytes", "peak_bytes"),
    ),
)


def planned_bytes(model: bytes) -> tuple[int, int]:
    """Bytes that a model's values need at once, and all together, from the graph: what no plan can go below, and above.

    A value lives from the operator that makes it, or the start, to the last one that reads it, or the end.
    """
    sizes = {index: tensor["n_bytes"] for index, tensor in read_tensors(model).items()}
    runtime, operators = Interpreter(model_content=model), read_operators(model)
    ends = runtime.get_input_details(), runtime.get_output_details()
    inputs, outputs = ([detail["index"] for detail in details] for details in ends)
    constants = find_constants(operators, inputs)
    last_read = {index: number for number, operator in enumerate(operators) for index in operator.inputs}
    last_read |= dict.fromkeys(outputs, len(operators))
    living, every, most = set(inputs), set(inputs), 0
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


def measure_memory(bundle: Path | None, model: Path | None, n_starts: int, run: Run) -> Result:
    """Start processes until there are `n_starts` of each kind, with the bundle's model or the file `model`."""
    if n_starts < MIN_STARTS:
        raise SettingsError(f"--starts is {n_starts}; medians need at least {MIN_STARTS}.")
    chosen = choose_model(bundle, model)
    load_before = load_average()
    with tempfile.TemporaryDirectory() as folder, run.progress("starting", 2 * n_starts) as step:
        recording, content, bytecode = (Path(folder) / name for name in ("recording.wav", "model.tflite", "bytecode"))
        write_wav(recording, synthesize_demonstration())
        content.write_bytes(chosen.content)
        paths = str(recording), "" if bundle is None else str(bundle.resolve()), "" if model is None else str(content)
        start_process("screen", *paths, bytecode=bytecode)
        allocation = start_process("allocate", str(content), bytecode=bytecode)
        starts = []
        for _ in range(n_starts):
            starts.append(start_process("screen", *paths, bytecode=bytecode))
            step()
        modules = measure_imports(n_starts, bytecode, step)
    return memory_result(chosen, Footprint(starts, allocation, modules, load_before), run)


def memory_result(chosen: ChosenModel, footprint: Footprint, run: Run) -> Result:
    """The result of kind ``memory``: the footprint, the first result, each stage of a start, packages and modules."""
    provenance = describe_run(1, XNNPACK, chosen.content, load_before=footprint.load_before)
    n_starts = len(footprint.starts)
    first_ms = [start.stage(FIRST_RESULT)["at_ms"] for start in footprint.starts]
    facts = {"packages": footprint.starts[0].packages}
    metrics = footprint_metrics(chosen.content, footprint)
    first = timing_metrics(first_ms), DEMONSTRATION_S, n_starts, first_ms
    run.append(
        make_row(chosen.name, FOOTPRINT, provenance, metrics, n_runs=n_starts, facts=facts),
        make_row(chosen.name, FIRST_RESULT, provenance, *first),
        *_stage_rows(chosen.name, footprint.starts, provenance),
        *_import_rows(chosen.name, footprint.modules, provenance, n_starts),
    )
    return run.result()


def footprint_metrics(model: bytes, footprint: Footprint) -> dict[str, float]:
    """Bytes of the file, of the tensors by plan and by measurement, and of the whole process above a bare Python."""
    at_once, together = planned_bytes(model)

    def median(value: Callable[[Start], float]) -> float:
        return float(np.median([value(start) for start in footprint.starts]))

    peak = median(lambda start: start.stage(FIRST_RESULT)["peak_bytes"])
    python = median(lambda start: start.stage("python")["peak_bytes"])
    growth = median(lambda start: start.added_bytes("again"))
    return {
        **{"model_bytes": len(model), "values_at_once_bytes": at_once, "values_together_bytes": together},
        **{f"{name}_bytes": footprint.allocation.added_bytes(name) for name in ("create", "allocate", "invoke")},
        **{"peak_bytes": peak, "python_bytes": python, "above_python_bytes": peak - python, "growth_bytes": growth},
    }


def _stage_rows(name: str, starts: Sequence[Start], provenance: dict[str, Any]) -> list[Row]:
    rows = []
    for place, stage in enumerate(entry["stage"] for entry in starts[0].stages):
        at_ms = np.array([start.stages[place]["at_ms"] for start in starts])
        before_ms = np.array([start.stages[place - 1]["at_ms"] if place else 0.0 for start in starts])
        keys = "resident_bytes", "peak_bytes"
        bytes_of = {key: np.median([start.stages[place][key] for start in starts]) for key in keys}
        metrics = {**timing_metrics(at_ms - before_ms), "at_ms": float(np.median(at_ms)), **bytes_of}
        rows.append(make_row(name, f"start: {stage}", provenance, metrics, n_runs=len(starts)))
    return rows


def _import_rows(name: str, modules: Sequence[ImportedModule], provenance: dict[str, Any], n_starts: int) -> list[Row]:
    packages: dict[str, float] = {}
    for module in modules:
        packages[module.package] = packages.get(module.package, 0.0) + module.self_ms
    rows = [
        make_row(name, f"package: {package}", provenance, {"self_ms": self_ms}, n_runs=n_starts)
        for package, self_ms in sorted(packages.items(), key=lambda pair: -pair[1])
        if self_ms >= SMALLEST_PACKAGE_MS
    ]
    for module in modules[:N_MODULES]:
        metrics = {"self_ms": module.self_ms, "cumulative_ms": module.cumulative_ms}
        rows.append(make_row(name, f"import: {module.name}", provenance, metrics, n_runs=n_starts))
    return rows
