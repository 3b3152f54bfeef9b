"""Times each operator of a model, and says what it multiplies, reads and writes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from benchmarks.results.device import load_average
from benchmarks.results.names import BUILTIN, DYNAMIC, FLOAT, INT8, WHOLE, XNNPACK
from benchmarks.results.result import Kind, Result, Row, describe_run, make_row
from benchmarks.results.runner import Run
from benchmarks.timing.interleaved import Contender, check_runs, time_interleaved
from benchmarks.timing.models import ChosenModel, load_plain
from core.clips import CLIP_S, CLIP_SAMPLES
from core.demonstration import synthesized_clips
from core.errors import InterpreterError, one_line
from quantize.tflite_graph import FILE_IDENTIFIER, Operator, read_operators
from quantize.tflite_parts import BODY, FRONT_END, HEADS, cut

PART_METRICS = {FRONT_END: "front_end_us", BODY: "body_us", HEADS: "heads_us"}
AT_LOAD, INTO_NEIGHBOUR = "computed when the model is loaded", "folded into a neighbour"
OPERATORS = Kind(
    "operators",
    "each operator alone on the values that it has in the model, once in a graph and repeated in one, all in turns; "
    "its time is the difference of the medians over the difference in number; XNNPACK folds padding into the "
    "convolution that reads it; one thread unless said otherwise",
    columns=(
        *("operators_us", "us", "share_of_time", "macs", "weight_bytes", "activation_bytes", "gmacs_per_s"),
        *("gb_per_s", "precision", "shape", "note", "unexplained_us", "unexplained_share", *PART_METRICS.values()),
    ),
)
MAX_COPIES = 17
# All copies' outputs together: within a core's own cache, where the operator's output lies in the whole model too.
MAX_OUTPUT_BYTES = 512 * 1024
# All copies' products together: a run of a millisecond is seldom interrupted where others use the processor too.
MAX_MACS = 15_000_000
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_LAYERS_OF_HEADS = ("body", "body.activity", "body.embedding", "body.events", "")

Tensors = dict[int, np.ndarray]
"""Values by index of the tensor."""


@dataclass(frozen=True)
class Traffic:
    """What an operator reads and writes: bytes of constants as they are stored, and of values that depend on inputs.

    ``shape`` is that of the first varying input and of the first output, in words.
    """

    weight_bytes: int
    activation_bytes: int
    shape: str
    precision: str

    @property
    def n_bytes(self) -> int:
        """All bytes together."""
        return self.weight_bytes + self.activation_bytes


@dataclass(frozen=True)
class OperatorTime:
    """An operator's time in microseconds; 0 where ``note`` says who does its work, or where it does not run alone."""

    number: int
    operator: Operator
    part: str
    partition: int | None
    traffic: Traffic
    us: float
    note: str

    def row(self, name: str, provenance: dict[str, Any], metrics: dict[str, float], n_runs: int, **facts: Any) -> Row:
        """A row of a result, with what the operator is."""
        operator = self.operator
        stage = " ".join(word for word in (f"{self.number:03d}", operator.layer, operator.kind) if word)
        what = {"number": self.number, "layer": operator.layer, "operator": operator.kind, "part": self.part}
        facts = {**what, "precision": self.traffic.precision, **facts}
        return make_row(name, stage, provenance, metrics, n_runs=n_runs, facts=facts)


@dataclass(frozen=True)
class ModelTimes:
    """A model's operators, and the whole of it: ``whole_ms`` (n_runs,), as the app runs it."""

    operators: list[OperatorTime]
    whole_ms: np.ndarray
    load_before: float | None

    @property
    def sum_us(self) -> float:
        """All operators' time together, never 0."""
        return sum(time.us for time in self.operators) or 1e-3


def measure_operators(chosen: ChosenModel, threads: int, runs: int, run: Run) -> Result:
    """Time a model whole and operator by operator: the whole model's row, then one an operator."""
    check_runs(runs)
    with run.progress("timing operators", runs) as step:
        times = time_operators(chosen.content, threads, runs, step)
    provenance = describe_run(threads, XNNPACK, chosen.content, load_before=times.load_before)
    run.append(whole_row(chosen.name, times, provenance))
    run.append(*(operator_row(chosen.name, time, times, provenance) for time in times.operators))
    return run.result(facts={"kinds": times_by_kind(times)})


