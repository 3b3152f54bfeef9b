"""Cuts parts such as front end, body and heads out of a student's .tflite file, with every weight as it is."""

from collections.abc import Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from core.errors import InterpreterError
from quantize.tflite_graph import FILE_IDENTIFIER, list_operators

FRONT_END, BODY, HEADS = "front end", "body", "heads"
BODY_AND_HEADS = "body and heads"
TO_CODES = "front end and stem"
INTEGER_BODY = "integer body"


def student_parts(model: bytes, source: str) -> dict[str, bytes]:
    """Models that together are a student: each from one of its tensors to another.

    Parameters
    ----------
    model : bytes
        A .tflite file with one LOG, which ends the front end. One with a QUANTIZE is cut there as well, and before the
        DEQUANTIZE of what follows: between them all is integer arithmetic.
    source : str
        Names the model in an error.

    Returns
    -------
    dict
        `FRONT_END` (waveform to log-mel) and `BODY_AND_HEADS` (log-mel to the three outputs); of an int8 student also
        `TO_CODES` (waveform to int8 codes) and `INTEGER_BODY` (int8 codes to int8 codes).

    Raises
    ------
    InterpreterError
        If the file is no TFLite model, or those operators are not there once each.
    """
    kinds = list_operators(model, source)
    graph = _unpack(model).subgraphs[0]
    log_mel = _log_mel(graph, kinds, source)
    parts = {FRONT_END: cut(model, graph.inputs, [log_mel]), BODY_AND_HEADS: cut(model, [log_mel], graph.outputs)}
    if "QUANTIZE" in kinds:
        first_codes = graph.operators[_only(kinds, "QUANTIZE", source)].outputs[0]
        computed = {tensor for operator in graph.operators for tensor in operator.outputs}
        last_codes = [
            operator.inputs[0]
            for kind, operator in zip(kinds, graph.operators, strict=True)
            if kind == "DEQUANTIZE" and operator.inputs[0] in computed
        ]
        parts[TO_CODES] = cut(model, graph.inputs, [first_codes])
        parts[INTEGER_BODY] = cut(model, [first_codes], last_codes)
    return parts


def three_parts(model: bytes, source: str) -> dict[str, bytes]:
    """Models that together are a student: `FRONT_END`, `BODY` (log-mel to the maps that all heads read) and `HEADS`.

    Raises InterpreterError where the file is not a student that can be cut at the logarithm of its front end.
    """
    kinds = list_operators(model, source)
    graph = _unpack(model).subgraphs[0]
    log_mel = _log_mel(graph, kinds, source)
    last_shared = _last_shared(graph, log_mel)
    return {
        FRONT_END: cut(model, graph.inputs, [log_mel]),
        BODY: cut(model, [log_mel], [last_shared]),
        HEADS: cut(model, [last_shared], graph.outputs),
    }


def cut(model: bytes, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
    """The model that computes the tensors `outputs` from the tensors `inputs`, both by index; it has no signature."""
    unpacked = _unpack(model)
    graph = unpacked.subgraphs[0]
    needed, operators = set(outputs), []
    for operator in reversed(graph.operators):
        if needed & set(operator.outputs) and not set(operator.outputs) <= set(inputs):
            operators.insert(0, operator)
            needed |= set(operator.inputs)
    graph.operators, graph.inputs, graph.outputs = operators, list(inputs), list(outputs)
    unpacked.signatureDefs = []
    builder = flatbuffers.Builder(len(model))
    builder.Finish(unpacked.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def _unpack(model: bytes) -> schema.ModelT:
    """The model as objects, with the constants that lie behind the flatbuffer (offset, size) brought into it.

    Without them a model that is packed again has lost its weights.
    """
    unpacked = schema.ModelT.InitFromPackedBuf(model, 0)
    for buffer in unpacked.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(model, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return unpacked


def _log_mel(graph: schema.SubGraphT, kinds: Sequence[str], source: str) -> int:
    return graph.operators[_only(kinds, "LOG", source)].outputs[0]


def _only(kinds: Sequence[str], kind: str, source: str) -> int:
    if kinds.count(kind) != 1:
        raise InterpreterError(
            f"{source} has {kinds.count(kind)} operators {kind}; expected 1, to cut the model there."
        )
    return kinds.index(kind)


def _last_shared(graph: schema.SubGraphT, start: int) -> int:
    """The last tensor that everything from `start` to any output passes through.

    Of each tensor the set of those that every way to it passes (its dominators); what all outputs have in common, and
    of that the one that is passed last, which has the most dominators itself.
    """
    passed: dict[int, set[int]] = {int(start): {int(start)}}
    for operator in graph.operators:
        ways = [passed[int(index)] for index in operator.inputs if int(index) in passed]
        if ways and int(start) not in operator.outputs:
            for output in operator.outputs:
                passed[int(output)] = {int(output), *set.intersection(*ways)}
    shared = set.intersection(*(passed[int(output)] for output in graph.outputs))
    return max(shared, key=lambda index: len(passed[index]))
