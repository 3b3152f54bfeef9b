"""A model that would end the process, take its memory or never return is refused before the runtime sees it."""

import random
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from core.bundle import load_bundle
from core.errors import InterpreterError
from core.interpreter import LiteRtInterpreter
from core.model.check import check_model
from core.model.operators import STUDENT_OPERATORS
from tests.core.model.edited_models import (
    Edit,
    edited,
    operator,
    set_code,
    set_integers,
    set_option,
    set_shape,
    set_tensor,
    tensor,
)

ROOT = Path(__file__).parents[3]
SHIPPED = load_bundle().read_model()


def another_graph(model: schema.ModelT) -> None:
    model.subgraphs.append(model.subgraphs[0])


def signature_elsewhere(model: schema.ModelT) -> None:
    model.signatureDefs[0].subgraphIndex = 77


def signature_of_another_tensor(model: schema.ModelT) -> None:
    model.signatureDefs[0].outputs[0].tensorIndex = 10_000


def reversed_operators(model: schema.ModelT) -> None:
    model.subgraphs[0].operators.reverse()


def written_twice(model: schema.ModelT) -> None:
    model.subgraphs[0].operators.append(operator(model, "LOG"))


def writes_a_constant(model: schema.ModelT) -> None:
    operator(model, "LOG").outputs = operator(model, "CONV_2D").inputs[1:2]


def reads_beyond_the_tensors(model: schema.ModelT) -> None:
    operator(model, "LOG").inputs = np.array([10_000], np.int32)


def names_no_operator_code(model: schema.ModelT) -> None:
    operator(model, "LOG").opcodeIndex = 10_000


def names_no_buffer(model: schema.ModelT) -> None:
    tensor(model, "LOG", "outputs").buffer = 10_000


def custom(model: schema.ModelT) -> None:
    set_code("LOG", "CUSTOM")(model)
    model.operatorCodes[operator(model, "CUSTOM").opcodeIndex].customCode = "FlexEverything"


def custom_options(model: schema.ModelT) -> None:
    operator(model, "LOG").customOptions = np.zeros(4, np.uint8)


def short_constant(model: schema.ModelT) -> None:
    model.buffers[tensor(model, "CONV_2D", "inputs", 1).buffer].data = np.zeros(7, np.uint8)


def many_signatures(model: schema.ModelT) -> None:
    model.signatureDefs = model.signatureDefs * 40


def large_notes(model: schema.ModelT) -> None:
    """Thirty entries of metadata that are the same large constant, each of which the runtime would copy."""
    constant = tensor(model, "CONV_2D", "inputs", 1).buffer
    for _ in range(30):
        model.metadata.append(schema.MetadataT())
        model.metadata[-1].name, model.metadata[-1].buffer = "x", constant


def no_graph(model: schema.ModelT) -> None:
    model.subgraphs = []


