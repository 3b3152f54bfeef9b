import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize.tflite_graph import _delegated, delegate_share, layer_path, quantized_layers, read_operators

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
    macs = {its.layer: its.macs for its in read_operators(float_model.read_bytes()) if its.has_weights}
    # 16 channels in, 16 out, 3x3, on 50 x 16 places after a stride of (1, 2); the stem has one channel in, 50 x 32
    assert macs["body.blocks.0.expand"] == 50 * 16 * 16 * 16 * 9
    assert macs["body.stem"] == 50 * 32 * 16 * 9
    assert macs["body.embedding"] == 32 * 512


def test_the_int8_layers_are_the_blocks_widening_and_embedding(made):
    layers = {its.layer for its in quantized_layers(read_operators(made.int8.read_bytes()))}
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
    assert delegate_share(read_operators(float_model.read_bytes())) == {"operators": 1.0, "macs": 1.0}