def time_operators(
    model: bytes, threads: int, runs: int, on_round: Callable[[int], None] = lambda n_rounds: None
) -> ModelTimes:
    """Time a model whole, and operator by operator."""
    load_before, operators = load_average(), read_operators(model)
    constants = find_constants(operators, graph_inputs(model))
    notes = [note_of(operator, operators, constants) for operator in operators]
    whole = time_interleaved([load_plain(model, WHOLE, threads, CLIP_SAMPLES)], runs)[0]
    alone_us = time_alone(model, operators, [not note for note in notes], threads, runs, on_round)
    partitions, traffic = partitions_of(operators), describe_traffic(model, operators)
    times = [
        OperatorTime(number, operator, part_of(number, operators), partitions[number], traffic[number], us, note)
        for number, (operator, us, note) in enumerate(zip(operators, alone_us, notes, strict=True))
    ]
    return ModelTimes(times, 1000 * whole.runs_s, load_before)


def whole_row(name: str, times: ModelTimes, provenance: dict[str, Any]) -> Row:
    """The model as it is, and how much of its time the operators' sum leaves unexplained."""
    p50_us = 1000 * float(np.median(times.whole_ms))
    parts = {key: sum(time.us for time in times.operators if time.part == part) for part, key in PART_METRICS.items()}
    metrics = {
        **{"p50_ms": p50_us / 1000, "us": p50_us, "operators_us": times.sum_us},
        **{"unexplained_us": p50_us - times.sum_us, "unexplained_share": 1 - times.sum_us / p50_us, **parts},
        "macs": sum(time.operator.macs for time in times.operators),
    }
    return make_row(name, WHOLE, provenance, metrics, CLIP_S, len(times.whole_ms), times.whole_ms)


def operator_row(name: str, time: OperatorTime, times: ModelTimes, provenance: dict[str, Any]) -> Row:
    """An operator's time, and its speed where it takes any."""
    traffic, macs = time.traffic, time.operator.macs
    metrics = {
        **{"us": time.us, "p50_ms": time.us / 1000, "share_of_time": time.us / times.sum_us},
        **{"macs": macs, "weight_bytes": traffic.weight_bytes, "activation_bytes": traffic.activation_bytes},
    }
    if time.us > 0:
        metrics |= {"gmacs_per_s": macs / time.us / 1000, "gb_per_s": traffic.n_bytes / time.us / 1000}
    runner = provenance if time.operator.is_delegated else {**provenance, "delegate": BUILTIN}
    facts = {"shape": traffic.shape, "partition": time.partition, "note": time.note}
    return time.row(name, runner, metrics, len(times.whole_ms), **facts)


def times_by_kind(times: ModelTimes) -> list[dict[str, Any]]:
    """Microseconds of all operators of a kind, in each part of the model, the slowest first."""
    groups: dict[tuple[str, str], list[float]] = {}
    for time in times.operators:
        groups.setdefault((time.part, time.operator.kind), []).append(time.us)
    kinds = [
        {"part": part, "operator": kind, "n": len(us), "us": sum(us), "share_of_time": sum(us) / times.sum_us}
        for (part, kind), us in groups.items()
    ]
    return sorted(kinds, key=lambda kind: -kind["us"])


def graph_inputs(model: bytes) -> list[int]:
    """Indices of a model's inputs."""
    return [detail["index"] for detail in Interpreter(model_content=model).get_input_details()]


def find_constants(operators: Sequence[Operator], inputs: Sequence[int]) -> set[int]:
    """Indices of the tensors that do not depend on a model's inputs: weights, shapes, what is made of these alone."""
    varying = set(inputs)
    for operator in operators:
        if varying & set(operator.inputs):
            varying |= set(operator.outputs)
    every = {tensor for operator in operators for tensor in (*operator.inputs, *operator.outputs)}
    return every - varying


