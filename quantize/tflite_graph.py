"""Reads a .tflite file: its operators with layer and multiply-adds, and which of them XNNPACK runs."""

import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from core.errors import InterpreterError

FILE_IDENTIFIER = b"TFL3"
DELEGATE = "DELEGATE"

_BUILTIN_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_WITH_WEIGHTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL")
_PART = re.compile(r"(?:\w+\.)*_*[A-Za-z0-9]+_(?P<attribute>\w+)")
_TORCH_LEAF = re.compile(r"torch\.nn\.modules\.(?!container\.).*_\d+")


@dataclass(frozen=True)
class Operator:
    """One operator: its kind, the module path of the layer that it came from, and what it costs.

    ``layer`` is a path as torch names it (``body.blocks.0.expand``), "" where the name of the output says nothing;
    ``output`` is the name of its output tensor, ``inputs`` and ``outputs`` are tensor indices, constants included;
    ``is_int8`` where a tensor that it reads or writes is int8.
    """

    kind: str
    layer: str
    output: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    macs: int
    is_int8: bool
    is_delegated: bool

    @property
    def has_weights(self) -> bool:
        """Whether it multiplies by weights."""
        return self.kind in _WITH_WEIGHTS


@dataclass(frozen=True)
class Partitions:
    """How LiteRT runs a model: pieces given to XNNPACK, and whether one piece holds all operators."""

    n_partitions: int
    is_whole: bool


@dataclass(frozen=True)
class DelegateShare:
    """Share of the operators and of the multiply-adds that XNNPACK runs, 0 to 1."""

    operators: float
    macs: float


@dataclass(frozen=True)
class ModelFacts:
    """What reports say of a model; ``operators`` are the kinds in it, by name."""

    bytes: int
    sha256: str
    operators: list[str]
    n_partitions: int
    delegated: DelegateShare


def read_model(path: Path) -> bytes:
    """Content of a .tflite file; InterpreterError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InterpreterError(f"{path} cannot be read: {error.strerror}.") from error


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


def _operator_name(code: schema.OperatorCode) -> str:
    builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if builtin == schema.BuiltinOperator.CUSTOM:
        return f"CUSTOM:{(code.CustomCode() or b'').decode('ascii', 'replace')}"
    return _BUILTIN_NAMES.get(builtin, f"UNKNOWN:{builtin}")


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


def read_operators(model: bytes) -> list[Operator]:
    """List the operators of a model in the order in which they run, as LiteRT would run them on one thread."""
    runtime = _loaded(model)
    tensors = {detail["index"]: detail for detail in runtime.get_tensor_details()}
    nodes = runtime._get_ops_details()
    delegated = _delegated(nodes)
    return [_operator(node, tensors, node["index"] in delegated) for node in nodes if node["op_name"] != DELEGATE]


def _loaded(model: bytes) -> Interpreter:
    runtime = Interpreter(model_content=model, num_threads=1)
    runtime.allocate_tensors()
    return runtime


def _operator(node: dict[str, Any], tensors: dict[int, dict[str, Any]], is_delegated: bool) -> Operator:
    inputs, outputs = (tuple(int(index) for index in node[key]) for key in ("inputs", "outputs"))
    name = tensors[outputs[0]]["name"] if outputs[0] in tensors else ""
    types = {tensors[index]["dtype"] for index in (*inputs, *outputs) if index in tensors}
    macs = _macs(node["op_name"], [tensors[index]["shape"] for index in (*inputs[:2], outputs[0]) if index in tensors])
    return Operator(node["op_name"], layer_path(name), name, inputs, outputs, macs, np.int8 in types, is_delegated)


def layer_path(tensor_name: str) -> str:
    """Read the module path out of a tensor's name, which litert-torch makes of classes and attributes.

    ``...Student_student/distill.student.Body_body/...Sequential_widen/torch.nn.modules.activation.ReLU6_2;1`` is
    ``body.widen``: convolution, batch norm and activation of one Sequential become one operator.
    """
    parts = tensor_name.partition(";")[0].split("/")
    if _TORCH_LEAF.fullmatch(parts[-1]):
        parts.pop()
    named = [match["attribute"] for part in parts if (match := _PART.fullmatch(part))]
    return ".".join(named[1:]) if named[:1] == ["student"] else ""


def _macs(kind: str, shapes: list[np.ndarray]) -> int:
    """Multiply-adds of an operator from the shapes of its input, weights and output; 0 for one without weights."""
    if kind not in _WITH_WEIGHTS or len(shapes) < 3:
        return 0
    of_input, of_weights, of_output = shapes
    if kind == "DEPTHWISE_CONV_2D":
        each = math.prod(of_weights[1:3])
    elif kind == "BATCH_MATMUL":
        each = of_input[-1]
    else:
        each = math.prod(of_weights[1:])
    return int(math.prod(of_output) * each)


def _delegated(nodes: list[dict[str, Any]]) -> set[int]:
    """Indices of the operators inside the delegates' partitions: what lies between a delegate's outputs and inputs."""
    writer = {int(tensor): node for node in nodes if node["op_name"] != DELEGATE for tensor in node["outputs"]}
    inside: set[int] = set()
    for delegate in (node for node in nodes if node["op_name"] == DELEGATE):
        reached, ends = [int(tensor) for tensor in delegate["outputs"]], {int(tensor) for tensor in delegate["inputs"]}
        while reached:
            node = writer.get(reached.pop())
            if node is None or node["index"] in inside:
                continue
            inside.add(node["index"])
            reached += [int(tensor) for tensor in node["inputs"] if int(tensor) not in ends]
    return inside


def count_partitions(model: bytes) -> Partitions:
    """Load a model as LiteRT does on one thread and count the pieces that its delegate took."""
    runtime = _loaded(model)
    delegates = [operator for operator in runtime._get_ops_details() if operator["op_name"] == DELEGATE]
    outputs = {detail["index"] for detail in runtime.get_output_details()}
    inputs = {detail["index"] for detail in runtime.get_input_details()}
    is_whole = len(delegates) == 1 and inputs <= set(delegates[0]["inputs"]) and outputs <= set(delegates[0]["outputs"])
    return Partitions(len(delegates), is_whole)


def delegate_share(operators: list[Operator]) -> DelegateShare:
    """What XNNPACK runs of these operators."""
    all_macs = sum(operator.macs for operator in operators)
    macs = sum(operator.macs for operator in operators if operator.is_delegated)
    n_delegated = sum(operator.is_delegated for operator in operators)
    return DelegateShare(n_delegated / len(operators), macs / all_macs if all_macs else 0.0)


def quantized_layers(operators: list[Operator]) -> list[Operator]:
    """The operators of an int8 model that compute on int8 values or with int8 weights: convolutions, products, sums."""
    return [
        operator
        for operator in operators
        if operator.is_int8 and (operator.has_weights or operator.kind == "ADD") and operator.layer
    ]


def model_facts(model: bytes, source: str) -> ModelFacts:
    """Describe a model for reports."""
    return ModelFacts(
        bytes=len(model),
        sha256=hashlib.sha256(model).hexdigest(),
        operators=sorted(set(list_operators(model, source))),
        n_partitions=count_partitions(model).n_partitions,
        delegated=delegate_share(read_operators(model)),
    )
