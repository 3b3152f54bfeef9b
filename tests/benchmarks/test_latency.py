import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import latency
from benchmarks.interleaved import Contender, Timing, ratio_with_interval, summarize, time_interleaved

YAMNET = Path(__file__).parents[3] / "shared" / "models" / "yamnet.tflite"


def contender(name: str, audio_s: float, run=lambda: None) -> Contender:
    return Contender(name, run, audio_s, load_s=0.002, facts={"model_sha256": "0" * 64})


def run_latency(*arguments: object):
    return CliRunner().invoke(latency.app, ["latency", *(str(argument) for argument in arguments)])


def test_models_run_in_turns_after_the_first_runs_and_five_warm_ups():
    order: list[str] = []
    contenders = [contender(name, 2.0, lambda name=name: order.append(name)) for name in ("ours", "theirs")]
    rounds: list[int] = []
    timings = time_interleaved(contenders, min_runs=7, on_round=rounds.append)
    assert order == ["ours", "theirs"] * (1 + 5 + 7)
    assert rounds == list(range(1, 8))
    assert all(timing.runs_s.shape == (7,) and timing.runs_s.min() > 0 for timing in timings)


def test_a_longer_measurement_goes_on_beyond_the_fewest_runs():
    (timing,) = time_interleaved([contender("ours", 2.0)], min_runs=1, min_duration_s=0.05)
    assert len(timing.runs_s) > 100


def test_percentiles_are_in_milliseconds_and_per_second_of_audio():
    timing = Timing(first_s=0.5, runs_s=np.arange(1, 101) / 1000)
    summary = summarize(contender("ours", 2.0), timing)
    assert summary["p50_ms"] == pytest.approx(50.5)
    assert summary["p90_ms"] == pytest.approx(90.1)
    assert summary["p99_ms"] == pytest.approx(99.01)
    assert summary["p50_ms_per_audio_s"] == pytest.approx(25.25)
    assert (summary["first_run_ms"], summary["load_ms"], summary["n_runs"]) == (500, 2, 100)


def test_the_ratio_is_per_second_of_audio_and_its_interval_holds_it():
    generator = np.random.default_rng(1)
    load = generator.gamma(20, 1, 300)
    ours = contender("ours", 2.0), Timing(0.1, 0.001 * load * generator.uniform(0.95, 1.05, 300))
    theirs = contender("YAMNet", 0.5), Timing(0.1, 0.002 * load)
    ratio = ratio_with_interval(ours, theirs)
    assert ratio["low"] < ratio["value"] < ratio["high"]
    assert ratio["value"] == pytest.approx(0.5 * 0.5 / 2.0, rel=0.05)
    assert ratio["high"] - ratio["low"] < 0.05 * ratio["value"]


def test_the_command_measures_a_bundle_and_writes_what_its_times_depend_on(tiny_bundle, tmp_path):
    out = tmp_path / "latency.json"
    model = tiny_bundle / "model.tflite"
    result = run_latency("--bundle", tiny_bundle, "--float", model, "--yamnet", tmp_path / "gone", "--json", out)
    assert result.exit_code == 0, result.stderr
    assert f"YAMNet is left out: there is no file {tmp_path / 'gone'}" in result.stderr
    report = json.loads(out.read_text(encoding="utf-8"))
    assert [its["name"] for its in report["results"]] == ["test bundle", "model.tflite"]
    for its in report["results"]:
        assert its["n_runs"] == 200
        assert 0 < its["min_ms"] <= its["p50_ms"] <= its["p90_ms"] <= its["p99_ms"]
        assert its["of_yamnet_per_audio_s"] is None and its["audio_s"] == 2.0
        assert re.fullmatch("[0-9a-f]{64}", its["model_sha256"])
        assert its["delegate"].startswith("XNNPACK, ")
    assert report["runtime"].startswith("ai-edge-litert 2") and report["threads"] == 1 and report["commit"]
    assert report["device"]["cpu"] and report["device"]["n_cores"] >= 1
    assert "p50 per s" in result.stdout and report["results"][0]["model_sha256"][:12] in result.stdout


def test_yamnet_stands_beside_the_bundle_with_a_ratio_and_an_interval(tiny_bundle, tmp_path):
    if not YAMNET.exists():
        pytest.skip("YAMNet is not in ../shared/models")
    result = run_latency("--bundle", tiny_bundle, "--yamnet", YAMNET, "--json", tmp_path / "latency.json")
    assert result.exit_code == 0, result.stderr
    ours, yamnet = json.loads((tmp_path / "latency.json").read_text(encoding="utf-8"))["results"]
    assert yamnet["audio_s"] == 0.975 and yamnet["of_yamnet_per_audio_s"] is None
    ratio = ours["of_yamnet_per_audio_s"]
    expected = ours["p50_ms_per_audio_s"] / yamnet["p50_ms_per_audio_s"]
    assert ratio["value"] == pytest.approx(expected) and ratio["low"] <= ratio["value"] <= ratio["high"]
    assert "of YAMNet's time per second of audio" in result.stdout


def test_too_few_runs_a_missing_bundle_and_an_unwritable_result_are_refused(tiny_bundle, tmp_path):
    refusals = {
        "--runs is 20; percentiles need at least 200 runs": ("--runs", 20),
        "there is no such bundle folder": ("--bundle", tmp_path / "gone"),
        "cannot be written: there is no folder": ("--bundle", tiny_bundle, "--json", tmp_path / "gone" / "x.json"),
        "is not a TFLite model": ("--bundle", tiny_bundle, "--model", tiny_bundle / "bundle.json"),
    }
    for words, arguments in refusals.items():
        result = run_latency(*arguments)
        assert result.exit_code == 2
        assert words in result.stderr
        assert result.stderr.startswith("tussis-benchmark: ")