def note_of(operator: Operator, operators: Sequence[Operator], constants: set[int]) -> str:
    """Why an operator takes no time of its own; "" where it does.

    What is made of constants alone is computed when the model is loaded. XNNPACK folds a PAD into the one convolution
    that reads it.
    """
    if set(operator.outputs) <= constants:
        return AT_LOAD
    readers = [reader.kind for reader in operators if set(operator.outputs) & set(reader.inputs)]
    is_folded = operator.kind == "PAD" and operator.is_delegated and len(readers) == 1 and readers[0] in _CONVOLUTIONS
    return INTO_NEIGHBOUR if is_folded else ""


def describe_traffic(model: bytes, operators: Sequence[Operator]) -> list[Traffic]:
    """Bytes, shape and precision of each operator.

    A matrix that the file holds as float16 is read as float32: XNNPACK unpacks it once, when the model is loaded.
    """
    tensors, constants = read_tensors(model), find_constants(operators, graph_inputs(model))
    return [_traffic(operator, tensors, constants) for operator in operators]


def read_tensors(model: bytes) -> dict[int, dict[str, Any]]:
    """LiteRT's details of each tensor by its index, with ``n_bytes``."""
    runtime = Interpreter(model_content=model, num_threads=1)
    runtime.allocate_tensors()
    return {
        detail["index"]: {
            **detail,
            "n_bytes": math.prod(map(int, detail["shape"])) * np.dtype(detail["dtype"]).itemsize,
        }
        for detail in runtime.get_tensor_details()
    }


def _traffic(operator: Operator, tensors: dict[int, dict[str, Any]], constants: set[int]) -> Traffic:
    inputs = [index for index in dict.fromkeys(operator.inputs) if index in tensors]
    varying = [index for index in inputs if index not in constants]
    outputs = [index for index in operator.outputs if index in tensors]
    weights = [index for index in inputs if index in constants and tensors[index]["shape"].size]
    types = [np.dtype(tensors[index]["dtype"]) for index in (*varying, *outputs)]
    has_int8_weights = any(np.dtype(tensors[index]["dtype"]) == np.int8 for index in weights)
    is_int8 = bool(types) and all(dtype == np.int8 for dtype in types)
    precision = INT8 if is_int8 else DYNAMIC if has_int8_weights else FLOAT
    ends = [*varying[:1], *outputs[:1]]
    shape = " to ".join("x".join(str(size) for size in tensors[index]["shape"]) or "1" for index in ends)
    sizes = (sum(tensors[index]["n_bytes"] for index in indices) for indices in (weights, (*varying, *outputs)))
    return Traffic(*sizes, shape, precision)


def part_of(number: int, operators: Sequence[Operator]) -> str:
    """Front end, body or heads: the front end ends with the logarithm, the heads begin after the last block."""
    kinds = [operator.kind for operator in operators]
    layer = operators[number].layer
    if layer.startswith("front_end") or ("LOG" in kinds and number <= kinds.index("LOG")):
        return FRONT_END
    return HEADS if layer in _LAYERS_OF_HEADS else BODY


def partitions_of(operators: Sequence[Operator]) -> list[int | None]:
    """The stretch of delegated operators that each belongs to, from 1; None for one that the delegate does not run."""
    numbers: list[int | None] = []
    current = 0
    for place, operator in enumerate(operators):
        current += operator.is_delegated and (place == 0 or not operators[place - 1].is_delegated)
        numbers.append(current if operator.is_delegated else None)
    return numbers


