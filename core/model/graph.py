"""Reads the one graph of a TFLite file: tensors with their constants, operators in their order, and signatures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.model.flatbuffer import INTEGERS, TABLE, TEXT, Layout, ModelError, numbers, read_table, scalar, table, tables

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
TYPES = {0: "float32", 1: "float16", 2: "int32", 9: "int8"}
MAX_DIMENSIONS = 5
WIDTHS = {"float32": 4, "float16": 2, "int32": 4, "int8": 1}  # bytes
MAX_ELEMENTS = 2**27
MAX_NAME_LENGTH = 100
MAX_PARTS, MAX_FEW = 4096, 32
MAX_NOTE_BYTES = 2**16  # of all metadata, which the runtime copies
SCALES = (1e-12, 1e6)
NONE = np.empty(0)

# The tables of TFLite's schema, version 3, by the numbers of their fields. What is not here may not be there:
# variables, sparse and dynamic tensors, custom operators, and buffers in other files.
_QUANTIZATION = Layout(
    {
        0: ("min", numbers("<f4")),
        1: ("max", numbers("<f4")),
        2: ("scale", numbers("<f4")),
        3: ("zero_point", numbers("<i8")),
        6: ("axis", scalar("i")),
    }
)
_TENSOR = Layout(
    {
        0: ("shape", INTEGERS),
        1: ("type", scalar("b")),
        2: ("buffer", scalar("I")),
        3: ("name", TEXT),
        4: ("quantization", table(_QUANTIZATION)),
        7: ("shape_signature", INTEGERS),
        8: ("has_rank", scalar("?")),
    }
)
_OPERATOR = Layout(
    {
        0: ("code", scalar("I")),
        1: ("inputs", INTEGERS),
        2: ("outputs", INTEGERS),
        3: ("options_type", scalar("B")),
        4: ("options", TABLE),
        8: ("intermediates", INTEGERS),
    }
)
_SUBGRAPH = Layout(
    {
        0: ("tensors", tables("tensors", MAX_PARTS, _TENSOR)),
        1: ("inputs", INTEGERS),
        2: ("outputs", INTEGERS),
        3: ("operators", tables("operators", MAX_PARTS, _OPERATOR)),
        4: ("name", TEXT),
    }
)
_NAMED_TENSOR = Layout({0: ("name", TEXT), 1: ("tensor", scalar("I"))})
_SIGNATURE = Layout(
    {
        0: ("inputs", tables("names", MAX_FEW, _NAMED_TENSOR)),
        1: ("outputs", tables("names", MAX_FEW, _NAMED_TENSOR)),
        2: ("name", TEXT),
        4: ("subgraph", scalar("I")),
    }
)
_CODE = Layout({0: ("old", scalar("b")), 2: ("version", scalar("i", 1)), 3: ("new", scalar("i"))})
_BUFFER = Layout({0: ("data", numbers("<u1")), 1: ("offset", scalar("Q")), 2: ("size", scalar("Q"))})
_METADATA = Layout({0: ("name", TEXT), 1: ("buffer", scalar("I"))})
_MODEL = Layout(
    {
        0: ("version", scalar("I")),
        1: ("codes", tables("operator codes", MAX_FEW, _CODE)),
        2: ("subgraphs", tables("graphs", 1, _SUBGRAPH)),
        3: ("description", TEXT),
        4: ("buffers", tables("buffers", MAX_PARTS, _BUFFER)),
        5: ("metadata_buffers", INTEGERS),
        6: ("metadata", tables("notes", MAX_FEW, _METADATA)),
        7: ("signatures", tables("signatures", MAX_FEW, _SIGNATURE)),
    }
)


@dataclass(frozen=True)
class Tensor:
    """One tensor; ``constant`` are its numbers where the file holds them, with the tensor's shape.

    ``scales`` and ``zero_points`` are those of integers, one or as many as the dimension ``axis`` has.
    """

    shape: tuple[int, ...]
    type: str
    constant: np.ndarray | None
    scales: np.ndarray
    zero_points: np.ndarray
    axis: int

    @property
    def n_elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """What it takes in memory."""
        return self.n_elements * WIDTHS[self.type]


@dataclass(frozen=True)
class Operator:
    """One operator: its code, its options' type and place in the file, and its tensors by number; -1 is none."""

    code: int
    options_type: int
    options_at: int | None
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """All of a model that decides what it computes."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_graph(content: bytes) -> Graph:
    """Read a TFLite file.

    Raises
    ------
    ModelError, struct.error, UnicodeDecodeError
        If the file is damaged, has not exactly one graph, or holds something that no student needs.
    """
    if content[4:8] != FILE_IDENTIFIER:
        raise ModelError("it lacks the identifier TFL3")
    model = read_table(content, int.from_bytes(content[:4], "little"), _MODEL)
    if model["version"] != SCHEMA_VERSION:
        raise ModelError(f"it is of version {model['version']}; expected {SCHEMA_VERSION}")
    if not model["subgraphs"]:
        raise ModelError("it has no graph")
    (fields,) = model["subgraphs"]
    buffers = [_buffer(content, buffer) for buffer in model["buffers"]]
    if sum(len(_pick(buffers, entry["buffer"], "buffer")) for entry in model["metadata"]) > MAX_NOTE_BYTES:
        raise ModelError(f"its metadata have more than {MAX_NOTE_BYTES} bytes")
    tensors = tuple(_tensor(tensor, buffers) for tensor in fields["tensors"])
    graph = Graph(
        tensors=tensors,
        operators=tuple(_operator(operator, model["codes"], tensors) for operator in fields["operators"]),
        inputs=_indices(fields["inputs"], tensors),
        outputs=_indices(fields["outputs"], tensors),
    )
    for signature in model["signatures"]:
        _check_signature(signature, graph)
    return graph


def _buffer(content: bytes, buffer: dict[str, Any]) -> np.ndarray:
    """The bytes of a constant: in the flatbuffer, or behind it at an offset from the beginning of the file."""
    offset, size = buffer["offset"], buffer["size"]
    if offset <= 1:
        return buffer["data"]
    if len(buffer["data"]) or offset % 16 or offset + size > len(content):
        raise ModelError("a constant lies outside the file")
    return np.frombuffer(content, np.uint8, size, offset)


def _pick(values: Sequence[Any], index: int, what: str) -> Any:
    if not 0 <= index < len(values):
        raise ModelError(f"it names {what} {index} of {len(values)}")
    return values[index]


def _indices(given: tuple[int, ...], tensors: Sequence[Tensor], lowest: int = 0) -> tuple[int, ...]:
    if not given or min(given) < lowest or max(given) >= len(tensors):
        raise ModelError("it names no tensor in one place, or one that it does not have")
    return given


def _tensor(fields: dict[str, Any], buffers: Sequence[np.ndarray]) -> Tensor:
    shape, signature, kind = fields["shape"], fields["shape_signature"], TYPES.get(fields["type"])
    if len(shape) > MAX_DIMENSIONS or signature not in ((), shape):
        raise ModelError("the shape of a tensor is not fixed or has too many dimensions")
    if kind is None:
        raise ModelError(f"a tensor is of type {fields['type']}; expected {', '.join(TYPES.values())}")
    if shape and (min(shape) < 1 or math.prod(shape) > MAX_ELEMENTS):
        raise ModelError(f"a tensor has the shape {shape}")
    constant = None
    if len(data := _pick(buffers, fields["buffer"], "buffer")):
        if len(data) != math.prod(shape) * WIDTHS[kind]:
            raise ModelError(f"a constant of shape {shape} has {len(data)} bytes")
        constant = data.view(f"<{kind[0]}{WIDTHS[kind]}").reshape(shape)
    scales, zero_points, axis = _quantization(fields["quantization"], shape, kind)
    return Tensor(shape, kind, constant, scales, zero_points, axis)


def _quantization(
    fields: dict[str, Any] | None, shape: tuple[int, ...], kind: str
) -> tuple[np.ndarray, np.ndarray, int]:
    if fields is None or not (len(fields["scale"]) or len(fields["zero_point"])):
        return NONE, NONE, 0
    scales, zero_points, axis = fields["scale"], fields["zero_point"], fields["axis"]
    along_axis = shape[axis] if 0 <= axis < len(shape) else 0
    if len(scales) not in (0, 1, along_axis) or len(zero_points) not in (0, len(scales)):
        raise ModelError(f"a tensor of shape {shape} has {len(scales)} scales and {len(zero_points)} zero points")
    if len(scales) and not (scales.min() >= SCALES[0] and scales.max() <= SCALES[1]):
        raise ModelError(f"a scale is not between {SCALES[0]:g} and {SCALES[1]:g}")
    lowest, highest = (-128, 127) if kind == "int8" and len(scales) == 1 else (0, 0)
    if len(zero_points) and not lowest <= zero_points.min() <= zero_points.max() <= highest:
        raise ModelError("a zero point lies outside its type")
    return scales, zero_points, axis


def _operator(fields: dict[str, Any], codes: Sequence[dict[str, Any]], tensors: Sequence[Tensor]) -> Operator:
    if fields["intermediates"]:
        raise ModelError("an operator keeps something between runs")
    code = _pick(codes, fields["code"], "operator code")
    return Operator(
        code=max(code["old"], code["new"]),
        options_type=fields["options_type"],
        options_at=fields["options"],
        inputs=_indices(fields["inputs"], tensors, lowest=-1),
        outputs=_indices(fields["outputs"], tensors),
    )


def _check_signature(signature: dict[str, Any], graph: Graph) -> None:
    if signature["subgraph"] != 0:
        raise ModelError(f"a signature is of graph {signature['subgraph']}; there is one, number 0")
    for side, own in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        names = [entry["name"] for entry in signature[side]]
        if len(set(names)) != len(names) or any(entry["tensor"] not in own for entry in signature[side]):
            raise ModelError(f"the {side} of a signature are not those of the graph")
        if not all(name.isprintable() and len(name) <= MAX_NAME_LENGTH for name in (signature["name"], *names)):
            raise ModelError("a signature has a name that cannot be printed, or that is too long")
