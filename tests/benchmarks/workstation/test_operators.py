"""Operators: bytes and precision are those of the layers, times are those of operators that run alone."""

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import command
from benchmarks.results.names import DYNAMIC, FLOAT, INT8
from benchmarks.results.result import check_result, read_result
from benchmarks.results.runner import Run
from benchmarks.timing.models import ChosenModel
from benchmarks.workstation.operators import (
    AT_LOAD,
    INTO_NEIGHBOUR,
    copies_of,
    describe_traffic,
    find_constants,
    measure_operators,
    note_of,
    part_of,
    repeat,
    run_preserving,
    time_alone,
    time_operators,
)
from benchmarks.workstation.operators import (
    OPERATORS as KIND,
)
from core.bundle import load_bundle
from quantize.tflite_graph import read_operators
from quantize.tflite_parts import BODY, FRONT_END, HEADS

SHIPPED = load_bundle(None).model_path.read_bytes()
OPERATORS = read_operators(SHIPPED)


def run(*arguments: object):
    return CliRunner().invoke(command.app, ["operators", *map(str, arguments)])


def run_alone(model: bytes, inputs: dict[int, np.ndarray]) -> list[np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    runtime = Interpreter(model_content=model, num_threads=1)
    runtime.allocate_tensors()
    for detail, value in zip(runtime.get_input_details(), inputs.values(), strict=True):
        runtime.set_tensor(detail["index"], value)
    runtime.invoke()
    return [runtime.get_tensor(detail["index"]) for detail in runtime.get_output_details()]


def test_an_operator_repeated_says_each_time_what_it_says_in_the_model():
    values = run_preserving(SHIPPED)
    constants = find_constants(OPERATORS, [0])
    chosen = [next(one for one in OPERATORS if one.kind == kind) for kind in ("CONV_2D", "FULLY_CONNECTED", "ADD")]
    for operator in chosen:
        inputs = [index for index in dict.fromkeys(operator.inputs) if index in values and index not in constants]
        content = repeat(SHIPPED, operator, inputs, 3)
        outputs = run_alone(content, {index: values[index] for index in inputs})
        assert len(outputs) == 3
        for output in outputs:
            np.testing.assert_allclose(output.astype(float), values[operator.outputs[0]].astype(float), atol=1.01)
        assert len(read_operators(content)) in (3, 4)  # with the unpacking of float16 weights
        assert len(content) < len(SHIPPED) / 2


def test_large_outputs_and_many_products_are_repeated_less_often():
    operator = OPERATORS[0]
    tensor = operator.outputs[0]
    assert operator.macs == 0 and copies_of(operator, {tensor: np.zeros(4)}) == 17
    assert copies_of(operator, {tensor: np.zeros(128 * 1024, np.uint8)}) == 4
    assert copies_of(operator, {tensor: np.zeros(10**7)}) == 2
    for macs, copies in ((1_500_000, 10), (40_000_000, 2)):
        assert copies_of(replace(operator, macs=macs), {tensor: np.zeros(4)}) == copies


@pytest.mark.long
def test_an_operator_of_eight_times_the_products_takes_longer():
    alone_us = time_alone(SHIPPED, OPERATORS, [operator.kind == "CONV_2D" for operator in OPERATORS], 1, 20)
    pairs = list(zip(OPERATORS, alone_us, strict=True))
    _, small, *_, large = sorted((operator.macs, us) for operator, us in pairs if operator.kind == "CONV_2D")
    assert large[0] > 5 * small[0] and large[1] > 1.5 * small[1] > 0
    assert {us for operator, us in pairs if operator.kind != "CONV_2D"} == {0.0}


def test_padding_is_folded_where_one_convolution_reads_it_and_constants_are_computed_at_load():
    constants = find_constants(OPERATORS, [0])
    notes = [note_of(operator, OPERATORS, constants) for operator in OPERATORS]
    assert [note == AT_LOAD for note in notes] == [set(operator.outputs) <= constants for operator in OPERATORS]
    folded = [operator for operator, note in zip(OPERATORS, notes, strict=True) if note == INTO_NEIGHBOUR]
    assert {operator.kind for operator in folded} == {"PAD"} and all(
        operator.layer.startswith("body") for operator in folded
    )
    (reader,) = [operator for operator in OPERATORS if folded[0].outputs[0] in operator.inputs]
    read_twice = [*OPERATORS, reader]
    assert note_of(folded[0], read_twice, constants) == ""
    assert note_of(replace(folded[0], is_delegated=False), OPERATORS, constants) == ""


def test_bytes_and_precision_are_those_of_the_layers():
    traffic = describe_traffic(SHIPPED, OPERATORS)
    by_layer = {
        (operator.layer, operator.kind): facts
        for operator, facts in zip(OPERATORS, traffic, strict=True)
        if operator.has_weights
    }
    expand = by_layer["body.blocks.2.expand", "CONV_2D"]
    n_in, n_out, places = 40, 64, 25 * 6
    assert expand.precision == INT8
    assert expand.weight_bytes == 9 * n_in * n_out + 4 * n_out
    assert expand.activation_bytes == places * (n_in + n_out)
    assert expand.shape == "1x25x6x40 to 1x25x6x64"
    assert by_layer["body.stem", "DEPTHWISE_CONV_2D"].precision == FLOAT
    assert by_layer["body.embedding", "FULLY_CONNECTED"].precision == DYNAMIC
    parts = [part_of(number, OPERATORS) for number in range(len(OPERATORS))]
    assert parts == sorted(parts, key=(FRONT_END, BODY, HEADS).index)
    assert {operator.kind for operator, part in zip(OPERATORS, parts, strict=True) if part == HEADS} >= {"MEAN"}


def check_rows(result: dict) -> None:
    whole, *rows = result["rows"]
    assert len(rows) == len(OPERATORS) and len({row["stage"] for row in rows}) == len(rows)
    assert whole["metrics"]["macs"] == sum(operator.macs for operator in OPERATORS)
    assert whole["metrics"]["macs"] == sum(row["metrics"]["macs"] for row in rows)
    assert sum(row["metrics"]["share_of_time"] for row in rows) == pytest.approx(1)
    assert sum(row["metrics"]["us"] for row in rows) == pytest.approx(whole["metrics"]["operators_us"])
    assert sum(kind["us"] for kind in result["facts"]["kinds"]) == pytest.approx(whole["metrics"]["operators_us"])
    assert result["facts"]["kinds"][0]["operator"] == "CONV_2D"
    notes = {row["facts"]["operator"]: row["facts"]["note"] for row in rows if row["metrics"]["us"] == 0}
    assert notes["PAD"] == INTO_NEIGHBOUR and AT_LOAD in notes.values()
    assert {row["facts"]["partition"] for row in rows} == {1}


@pytest.mark.long
def test_a_result_has_a_row_for_each_operator_and_one_for_the_whole():
    result = measure_operators(ChosenModel("shipped", SHIPPED), 1, 200, Run(KIND))
    check_rows(check_result(result, "the result"))


def test_a_model_without_a_logarithm_or_integers_is_timed_too(tiny_model):
    times = time_operators(tiny_model, 1, 10)
    assert [time.operator.kind for time in times.operators] == [
        operator.kind for operator in read_operators(tiny_model)
    ]
    assert times.sum_us > 0
    assert {time.traffic.precision for time in times.operators} == {FLOAT}


@pytest.mark.slow
def test_the_command_writes_the_result_and_says_it(tmp_path):
    out = tmp_path / "operators.json"
    result = run("--json", out)
    assert result.exit_code == 0, result.stderr
    check_rows(read_result(out))
    assert "front end" in result.stdout and "CONV_2D" in result.stdout


def test_what_is_no_model_of_ours_is_refused_in_one_sentence(tmp_path):
    text = tmp_path / "text.tflite"
    text.write_text("not a model")
    unsigned = tmp_path / "unsigned.tflite"
    unsigned.write_bytes(repeat(SHIPPED, OPERATORS[0], [0], 2))
    refusals = {
        "is not a TFLite model": ("--model", str(text)),
        'expected one named "screen"': ("--model", str(unsigned)),
        "cannot be read": ("--model", str(tmp_path / "gone.tflite")),
        "expected one of them": ("--model", str(text), "--bundle", str(tmp_path)),
        "percentiles need at least 200 runs": ("--runs", "3"),
        "there is no folder": ("--json", str(tmp_path / "gone" / "x.json")),
    }
    for words, arguments in refusals.items():
        result = run(*arguments)
        assert result.exit_code == 2 and words in result.stderr and result.stderr.count("\n") == 1