def time_alone(
    model: bytes,
    operators: Sequence[Operator],
    is_timed: Sequence[bool],
    threads: int,
    runs: int,
    on_round: Callable[[int], None] = lambda n_rounds: None,
) -> list[float]:
    """Microseconds of each operator by itself on the values that it has in the model, all in turns.

    Each is timed once and repeated; the difference of the medians over the difference in number is one operator's
    time. 0 for an operator that is not to be timed, and for one that the runtime does not take alone.
    """
    values, constants = run_preserving(model), find_constants(operators, graph_inputs(model))
    pairs: dict[int, tuple[Contender, Contender, int]] = {}
    for number, operator in enumerate(operators):
        inputs = [index for index in dict.fromkeys(operator.inputs) if index in values and index not in constants]
        if not inputs or not is_timed[number]:
            continue
        copies = copies_of(operator, values)
        try:
            one, many = (_load(repeat(model, operator, inputs, n), values, inputs, threads) for n in (1, copies))
        except InterpreterError:
            continue
        pairs[number] = one, many, copies
    contenders = [contender for one, many, _ in pairs.values() for contender in (one, many)]
    timings = time_interleaved(contenders, runs, on_round=on_round) if contenders else []
    medians_us = [float(np.median(timing.runs_s)) * 1e6 for timing in timings]
    times_us = [0.0] * len(operators)
    for number, one_us, many_us in zip(pairs, medians_us[::2], medians_us[1::2], strict=True):
        times_us[number] = max(0.0, (many_us - one_us) / (pairs[number][2] - 1))
    return times_us


def run_preserving(model: bytes) -> Tensors:
    """Every tensor's value after one synthesized clip, from the runtime's own kernels, without a delegate."""
    runtime = Interpreter(
        model_content=model,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    runtime.allocate_tensors()
    for detail in runtime.get_input_details():
        clip = np.resize(synthesized_clips(2)[1], detail["shape"]).astype(detail["dtype"])
        runtime.set_tensor(detail["index"], clip)
    runtime.invoke()
    values = {}
    for detail in runtime.get_tensor_details():
        try:
            values[detail["index"]] = runtime.get_tensor(detail["index"])
        except ValueError:  # scratch memory of a kernel, which has no value
            continue
    return values


def copies_of(operator: Operator, values: Tensors) -> int:
    """How often an operator is repeated: as often as outputs and products fit, from 2 to `MAX_COPIES`."""
    n_bytes = sum(values[index].nbytes for index in operator.outputs if index in values)
    fitting = min(MAX_OUTPUT_BYTES // max(n_bytes, 1), MAX_MACS // max(operator.macs, 1))
    return int(np.clip(fitting, 2, MAX_COPIES))


def repeat(model: bytes, operator: Operator, inputs: Sequence[int], copies: int) -> bytes:
    """A model of one of `model`'s operators, `copies` times on its varying `inputs`, each to an output of its own."""
    unpacked = schema.ModelT.InitFromPackedBuf(cut(model, inputs, operator.outputs), 0)
    graph = unpacked.subgraphs[0]
    last = graph.operators[-1]
    for _ in range(copies - 1):
        again = schema.OperatorT()
        vars(again).update(vars(last))
        again.outputs = []
        for index in operator.outputs:
            graph.tensors.append(graph.tensors[index])
            again.outputs.append(len(graph.tensors) - 1)
        graph.operators.append(again)
        graph.outputs = [*graph.outputs, *again.outputs]
    _drop_unused(unpacked)
    builder = flatbuffers.Builder(1024)
    builder.Finish(unpacked.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def _drop_unused(model: schema.ModelT) -> None:
    """Empty the buffers that no operator reads, so that a hundred small models do not each hold all weights."""
    graph = model.subgraphs[0]
    read = {graph.tensors[index].buffer for operator in graph.operators for index in operator.inputs if index >= 0}
    for number, buffer in enumerate(model.buffers):
        if number not in read:
            buffer.data = None
    model.metadata = model.metadataBuffer = None


def _load(content: bytes, values: Tensors, inputs: Sequence[int], threads: int) -> Contender:
    try:
        runtime: Any = Interpreter(model_content=content, num_threads=threads)
        runtime.allocate_tensors()
        for detail, index in zip(runtime.get_input_details(), inputs, strict=True):
            runtime.set_tensor(detail["index"], values[index])
        runtime.invoke()
    except (ValueError, RuntimeError) as reason:
        raise InterpreterError(f"an operator does not run alone ({one_line(reason)}).") from reason
    return Contender("operator", runtime.invoke, 1.0, 0.0, {})
