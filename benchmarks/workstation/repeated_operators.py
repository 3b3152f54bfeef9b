"""The only place that times one operator by itself: repeated within a graph, so that the cost of a call falls out."""

from collections.abc import Callable, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from benchmarks.timing.interleaved import Contender, time_interleaved
from core.errors import InterpreterError
from core.interpreter import one_line
from quantize.operators import FILE_IDENTIFIER
from quantize.synthesized_clips import synthesized_clips
from quantize.tflite_graph import Operator
from quantize.tflite_parts import cut

MAX_COPIES = 17
# All copies' outputs together: within a core's own cache, where the operator's output lies in the whole model too.
MAX_OUTPUT_BYTES = 512 * 1024
INVOKES = 4

Tensors = dict[int, np.ndarray]
"""Values by index of the tensor."""


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


def find_constants(operators: Sequence[Operator], inputs: Sequence[int]) -> set[int]:
    """Indices of the tensors that do not depend on a model's inputs: weights, shapes, what is made of these alone."""
    varying = set(inputs)
    for operator in operators:
        if varying & set(operator.inputs):
            varying |= set(operator.outputs)
    every = {tensor for operator in operators for tensor in (*operator.inputs, *operator.outputs)}
    return every - varying


def repeat(model: bytes, operator: Operator, inputs: Sequence[int], copies: int) -> bytes:
    """A model of one operator, `copies` times on the same inputs, each time to an output of its own.

    Parameters
    ----------
    model : bytes
    operator : Operator
        One of `model`.
    inputs : sequence of int
        Those of its inputs that are not constant.
    """
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
    read = {graph.tensors[index].buffer for its in graph.operators for index in its.inputs if index >= 0}
    for number, buffer in enumerate(model.buffers):
        if number not in read:
            buffer.data = None
    model.metadata = model.metadataBuffer = None


def copies_of(operator: Operator, values: Tensors) -> int:
    """How often an operator is repeated: as often as the outputs fit, from 2 to `MAX_COPIES`."""
    n_bytes = sum(values[index].nbytes for index in operator.outputs if index in values)
    return int(np.clip(MAX_OUTPUT_BYTES // max(n_bytes, 1), 2, MAX_COPIES))


def time_alone(
    model: bytes,
    operators: Sequence[Operator],
    threads: int,
    runs: int,
    on_round: Callable[[int], None] = lambda n_rounds: None,
) -> list[float | None]:
    """Microseconds of each operator by itself on the values that it has in the model, all in turns.

    Each is timed once and repeated; the difference of the medians over the difference in number is one operator's
    time. None for an operator of constants alone, which a delegate computes when it loads, and for one that the
    runtime does not take alone.
    """
    values = run_preserving(model)
    graph_inputs = [detail["index"] for detail in Interpreter(model_content=model).get_input_details()]
    constants = find_constants(operators, graph_inputs)
    pairs: dict[int, tuple[Contender, Contender, int]] = {}
    for number, operator in enumerate(operators):
        inputs = [index for index in dict.fromkeys(operator.inputs) if index in values and index not in constants]
        if not inputs:
            continue
        copies = copies_of(operator, values)
        try:
            one, many = (_load(repeat(model, operator, inputs, n), values, inputs, threads) for n in (1, copies))
        except InterpreterError:
            continue
        pairs[number] = one, many, copies
    contenders = [its for one, many, _ in pairs.values() for its in (one, many)]
    timings = time_interleaved(contenders, runs, on_round=on_round) if contenders else []
    medians = [float(np.median(timing.runs_s)) * 1e6 / INVOKES for timing in timings]
    slopes = [
        max(0.0, (many - one) / (copies - 1))
        for one, many, (*_, copies) in zip(medians[::2], medians[1::2], pairs.values(), strict=True)
    ]
    alone = dict(zip(pairs, slopes, strict=True))
    return [alone.get(number) for number in range(len(operators))]


def _load(content: bytes, values: Tensors, inputs: Sequence[int], threads: int) -> Contender:
    try:
        runtime: Any = Interpreter(model_content=content, num_threads=threads)
        runtime.allocate_tensors()
        details = runtime.get_input_details()
        for detail, index in zip(details, inputs, strict=True):
            runtime.set_tensor(detail["index"], values[index])
        runtime.invoke()
    except (ValueError, RuntimeError) as reason:
        raise InterpreterError(f"an operator does not run alone ({one_line(reason)}).") from reason

    def run() -> None:
        for _ in range(INVOKES):
            runtime.invoke()

    return Contender("operator", run, 1.0, 0.0, {})
