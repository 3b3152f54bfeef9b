import contextlib

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InterpreterError
from core.model.operators import STUDENT_OPERATORS
from quantize.tflite_graph import (
    DelegateShare,
    _delegated,
    check_operators,
    count_partitions,
    delegate_share,
    layer_path,
    list_operators,
    quantized_layers,
    read_operators,
)

STUDENT = "quantize.signature.ScreenSignature/distill.student.Student_student/"
BODY = STUDENT + "distill.student.Body_body/"
BLOCK = BODY + "torch.nn.modules.container.Sequential_blocks/distill.student.FusedBlock_12"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (BODY + "torch.nn.modules.container.Sequential_widen/torch.nn.modules.activation.ReLU6_2;;x/y_1", "body.widen"),
        (
            BLOCK + "/torch.nn.modules.container.Sequential_project/torch.nn.modules.conv.Conv2d_0;2",
            "body.blocks.12.project",
        ),
        (BLOCK + ";", "body.blocks.12"),
        (BODY + "torch.nn.modules.linear.Linear_embedding;2", "body.embedding"),
        (STUDENT + "distill.phone_front_end.PhoneFrontEnd_front_end;10", "front_end"),
        ("screen_embedding_output", ""),
        ("", ""),
    ],
)
def test_a_tensors_name_gives_the_path_of_its_module(name, path):
    assert layer_path(name) == path


@given(st.text())
def test_any_name_gives_some_path(name):
    assert isinstance(layer_path(name), str)


def test_multiply_adds_are_those_of_the_layers_shapes(float_model):
    macs = {layer.layer: layer.macs for layer in read_operators(float_model.read_bytes()) if layer.has_weights}
    # 16 channels in, 16 out, 3x3, on 50 x 16 places after a stride of (1, 2); the stem has one channel in, 50 x 32
    assert macs["body.blocks.0.expand"] == 50 * 16 * 16 * 16 * 9
    assert macs["body.stem"] == 50 * 32 * 16 * 9
    assert macs["body.embedding"] == 32 * 512


def test_the_int8_layers_are_the_blocks_widening_and_embedding(made):
    layers = {layer.layer for layer in quantized_layers(read_operators(made.int8.read_bytes()))}
    assert {"body.widen", "body.embedding", "body.blocks.0.expand", "body.blocks.2"} <= layers
    assert not layers & {"body.stem", "body.activity", "front_end"}


def node(index: int, kind: str, inputs: list[int], outputs: list[int]) -> dict:
    return {"index": index, "op_name": kind, "inputs": inputs, "outputs": outputs}


def test_what_lies_between_two_partitions_is_not_delegated():
    nodes = [
        node(0, "CONV_2D", [0, 10], [1]),
        node(1, "CONV_2D", [1, 11], [2]),
        node(2, "CUSTOM", [2], [3]),
        node(3, "ADD", [3, 1], [4]),
        node(4, "DELEGATE", [0, 10, 11], [1, 2]),
        node(5, "DELEGATE", [3, 1], [4]),
    ]
    assert _delegated(nodes) == {0, 1, 3}


def test_the_float_model_runs_whole_in_the_delegate(float_model):
    assert delegate_share(read_operators(float_model.read_bytes())) == DelegateShare(operators=1.0, macs=1.0)


def model_with(builtin: int, custom: str | None = None) -> bytes:
    """A TFLite file of one operator, enough to be listed."""
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.customCode = builtin, min(builtin, 127), custom
    graph, operator = schema.SubGraphT(), schema.OperatorT()
    operator.opcodeIndex = 0
    graph.operators = [operator]
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_the_float_model_holds_only_what_a_phone_runs_in_one_partition(float_model):
    content = float_model.read_bytes()
    operators = check_operators(content, STUDENT_OPERATORS, "float model")
    assert operators.count("CONV_2D") == 12
    assert {"FULLY_CONNECTED", "LOG", "MEAN"} <= set(operators)
    assert count_partitions(content).n_partitions == 1 and count_partitions(content).is_whole


@pytest.mark.parametrize("name", ["FlexRFFT2D", "MyOwn"])
def test_a_custom_operator_is_refused_by_name(name):
    content = model_with(schema.BuiltinOperator.CUSTOM, name)
    assert list_operators(content, "m.tflite") == [f"CUSTOM:{name}"]
    with pytest.raises(InterpreterError, match=f"m.tflite needs custom operators .*CUSTOM:{name}"):
        check_operators(content, STUDENT_OPERATORS, "m.tflite")


@pytest.mark.parametrize("name", ["WHILE", "RFFT2D", "STABLEHLO_REDUCE_WINDOW", "HARD_SWISH"])
def test_a_builtin_operator_outside_the_allowed_ones_is_refused_by_name(name):
    content = model_with(getattr(schema.BuiltinOperator, name))
    with pytest.raises(InterpreterError, match=f"needs other operators .*: {name};"):
        check_operators(content, STUDENT_OPERATORS, "m.tflite")


@pytest.mark.parametrize(
    "content", [b"", b"RIFF----WAVE", b"\x00\x00\x00\x00TFL3", b"\xff" * 4 + b"TFL3" + b"\xff" * 50]
)
def test_what_is_no_tflite_file_is_refused(content):
    with pytest.raises(InterpreterError, match=r"m\.tflite is (not a|a damaged) TFLite model"):
        list_operators(content, "m.tflite")


def test_a_truncated_model_is_refused(float_model):
    with pytest.raises(InterpreterError, match="damaged"):
        list_operators(float_model.read_bytes()[:60], "m.tflite")


@given(st.binary(max_size=200), st.integers(0, 40))
def test_a_damaged_file_never_raises_anything_but_a_sentence(noise, position):
    whole = bytearray(model_with(schema.BuiltinOperator.ADD))
    whole[8 + position : 8 + position + len(noise)] = noise
    with contextlib.suppress(InterpreterError):
        assert all(isinstance(name, str) for name in list_operators(bytes(whole), "m.tflite"))
