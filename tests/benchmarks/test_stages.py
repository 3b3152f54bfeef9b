import json

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from typer.testing import CliRunner

from benchmarks import latency, peak, stages
from benchmarks.cut_model import cut_after, front_end_length
from benchmarks.interleaved import Timing
from benchmarks.peak import PeakShape
from core.bundle import load_bundle
from core.errors import InterpreterError
from distill.phone_front_end import PhoneFrontEnd
from quantize.graph import read_operators
from quantize.synthesized_clips import synthesized_clips

SHIPPED = load_bundle(None).model_path


def test_the_cut_model_gives_the_features_of_the_front_end():
    content = SHIPPED.read_bytes()
    operators = read_operators(content)
    n_front = front_end_length(operators)
    assert 0 < n_front < len(operators) and "CONV_2D" not in {its.kind for its in operators[:n_front]}
    runtime = Interpreter(model_content=cut_after(content, n_front), num_threads=1)
    runtime.allocate_tensors()
    (output,) = runtime.get_output_details()
    clip = synthesized_clips(2)[1:]
    runtime.set_tensor(runtime.get_input_details()[0]["index"], clip)
    runtime.invoke()
    features = runtime.get_tensor(output["index"]).reshape(100, 64)
    expected = PhoneFrontEnd()(torch.from_numpy(clip))[0, 0].numpy()
    assert np.abs(features - expected).mean() < 0.01  # the shipped matrices are kept as float16


def test_a_model_without_a_front_end_is_refused(tiny_bundle):
    with pytest.raises(InterpreterError, match='no layer named "front_end"'):
        front_end_length(read_operators((tiny_bundle / "model.tflite").read_bytes()))


def test_the_multiply_accumulates_of_the_shipped_body_are_those_of_its_layers():
    content = SHIPPED.read_bytes()
    n_front = front_end_length(read_operators(content))
    body = peak.count_macs(content) - peak.count_macs(cut_after(content, n_front))
    stem, blocks = 50 * 32 * 16 * 9, 0
    shapes = (
        (50, 16, 16, 64, 24),
        (25, 8, 24, 96, 40),
        (25, 8, 40, 120, 40),
        (25, 4, 40, 160, 80),
        (25, 4, 80, 192, 80),
    )
    for steps, bands, n_in, n_expanded, n_out in shapes:
        blocks += steps * bands * n_expanded * (9 * n_in + n_out)
    heads = 25 * 4 * 80 * 192 + 25 * 2 * 4 * 192 + 192 * 512 + 512 * 8
    assert body == stem + blocks + heads


def test_the_body_is_the_whole_less_the_front_end_and_stands_against_the_int8_peak():
    rows = stages.stage_rows(
        Timing(1.0, np.full(5, 0.003)),
        Timing(1.0, np.full(5, 0.001)),
        90_000_000,
        10_000_000,
        {"float32": 20.0, "int8": 50.0},
    )
    assert rows["body"] == pytest.approx(
        {"p50_ms": 2.0, "share_of_time": 2 / 3, "macs": 80_000_000, "gmacs_per_s": 40.0, "share_of_peak": 0.8}
    )
    assert rows["front_end"]["share_of_peak"] == pytest.approx(0.5)
    assert rows["whole"]["gmacs_per_s"] == pytest.approx(30.0)


@pytest.mark.slow
def test_the_command_measures_stages_and_peaks_and_writes_them(monkeypatch, tmp_path):
    shapes = (PeakShape(1, 32, 8, 8), PeakShape(3, 16, 8, 8))
    monkeypatch.setattr(peak.load_peak_models, "__defaults__", (shapes,))
    out = tmp_path / "stages.json"
    result = CliRunner().invoke(latency.app, ["stages", "--json", str(out)])
    assert result.exit_code == 0, result.stderr
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["schema"] == "tussis.stages/1" and report["commit"]
    assert [its["macs"] for its in report["peaks"]] == [4 * 64 * 32 * 32] * 2 + [4 * 64 * 16 * 16 * 9] * 2
    assert [its["precision"] for its in report["peaks"]] == ["float32", "int8"] * 2
    assert report["stages"]["whole"]["macs"] == sum(report["stages"][name]["macs"] for name in ("front_end", "body"))
    assert "front end" in result.stdout and "int8" in result.stdout


def test_too_few_runs_and_an_unwritable_result_are_refused_before_anything_is_built(tmp_path):
    refusals = {
        "--runs is 20; percentiles need at least 200 runs": ("--runs", "20"),
        "cannot be written: there is no folder": ("--json", str(tmp_path / "gone" / "x.json")),
    }
    for words, arguments in refusals.items():
        result = CliRunner().invoke(latency.app, ["stages", *arguments])
        assert result.exit_code == 2
        assert words in result.stderr