def grows(model: schema.ModelT) -> None:
    """Keep the first PAD and what is before it, and have it make gigabytes of a small tensor."""
    set_integers("PAD", 1, [0, 0, 0, 2**19, 0, 0])(model)
    set_shape("PAD", "outputs", 0, (1, 2**19 + 99, 80))(model)
    graph = model.subgraphs[0]
    graph.operators = graph.operators[: graph.operators.index(operator(model, "PAD")) + 1]
    graph.outputs, model.signatureDefs = graph.operators[-1].outputs, []


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (set_code("LOG", "WHILE"), "it needs operator 119; expected only ADD"),
        (set_code("LOG", "IF"), "it needs operator 118"),
        (set_code("RESHAPE", "TILE"), "it needs operator 69"),
        (set_code("CONCATENATION", "GATHER"), "it needs operator 36"),
        (set_code("LOG", "CUSTOM"), "it needs operator 32"),
        (custom, "a field that no student needs"),
        (custom_options, "a field that no student needs"),
        (another_graph, "it has 2 graphs; expected at most 1"),
        (no_graph, "it has no graph"),
        (many_signatures, "it has 40 signatures; expected at most 32"),
        (large_notes, "its metadata have more than 65536 bytes"),
        (signature_elsewhere, "a signature is of graph 77"),
        (signature_of_another_tensor, "the outputs of a signature are not those of the graph"),
        (reversed_operators, "an operator reads what was not computed before it"),
        (written_twice, "an operator writes a tensor that has its values already"),
        (writes_a_constant, "an operator writes a tensor that has its values already"),
        (reads_beyond_the_tensors, "names no tensor in one place, or one that it does not have"),
        (names_no_operator_code, "it names operator code 10000 of"),
        (names_no_buffer, "it names buffer 10000 of"),
        (short_constant, "a constant of shape .* has 7 bytes"),
        (set_tensor("LOG", "outputs", 0, shapeSignature=np.array([-1, 100, 48], np.int32)), "is not fixed"),
        (set_tensor("LOG", "outputs", 0, shape=np.array([1, 0, 48], np.int32)), r"a tensor has the shape \(1, 0, 48\)"),
        (set_tensor("LOG", "outputs", 0, shape=np.array([1] * 9, np.int32)), "too many dimensions"),
        (set_tensor("LOG", "outputs", 0, type=schema.TensorType.STRING), "a tensor is of type 5; expected float32"),
        (set_tensor("LOG", "outputs", 0, isVariable=True), "a field that no student needs"),
        (grows, "bytes of memory; expected at most 134217728"),
    ],
)
def test_a_model_that_the_runtime_cannot_be_given_is_refused_with_the_reason(edit: Edit, reason: str) -> None:
    with pytest.raises(InterpreterError, match=f"m is not a TFLite model that runs here .*{reason}"):
        check_model(edited(SHIPPED, edit), "m")


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (set_shape("LOG", "outputs", 0, (1, 100, 49)), r"LOG gives \(1, 100, 48\), and the file says \(1, 100, 49\)"),
        (set_integers("RESHAPE", 1, [1, 100, 321]), r"RESHAPE makes \[1, 100, 321\] of \(1, 32000\)"),
        (set_integers("SLICE", 1, [0, 0, 320]), "SLICE takes 320 to .* of 320"),
        (set_integers("SLICE", 1, [0, -1, 0]), "SLICE takes -1 to"),
        (set_integers("PAD", 1, [0, 0, -1, 1, 0, 0]), "PAD adds"),
        (set_integers("MEAN", 1, [1, 7]), r"MEAN takes the mean of 3 dimensions over \[1, 7\]"),
        (set_option("CONCATENATION", "axis", 5), "CONCATENATION joins tensors of 3 dimensions along 5"),
        (set_option("CONV_2D", "strideW", 0), "CONV_2D moves a kernel of 3 by 0"),
        (set_option("CONV_2D", "dilationHFactor", 1000), "CONV_2D moves a kernel of 3 by 1, dilated by 1000, over 52"),
        (set_option("CONV_2D", "padding", 9), "CONV_2D has an input of shape"),
        (set_option("CONV_2D", "fusedActivationFunction", 4), "CONV_2D has activation 4"),
        (set_option("DEPTHWISE_CONV_2D", "depthMultiplier", 7), "DEPTHWISE_CONV_2D has 1 channels"),
        (set_option("FULLY_CONNECTED", "weightsFormat", 1), "FULLY_CONNECTED has weights"),
        (set_shape("DEQUANTIZE", "outputs", 0, (200, 24)), "DEQUANTIZE gives"),
        (set_tensor("QUANTIZE", "outputs", 0, scale=np.zeros(1, np.float32)), "a scale is not between"),
        (set_tensor("QUANTIZE", "outputs", 0, scale=np.array([np.nan], np.float32)), "a scale is not between"),
        (set_tensor("QUANTIZE", "outputs", 0, scale=np.ones(3, np.float32)), "has 3 scales"),
        (set_tensor("QUANTIZE", "outputs", 0, zeroPoint=np.array([500])), "a zero point lies outside its type"),
        (set_tensor("CONV_2D", "outputs", 0, scale=np.full(1, 1e-9, np.float32)), "CONV_2D .* are too far apart"),
        (set_tensor("CONV_2D", "inputs", 1, quantizedDimension=3), "a tensor of shape .* has 32 scales"),
        (set_tensor("CONV_2D", "inputs", 2, type=schema.TensorType.FLOAT32), "CONV_2D has a bias of float32"),
        (set_tensor("LOG", "outputs", 0, type=schema.TensorType.INT32), "LOG computes int32 from float32"),
    ],
)
def test_an_operator_that_does_not_fit_its_tensors_is_refused_with_the_reason(edit: Edit, reason: str) -> None:
    with pytest.raises(InterpreterError, match=f"m is not a TFLite model that runs here .*{reason}"):
        check_model(edited(SHIPPED, edit), "m")


