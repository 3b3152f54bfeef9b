"""Decides whether a model file may be given to the runtime, which itself dies of some files or computes for ever."""

import struct

from core.errors import InterpreterError, one_line
from core.model.flatbuffer import ModelError
from core.model.graph import Graph, read_graph
from core.model.operators import Call, Outcome, outcome_of

MAX_MODEL_BYTES = 64 * 2**20
MAX_MEMORY_BYTES = 128 * 2**20  # of all tensors and of the largest working memory; the shipped model's take 5 MB
MAX_WORK = 10**9  # multiply-adds, and numbers read and written, for a clip; the shipped model's are 21 million


def check_model(content: bytes, source: str) -> None:
    """Refuse a model that is damaged, needs other operators than students do, or takes too much memory or time.

    What runs a model is native code: a file that it was not made for ends the process, takes all memory or never
    returns. So everything is followed here first: each offset, each shape from the inputs on, each order of operators.

    Raises
    ------
    InterpreterError
        With the first fault; `source` names the file in the sentence.
    """
    try:
        if len(content) > MAX_MODEL_BYTES:
            raise ModelError(f"it has {len(content)} bytes; expected at most {MAX_MODEL_BYTES}")
        _follow(read_graph(content), content)
    except ModelError as fault:
        raise InterpreterError(f"{source} is not a TFLite model that runs here ({one_line(fault)}).") from fault
    except (struct.error, UnicodeDecodeError, ValueError) as reason:
        raise InterpreterError(f"{source} is a damaged TFLite model.") from reason


def _follow(graph: Graph, content: bytes) -> None:
    """Go through the operators in their order; each may read only what is there by then, and writes a tensor once."""
    constants = {index for index, tensor in enumerate(graph.tensors) if tensor.constant is not None}
    known = constants | set(graph.inputs)
    if len(known) != len(constants) + len(graph.inputs):
        raise ModelError("an input of it is a constant, or stands twice")
    work, scratch_bytes = 0, 0
    for operator in graph.operators:
        if not known.issuperset(index for index in operator.inputs if index >= 0):
            raise ModelError("an operator reads what was not computed before it")
        if not known.isdisjoint(operator.outputs):
            raise ModelError("an operator writes a tensor that has its values already")
        call, outcome = outcome_of(operator, graph.tensors, content)
        known.update(operator.outputs)
        work += _work(call, outcome)
        scratch_bytes = max(scratch_bytes, outcome.scratch_bytes)
    if not graph.operators or not known.issuperset(graph.outputs) or constants.intersection(graph.outputs):
        raise ModelError("an output of it is not computed")
    memory_bytes = scratch_bytes + sum(tensor.n_bytes for tensor in graph.tensors)
    if memory_bytes > MAX_MEMORY_BYTES:
        raise ModelError(f"it takes {memory_bytes} bytes of memory; expected at most {MAX_MEMORY_BYTES}")
    if work > MAX_WORK:
        raise ModelError(f"it takes {work} multiply-adds for a clip; expected at most {MAX_WORK}")


def _work(call: Call, outcome: Outcome) -> int:
    read = sum(tensor.n_elements for tensor in call.inputs if tensor is not None)
    return outcome.macs + read + call.output.n_elements
