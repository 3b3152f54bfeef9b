"""Edits models of the tests as a person who means harm would: through the objects of TFLite's own schema."""

from collections.abc import Callable

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

Edit = Callable[[schema.ModelT], object]


def edited(model: bytes, edit: Edit) -> bytes:
    """A model after a change to its objects, packed again."""
    unpacked = schema.ModelT.InitFromPackedBuf(model, 0)
    for buffer in unpacked.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(model, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    edit(unpacked)
    builder = flatbuffers.Builder(len(model))
    builder.Finish(unpacked.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def operator(model: schema.ModelT, kind: str, number: int = 0) -> schema.OperatorT:
    """An operator of a kind, the first or a later one."""
    code = getattr(schema.BuiltinOperator, kind)
    return [it for it in model.subgraphs[0].operators if model.operatorCodes[it.opcodeIndex].builtinCode == code][
        number
    ]


def tensor(model: schema.ModelT, kind: str, side: str, place: int = 0) -> schema.TensorT:
    """An input or output of the first operator of a kind."""
    return model.subgraphs[0].tensors[getattr(operator(model, kind), side)[place]]


def set_code(kind: str, code: str) -> Edit:
    """Make all operators of a kind ones of another."""

    def edit(model: schema.ModelT) -> None:
        its = model.operatorCodes[operator(model, kind).opcodeIndex]
        its.builtinCode = its.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, code)

    return edit


def set_option(kind: str, name: str, value: object) -> Edit:
    """Give the first operator of a kind another option."""
    return lambda model: setattr(operator(model, kind).builtinOptions, name, value)


def set_shape(kind: str, side: str, place: int, shape: tuple[int, ...]) -> Edit:
    """Claim another shape for a tensor of the first operator of a kind."""
    return lambda model: setattr(tensor(model, kind, side, place), "shape", np.array(shape, np.int32))


def set_integers(kind: str, place: int, values: list[int]) -> Edit:
    """Put other whole numbers into a constant that an operator reads; as many as there are."""

    def edit(model: schema.ModelT) -> None:
        given = tensor(model, kind, "inputs", place)
        model.buffers[given.buffer].data = np.array(values, "<i4").view(np.uint8)

    return edit


def set_tensor(kind: str, side: str, place: int, **fields: object) -> Edit:
    """Change fields of a tensor, or of its quantization where they are named so."""

    def edit(model: schema.ModelT) -> None:
        given = tensor(model, kind, side, place)
        for name, value in fields.items():
            setattr(given.quantization if hasattr(given.quantization, name) else given, name, value)

    return edit