def test_a_model_that_computes_for_seconds_a_clip_is_refused(tiny_model: bytes) -> None:
    def much(model: schema.ModelT) -> None:
        """Keep the first convolution alone, moved by 2 samples in place of 640 and with 128 filters in place of 16."""
        graph, convolution = model.subgraphs[0], operator(model, "DEPTHWISE_CONV_2D")
        set_option("DEPTHWISE_CONV_2D", "strideW", 2)(model)
        set_option("DEPTHWISE_CONV_2D", "depthMultiplier", 128)(model)
        set_shape("DEPTHWISE_CONV_2D", "inputs", 1, (1, 1, 640, 128))(model)
        set_shape("DEPTHWISE_CONV_2D", "outputs", 0, (1, 1, 15_681, 128))(model)
        weights = tensor(model, "DEPTHWISE_CONV_2D", "inputs", 1)
        model.buffers[weights.buffer].data = np.zeros(4 * 640 * 128, np.uint8)
        convolution.inputs = convolution.inputs[:2]
        graph.operators, graph.outputs = graph.operators[:2], convolution.outputs
        model.signatureDefs = []

    with pytest.raises(InterpreterError, match=r"it takes 12\d{8} multiply-adds for a clip; expected at most 10{9}"):
        check_model(edited(tiny_model, much), "m")


def test_the_models_that_are_made_here_pass_and_need_no_more_operators(tiny_model: bytes) -> None:
    for model in (SHIPPED, tiny_model, edited(SHIPPED, lambda model: None)):
        check_model(model, "m")
    assert "CONV_2D" in STUDENT_OPERATORS and not STUDENT_OPERATORS & {"WHILE", "IF", "CUSTOM", "CALL_ONCE", "TILE"}


def test_the_check_costs_a_hundredth_of_a_second() -> None:
    times_s = []
    for _ in range(10):
        started_s = time.process_time()
        check_model(SHIPPED, "m")
        times_s.append(time.process_time() - started_s)
    assert min(times_s) < 0.02


def test_a_small_file_that_names_one_table_again_and_again_is_refused_at_once() -> None:
    """Lists in lists of the same tables would be followed for hours: each list has a limit of its own."""

    def repeated(model: schema.ModelT) -> None:
        model.operatorCodes = model.operatorCodes[:1] * 100_000

    content = edited(SHIPPED, repeated)
    started_s = time.process_time()
    with pytest.raises(InterpreterError, match="it has 100000 operator codes; expected at most 32"):
        check_model(content, "m")
    assert time.process_time() - started_s < 1


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_a_sentence(content: bytes) -> None:
    for given_bytes in (content, content[:4] + b"TFL3" + content[4:]):
        with pytest.raises(InterpreterError, match=r"^m is .*TFLite model.*\.$"):
            check_model(given_bytes, "m")


def mutated(model: bytes, number: int) -> bytes:
    """The model with a few bytes replaced, most often near its ends, where the tables are; the same for a number."""
    rng, content = random.Random(number), bytearray(model)
    for _ in range(rng.choice((1, 1, 2, 4))):
        near_end = rng.random() < 0.6
        at = len(content) - 4 - rng.randrange(40_000) if near_end else rng.randrange(len(content) - 4)
        at = max(0, at)
        if rng.random() < 0.5:
            content[at] = rng.randrange(256)
        else:
            struct.pack_into("<I", content, at & ~3, rng.choice((0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)))
    return bytes(content)


def run_mutated(path: str, first: int, count: int) -> None:
    """Run mutated models one after the other; to be called in a process of its own, which a bad one would end."""
    model, clip, n_run = Path(path).read_bytes(), np.zeros(32_000, np.float32), 0
    for number in range(first, first + count):
        try:
            LiteRtInterpreter(mutated(model, number)).run(clip)
            n_run += 1
        except InterpreterError as error:
            assert "\n" not in str(error) and len(str(error)) < 400
    print("ran", n_run)


@pytest.mark.parametrize("count", [150, pytest.param(5000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("which", ["shipped", "tiny"])
def test_a_model_with_any_bytes_replaced_runs_or_is_refused_and_never_ends_the_process(
    tmp_path: Path, tiny_model: bytes, which: str, count: int
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(SHIPPED if which == "shipped" else tiny_model)
    code = f"from tests.core.model.test_check import run_mutated; run_mutated({str(path)!r}, 0, {count})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-500:]
    assert int(done.stdout.split()[-1]) > 0
