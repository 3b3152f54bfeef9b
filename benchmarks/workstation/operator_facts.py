"""The only place that says what an operator is beside its time: part, shape, precision, bytes, partition."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from benchmarks.workstation.repeated_operators import find_constants
from quantize.tflite_graph import Operator

FRONT_END, BODY, HEADS = "front end", "body", "heads"
FLOAT, INT8, DYNAMIC = "float32", "int8", "dynamic int8"
_LAYERS_OF_HEADS = ("body", "body.activity", "body.embedding", "body.events", "")


@dataclass(frozen=True)
class Traffic:
    """What an operator reads and writes: bytes of constants as they are stored, and of values that depend on inputs.

    ``shape`` is that of the first varying input and of the first output, in words.
    """

    weight_bytes: int
    activation_bytes: int
    shape: str
    precision: str


def describe_traffic(model: bytes, operators: Sequence[Operator]) -> list[Traffic]:
    """Bytes, shape and precision of each operator.

    A matrix that the file holds as float16 is read as float32: XNNPACK unpacks it once, when the model is loaded.
    """
    runtime = Interpreter(model_content=model, num_threads=1)
    runtime.allocate_tensors()
    tensors = {detail["index"]: detail for detail in runtime.get_tensor_details()}
    constants = find_constants(operators, [detail["index"] for detail in runtime.get_input_details()])
    return [_traffic(operator, tensors, constants) for operator in operators]


def _traffic(operator: Operator, tensors: dict[int, dict[str, Any]], constants: set[int]) -> Traffic:
    def n_bytes(index: int) -> int:
        return math.prod(map(int, tensors[index]["shape"])) * np.dtype(tensors[index]["dtype"]).itemsize

    inputs = [index for index in dict.fromkeys(operator.inputs) if index in tensors]
    varying = [index for index in inputs if index not in constants]
    outputs = [index for index in operator.outputs if index in tensors]
    weights = [index for index in inputs if index in constants and tensors[index]["shape"].size]
    types = [np.dtype(tensors[index]["dtype"]) for index in (*varying, *outputs)]
    has_int8_weights = any(np.dtype(tensors[index]["dtype"]) == np.int8 for index in weights)
    precision = INT8 if types and all(its == np.int8 for its in types) else DYNAMIC if has_int8_weights else FLOAT
    ends = [*varying[:1], *outputs[:1]]
    shape = " to ".join("x".join(str(size) for size in tensors[index]["shape"]) or "1" for index in ends)
    return Traffic(sum(map(n_bytes, weights)), sum(map(n_bytes, (*varying, *outputs))), shape, precision)


def part_of(number: int, operators: Sequence[Operator]) -> str:
    """Front end, body or heads: the front end ends with the logarithm, the heads begin after the last block."""
    kinds = [its.kind for its in operators]
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
