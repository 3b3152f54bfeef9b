"""What the tests of several benchmarks share: a peer as an ONNX file."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def write_onnx(tmp_path_factory) -> Callable[..., Path]:
    """Writes an ONNX model that doubles its inputs; takes their shapes, None for an open size, and their type."""
    onnx = pytest.importorskip("onnx", reason="an ONNX file can be made only where onnx is installed")
    pytest.importorskip("onnxruntime", reason="an ONNX file can be run only where onnxruntime is installed")

    def write(*shapes: list[int | None], type_name: str = "FLOAT") -> Path:
        helper, kind = onnx.helper, getattr(onnx.TensorProto, type_name)
        inputs = [helper.make_tensor_value_info(f"in{n}", kind, shape) for n, shape in enumerate(shapes)]
        outputs = [helper.make_tensor_value_info(f"out{n}", kind, shape) for n, shape in enumerate(shapes)]
        nodes = [helper.make_node("Add", [f"in{n}", f"in{n}"], [f"out{n}"]) for n in range(len(shapes))]
        graph = helper.make_graph(nodes, "double", inputs, outputs)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        path = tmp_path_factory.mktemp("onnx") / "peer.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write
