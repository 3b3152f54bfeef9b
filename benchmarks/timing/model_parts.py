"""The only place that tells front end, body and heads of a student apart: one model each, cut from its file."""

from ai_edge_litert import schema_py_generated as schema

from quantize.operators import list_operators
from quantize.tflite_parts import FRONT_END, cut, student_parts

TRUNK, HEADS = "body", "heads"


def three_parts(content: bytes, source: str) -> dict[str, bytes]:
    """Models that together are a student, by stage: waveform to log-mel, to the maps that all heads read, to outputs.

    Raises InterpreterError where the file is not a student that can be cut at the logarithm of its front end.
    """
    parts = student_parts(content, source)
    graph = schema.ModelT.InitFromPackedBuf(content, 0).subgraphs[0]
    log_mel = graph.operators[list_operators(content, source).index("LOG")].outputs[0]
    last_shared = _last_shared(graph, log_mel)
    body = {TRUNK: cut(content, [log_mel], [last_shared]), HEADS: cut(content, [last_shared], graph.outputs)}
    return {FRONT_END: parts[FRONT_END], **body}


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
