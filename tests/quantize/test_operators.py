import contextlib

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InterpreterError
from quantize.operators import PHONE_RUNTIME_OPERATORS, check_operators, count_partitions, list_operators


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
    operators = check_operators(content, PHONE_RUNTIME_OPERATORS, "float model")
    assert operators.count("CONV_2D") == 12
    assert {"FULLY_CONNECTED", "LOG", "MEAN"} <= set(operators)
    assert count_partitions(content).n_partitions == 1 and count_partitions(content).is_whole


@pytest.mark.parametrize("name", ["FlexRFFT2D", "MyOwn"])
def test_a_custom_operator_is_refused_by_name(name):
    content = model_with(schema.BuiltinOperator.CUSTOM, name)
    assert list_operators(content, "m.tflite") == [f"CUSTOM:{name}"]
    with pytest.raises(InterpreterError, match=f"m.tflite needs custom operators .*CUSTOM:{name}"):
        check_operators(content, PHONE_RUNTIME_OPERATORS, "m.tflite")


@pytest.mark.parametrize("name", ["WHILE", "RFFT2D", "STABLEHLO_REDUCE_WINDOW", "HARD_SWISH"])
def test_a_builtin_operator_outside_the_allowed_ones_is_refused_by_name(name):
    content = model_with(getattr(schema.BuiltinOperator, name))
    with pytest.raises(InterpreterError, match=f"needs other operators .*: {name};"):
        check_operators(content, PHONE_RUNTIME_OPERATORS, "m.tflite")


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
