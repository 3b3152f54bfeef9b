"""The only place that says what a .tflite model costs by its file alone: operators, multiply-adds, bytes."""

from typing import Any

import numpy as np

from benchmarks.results.names import XNNPACK
from benchmarks.timing.delegates import open_runtime
from quantize.tflite_graph import Operator, count_partitions, list_operators, read_operators


def model_costs(content: bytes, delegate: str, source: str) -> dict[str, Any]:
    """Numbers of a model's rows, and in words how its operators are divided among `delegate` and the runtime.

    The three that stand in for energy, where a device gives none: ``macs``, ``weight_bytes`` and ``activation_bytes``
    of a run. The last is what the operators read and write of each other, as if none were fused.
    """
    n_operators = len(list_operators(content, source))
    operators = read_operators(content)
    partitions = count_partitions(content) if delegate == XNNPACK else None
    words = "all operators in one" if partitions and partitions.is_whole else "not all operators in one"
    return {
        "model_bytes": len(content),
        "n_operators": n_operators,
        "n_partitions": partitions.n_partitions if partitions else 0,
        "partitions": f"{partitions.n_partitions} partition(s), {words}" if partitions else "no partition",
        "macs": sum(its.macs for its in operators),
        **_moved_bytes(content, operators, source),
    }


def _moved_bytes(content: bytes, operators: list[Operator], source: str) -> dict[str, int]:
    """Bytes of the weights, once each, and of what runs between the operators; float16 weights count as stored."""
    runtime = open_runtime(content, 1, XNNPACK, source).runtime
    sizes = {
        its["index"]: int(np.prod(its["shape"], dtype=np.int64)) * np.dtype(its["dtype"]).itemsize
        for its in runtime.get_tensor_details()
        if its["dtype"] is not np.bytes_
    }
    computed = {int(its["index"]) for its in runtime.get_input_details()}
    weights, activation_bytes = set(), 0
    for its in operators:
        read = [index for index in its.inputs if index in sizes]
        moving = [index for index in read if index in computed]
        weights |= {index for index in read if index not in computed}
        if moving:
            computed |= set(its.outputs)
            activation_bytes += sum(sizes[index] for index in (*moving, *its.outputs) if index in sizes)
        else:  # a constant made of constants, such as float16 weights as float32
            sizes.update(dict.fromkeys(its.outputs, 0))
    return {"weight_bytes": sum(sizes[index] for index in weights), "activation_bytes": activation_bytes}
