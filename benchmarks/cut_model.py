"""The only place that cuts a .tflite model short, so that its first part can be timed alone."""

import struct

from ai_edge_litert import schema_py_generated as schema

from core.errors import InterpreterError
from quantize.graph import Operator

# Positions of fields in schema.fbs: a table's n-th field lies at 4 + 2 n of its vtable.
_SUBGRAPH_OUTPUTS, _SUBGRAPH_OPERATORS = 8, 10
_SIGNATURE_OUTPUTS, _TENSOR_MAP_INDEX = 6, 6
_FRONT_END = "front_end"


def front_end_length(operators: list[Operator]) -> int:
    """How many of a student's operators make its features; InterpreterError where none carries the front end's name."""
    inside = [n for n, operator in enumerate(operators, 1) if operator.layer.split(".")[0] == _FRONT_END]
    if not inside:
        raise InterpreterError(f'the model has no layer named "{_FRONT_END}", so its stages cannot be told apart.')
    return inside[-1]


def cut_after(model: bytes, n_operators: int) -> bytes:
    """The same file with only its first operators, and the last one's output as the only output.

    Lengths are overwritten in place, because constants lie behind the flatbuffer at places counted from its start.
    """
    content = bytearray(model)
    root = schema.Model.GetRootAsModel(content, 0)
    graph = root.Subgraphs(0)
    output = graph.Operators(n_operators - 1).Outputs(0)
    _shorten(content, graph, _SUBGRAPH_OPERATORS, n_operators)
    struct.pack_into("<i", content, _shorten(content, graph, _SUBGRAPH_OUTPUTS, 1), output)
    for n in range(root.SignatureDefsLength()):
        signature = root.SignatureDefs(n)
        _shorten(content, signature, _SIGNATURE_OUTPUTS, 1)
        tensor = signature.Outputs(0)._tab
        if offset := tensor.Offset(_TENSOR_MAP_INDEX):
            struct.pack_into("<I", content, tensor.Pos + offset, output)
    return bytes(content)


def _shorten(content: bytearray, table: object, field: int, length: int) -> int:
    """Overwrite the length of a table's vector; returns where its first element lies."""
    start = table._tab.Vector(table._tab.Offset(field))
    struct.pack_into("<I", content, start - 4, length)
    return start
