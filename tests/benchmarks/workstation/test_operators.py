import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmarks.results.result import check_result, read_result
from benchmarks.timing.models import ChosenModel
from benchmarks.workstation import operators, runtime_profiler
from benchmarks.workstation.operator_alignment import align
from benchmarks.workstation.operator_facts import (
    BODY,
    DYNAMIC,
    FLOAT,
    FRONT_END,
    HEADS,
    INT8,
    describe_traffic,
    part_of,
)
from benchmarks.workstation.operators import AT_LOAD, INTO_NEIGHBOUR, combine
from benchmarks.workstation.repeated_operators import copies_of, find_constants, repeat, run_preserving, time_alone
from benchmarks.workstation.runtime_profiler import Profile, ProfilerError, profile, split_events
from core.bundle import load_bundle
from quantize.tflite_graph import read_operators

SHIPPED = load_bundle(None).model_path.read_bytes()
OPERATORS = read_operators(SHIPPED)
APP = typer.Typer()
APP.command()(operators.operators)


def run_alone(model: bytes, inputs: dict[int, np.ndarray]) -> list[np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    runtime = Interpreter(model_content=model, num_threads=1)
    runtime.allocate_tensors()
    for detail, value in zip(runtime.get_input_details(), inputs.values(), strict=True):
        runtime.set_tensor(detail["index"], value)
    runtime.invoke()
    return [runtime.get_tensor(detail["index"]) for detail in runtime.get_output_details()]


def test_the_runtimes_profiler_names_every_operator_that_the_delegate_runs():
    profiled = profile(SHIPPED, runs=5)
    assert profiled.elapsed_us.shape == (5, len(profiled.names))
    assert sum(name.startswith("Convolution") for name in profiled.names) >= 5
    constants = find_constants(OPERATORS, [0])
    kinds = [its.kind for its in OPERATORS if not set(its.outputs) <= constants]
    groups = align(profiled.names, kinds)
    assert sorted(position for group in groups for position in group) == list(range(len(profiled.names)))
    assert {kind for kind, group in zip(kinds, groups, strict=True) if not group} <= {"PAD"}


def test_the_profilers_times_add_up_to_no_more_than_the_runs_that_it_saw():
    profiled = profile(SHIPPED, runs=50)
    sums_us = profiled.elapsed_us.sum(axis=1)
    assert (sums_us < profiled.profiled_us).all()
    assert np.median(sums_us) > 0.5 * np.median(profiled.plain_us)


def test_a_file_that_is_no_model_ends_the_profilers_process_and_not_this_one():
    with pytest.raises(ProfilerError, match="profiler ended with status"):
        profile(b"no model at all", runs=1)


def test_a_runtime_without_its_library_is_said_and_operators_are_then_timed_alone(monkeypatch):
    monkeypatch.setattr(runtime_profiler, "_LIBRARIES", ("libNowhere.so",))
    with pytest.raises(ProfilerError, match=r"holds none of libNowhere\.so"):
        runtime_profiler.Library()

    def refuse(*arguments: object) -> Profile:
        raise ProfilerError("there is no library.")

    monkeypatch.setattr(operators, "profile", refuse)
    times = operators.time_operators(SHIPPED, 1, 10)
    assert times.missing == "there is no library." and times.profiled is None
    assert all(its.low_us is None and its.us == (its.alone_us or 0) for its in times.operators)
    assert times.sum_us > 0


def test_events_are_divided_by_the_length_with_which_each_has_a_type():
    for length in (13, 15):
        words = np.full((4, length), 7, dtype=np.uint64)
        words[:, 1] = (8, 2, 1, 8 + (99 << 32))  # the upper half of a type's word is not initialized
        assert split_events(np.concatenate([words.ravel(), np.zeros(40, np.uint64)]), 4).tolist() == words.tolist()
    with pytest.raises(ProfilerError, match="unknown form"):
        split_events(np.full(80, 7, dtype=np.uint64), 4)


def test_profiled_operators_are_matched_in_order_and_folded_ones_get_none():
    names = ["Slice (ND, X32)", "Convolution (NHWC, QC8) IGEMM", "Fully Connected (NC, QS8, QC8W) GEMM", "GATHER"]
    assert align(names, ["SLICE", "PAD", "CONV_2D", "CONV_2D", "GATHER"]) == [[0], [], [1], [2], [3]]
    assert align(["Copy (NC, X32)"] * 2 + ["Add (ND)"], ["CONCATENATION", "ADD"]) == [[0, 1], [2]]
    assert align(["Convert (NC)", "Fully Connected (NC)"], ["FULLY_CONNECTED"]) == [[0, 1]]
    assert align(["Convert (NC)", "Fully Connected (NC)"], ["QUANTIZE", "FULLY_CONNECTED"]) == [[0], [1]]
    reshaped = ["Static Reshape (NC)", "Static Reshape (NC)", "Fully Connected (NC)"]
    assert align(reshaped, ["RESHAPE", "FULLY_CONNECTED"]) == [[0], [1, 2]]
    assert align(["Fully Connected (NC)"] * 2, ["FULLY_CONNECTED"] * 2) == [[0], [1]]
    for strange in (["Add (ND)"], ["Add (ND)", "Log (NC)", "Log (NC)"], []):
        with pytest.raises(ProfilerError, match="do not fit"):
            align(strange, ["ADD", "LOG"])


def test_an_operator_repeated_says_each_time_what_it_says_in_the_model():
    values = run_preserving(SHIPPED)
    constants = find_constants(OPERATORS, [0])
    chosen = [next(its for its in OPERATORS if its.kind == kind) for kind in ("CONV_2D", "FULLY_CONNECTED", "ADD")]
    for operator in chosen:
        inputs = [index for index in dict.fromkeys(operator.inputs) if index in values and index not in constants]
        content = repeat(SHIPPED, operator, inputs, 3)
        outputs = run_alone(content, {index: values[index] for index in inputs})
        assert len(outputs) == 3
        for output in outputs:
            np.testing.assert_allclose(output.astype(float), values[operator.outputs[0]].astype(float), atol=1.01)
        assert len(read_operators(content)) in (3, 4)  # with the unpacking of float16 weights
        assert len(content) < len(SHIPPED) / 2


def test_large_outputs_are_repeated_less_often():
    operator = OPERATORS[0]
    tensor = operator.outputs[0]
    assert copies_of(operator, {tensor: np.zeros(4)}) == 17
    assert copies_of(operator, {tensor: np.zeros(128 * 1024, np.uint8)}) == 4
    assert copies_of(operator, {tensor: np.zeros(10**7)}) == 2


def test_an_operator_of_eight_times_the_products_takes_longer():
    alone = time_alone(SHIPPED, OPERATORS, 1, 20)
    convolutions = sorted((its.macs, us) for its, us in zip(OPERATORS, alone, strict=True) if its.kind == "CONV_2D")
    small, large = convolutions[1], convolutions[-1]
    assert large[0] > 5 * small[0] and large[1] > 1.5 * small[1]
    constants = find_constants(OPERATORS, [0])
    assert [us is None for us in alone] == [set(its.outputs) <= constants for its in OPERATORS]


def test_the_fraction_of_a_microsecond_comes_from_the_operator_alone_and_stays_within_what_the_profiler_saw():
    first, rest = OPERATORS[0], OPERATORS[1]
    traffic = describe_traffic(SHIPPED, OPERATORS)
    expected = {2.4: 2.4, 9.0: 3.0, 0.5: 2.0, None: 2.5}
    for alone, us in expected.items():
        names = ("Static Reshape (NC)", "Slice (ND, X32)")
        profiled = Profile(names, np.array([[2, 0], [2, 0], [8, 0]]), np.ones(3), np.ones(3))
        its = combine([first, rest], traffic[:2], [False, False], [alone, 0.25], profiled)
        assert (its[0].us, its[0].low_us, its[0].high_us) == (us, 2.0, 3.0)
        assert its[1].us == 0.25


def test_bytes_and_precision_are_those_of_the_layers():
    traffic = describe_traffic(SHIPPED, OPERATORS)
    by_layer = {
        (its.layer, its.kind): (its, facts) for its, facts in zip(OPERATORS, traffic, strict=True) if its.has_weights
    }
    _, expand = by_layer["body.blocks.2.expand", "CONV_2D"]
    n_in, n_out, places = 40, 64, 25 * 6
    assert expand.precision == INT8
    assert expand.weight_bytes == 9 * n_in * n_out + 4 * n_out
    assert expand.activation_bytes == places * (n_in + n_out)
    assert expand.shape == "1x25x6x40 to 1x25x6x64"
    assert by_layer["body.stem", "DEPTHWISE_CONV_2D"][1].precision == FLOAT
    assert by_layer["body.embedding", "FULLY_CONNECTED"][1].precision == DYNAMIC
    parts = [part_of(number, OPERATORS) for number in range(len(OPERATORS))]
    assert parts == sorted(parts, key=(FRONT_END, BODY, HEADS).index)
    assert {its.kind for its, part in zip(OPERATORS, parts, strict=True) if part == HEADS} >= {"MEAN"}


def check_rows(result: dict) -> None:
    whole, *rows = result["rows"]
    assert len(rows) == len(OPERATORS) and len({row["stage"] for row in rows}) == len(rows)
    assert whole["metrics"]["macs"] == sum(its.macs for its in OPERATORS) == sum(r["metrics"]["macs"] for r in rows)
    assert sum(row["metrics"]["share_of_time"] for row in rows) == pytest.approx(1)
    assert sum(row["metrics"]["us"] for row in rows) == pytest.approx(whole["metrics"]["operators_us"])
    notes = {row["facts"]["operator"]: row["facts"]["note"] for row in rows if row["metrics"]["us"] == 0}
    assert notes["PAD"] == INTO_NEIGHBOUR and AT_LOAD in notes.values()
    assert {row["facts"]["partition"] for row in rows} == {1}
    assert all(row["metrics"]["profiler_low_us"] <= row["metrics"]["us"] for row in rows if not row["facts"]["note"])


def test_a_result_has_a_row_for_each_operator_and_one_for_the_whole():
    times = operators.time_operators(SHIPPED, 1, 10)
    check_rows(check_result(operators.operators_result(ChosenModel("shipped", SHIPPED), times, 1), "the result"))


def test_a_model_without_a_logarithm_or_integers_is_timed_too(tiny_model):
    times = operators.time_operators(tiny_model, 1, 10)
    expected = read_operators(tiny_model)
    assert [its.operator.kind for its in times.operators] == [its.kind for its in expected]
    assert times.missing == "" and times.profiled is not None and times.sum_us > 0
    assert {its.traffic.precision for its in times.operators} == {FLOAT}


@pytest.mark.slow
def test_the_command_writes_the_result_and_says_it(tmp_path):
    out = tmp_path / "operators.json"
    result = CliRunner().invoke(APP, ["--json", str(out)])
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
        result = CliRunner().invoke(APP, list(arguments))
        assert result.exit_code == 2 and words in result.stderr and result.stderr.count("\n") == 1


def test_the_profilers_own_program_prints_json(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(SHIPPED)
    command = [sys.executable, "-m", "benchmarks.workstation.runtime_profiler", str(path), "2", "1"]
    said = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(runtime_profiler.__file__).parents[2]
    )
    assert len(json.loads(said.stdout)["elapsed_us"]) == 2
