"""The only place that reads a .tflite graph operator by operator: kind, layer, multiply-adds, and who runs it."""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

DELEGATE = "DELEGATE"
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


def read_operators(model: bytes) -> list[Operator]:
    """List the operators of a model in the order in which they run, as LiteRT would run them on one thread."""
    runtime = Interpreter(model_content=model, num_threads=1)
    runtime.allocate_tensors()
    tensors = {detail["index"]: detail for detail in runtime.get_tensor_details()}
    nodes = runtime._get_ops_details()
    delegated = _delegated(nodes)
    return [_operator(node, tensors, node["index"] in delegated) for node in nodes if node["op_name"] != DELEGATE]


def _operator(node: dict[str, Any], tensors: dict[int, dict[str, Any]], is_delegated: bool) -> Operator:
    inputs, outputs = (tuple(int(index) for index in node[key]) for key in ("inputs", "outputs"))
    name = tensors[outputs[0]]["name"] if outputs[0] in tensors else ""
    types = {tensors[index]["dtype"] for index in (*inputs, *outputs) if index in tensors}
    macs = _macs(node["op_name"], [tensors[index]["shape"] for index in (*inputs[:2], outputs[0]) if index in tensors])
    return Operator(node["op_name"], layer_path(name), name, inputs, outputs, macs, np.int8 in types, is_delegated)


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


def delegate_share(operators: list[Operator]) -> dict[str, float]:
    """Share of the operators and of the multiply-adds that XNNPACK runs, 0 to 1."""
    macs = sum(operator.macs for operator in operators)
    return {
        "operators": sum(operator.is_delegated for operator in operators) / len(operators),
        "macs": sum(operator.macs for operator in operators if operator.is_delegated) / macs if macs else 0.0,
    }


def quantized_layers(operators: list[Operator]) -> list[Operator]:
    """The operators of an int8 model that compute on int8 values or with int8 weights: convolutions, products, sums."""
    return [its for its in operators if its.is_int8 and (its.has_weights or its.kind == "ADD") and its.layer]
