"""The only place that looks into a .tflite file: its operators, and how many pieces XNNPACK runs it in."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from core.errors import InterpreterError
from quantize.tflite_graph import delegate_share, read_operators

FILE_IDENTIFIER = b"TFL3"
_BUILTIN_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}

# What an int8 or float student may be built from: LiteRT's builtin operators that XNNPACK runs on a phone's processor.
PHONE_RUNTIME_OPERATORS = frozenset(
    {
        *(
            "ADD",
            "CONCATENATION",
            "CONV_2D",
            "DEPTHWISE_CONV_2D",
            "DEQUANTIZE",
            "DIV",
            "FULLY_CONNECTED",
            "LOG",
            "MEAN",
        ),
        *("MUL", "PAD", "QUANTIZE", "RESHAPE", "SLICE", "STRIDED_SLICE", "SUB", "TRANSPOSE"),
    }
)


@dataclass(frozen=True)
class Partitions:
    """How LiteRT runs a model: pieces given to XNNPACK, and whether one piece holds all operators."""

    n_partitions: int
    is_whole: bool


def list_operators(model: bytes, source: str) -> list[str]:
    """Name every operator of every subgraph in order; a custom one is ``CUSTOM:`` and its own name.

    Raises
    ------
    InterpreterError
        If `model` is not a TFLite file; `source` names it in the sentence.
    """
    if model[4:8] != FILE_IDENTIFIER:
        raise InterpreterError(f"{source} is not a TFLite model: it lacks the identifier TFL3.")
    try:
        root = schema.Model.GetRootAsModel(model, 0)
        codes = [_operator_name(root.OperatorCodes(index)) for index in range(root.OperatorCodesLength())]
        graphs = [root.Subgraphs(index) for index in range(root.SubgraphsLength())]
        operators = [
            codes[graph.Operators(n).OpcodeIndex()] for graph in graphs for n in range(graph.OperatorsLength())
        ]
    except Exception as error:  # the schema reader raises struct.error, TypeError or IndexError for a damaged file
        raise InterpreterError(f"{source} is a damaged TFLite model.") from error
    if not operators:
        raise InterpreterError(f"{source} is a damaged TFLite model: it has no operator.")
    return operators


def check_operators(model: bytes, allowed: frozenset[str], source: str) -> list[str]:
    """Return the model's operators; InterpreterError where one is custom, Flex or not in `allowed`."""
    operators = list_operators(model, source)
    refused = sorted(set(operators) - allowed)
    if refused:
        kind = "custom" if any(name.startswith("CUSTOM:") for name in refused) else "other"
        raise InterpreterError(
            f"{source} needs {kind} operators that the phone's runtime may lack: {', '.join(refused)};"
            f" expected only {', '.join(sorted(allowed))}."
        )
    return operators


def count_partitions(model: bytes) -> Partitions:
    """Load a model as LiteRT does on one thread and count the pieces that its delegate took."""
    runtime = Interpreter(model_content=model, num_threads=1)
    runtime.allocate_tensors()
    delegates = [operator for operator in runtime._get_ops_details() if operator["op_name"] == "DELEGATE"]
    outputs = {detail["index"] for detail in runtime.get_output_details()}
    inputs = {detail["index"] for detail in runtime.get_input_details()}
    is_whole = len(delegates) == 1 and inputs <= set(delegates[0]["inputs"]) and outputs <= set(delegates[0]["outputs"])
    return Partitions(len(delegates), is_whole)


def model_facts(model: bytes, source: str) -> dict[str, Any]:
    """Size, SHA-256, operators, partitions and the delegate's share of a model, for reports."""
    return {
        "bytes": len(model),
        "sha256": hashlib.sha256(model).hexdigest(),
        "operators": sorted(set(list_operators(model, source))),
        "n_partitions": count_partitions(model).n_partitions,
        "delegated": delegate_share(read_operators(model)),
    }


def read_model(path: Path) -> bytes:
    """Content of a .tflite file; InterpreterError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InterpreterError(f"{path} cannot be read: {error.strerror}.") from error


def _operator_name(code: schema.OperatorCode) -> str:
    builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if builtin == schema.BuiltinOperator.CUSTOM:
        return f"CUSTOM:{(code.CustomCode() or b'').decode('ascii', 'replace')}"
    return _BUILTIN_NAMES.get(builtin, f"UNKNOWN:{builtin}")
