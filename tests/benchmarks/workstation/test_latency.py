import resource
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import command
from benchmarks.results.names import DETECTOR_NAME, OURS, PEER
from benchmarks.results.result import read_result
from benchmarks.timing.interleaved import Contender, Timing
from benchmarks.timing.runtime import DELEGATES
from benchmarks.timing.screening import write_recording
from benchmarks.workstation.latency import ratios_to_peers
from core.stopwatch import STAGES
from quantize.tflite_parts import BODY, FRONT_END, HEADS

YAMNET = Path(__file__).parents[4] / "shared" / "models" / "yamnet.tflite"


def run_latency(*arguments: object):
    return CliRunner().invoke(command.app, ["latency", *(str(argument) for argument in arguments)])


@pytest.fixture
def short(tmp_path):
    """Options for a recording of 2 s: each stage is timed 400 times at least."""
    return ("--recording", write_recording(tmp_path / "short.wav", seconds=2))


SCREENING_STAGES = ["screening", *(f"screening: {name}" for name in STAGES)]


def refuse(words: str, *arguments: object) -> None:
    result = run_latency(*arguments)
    said = result.stderr.splitlines()[-1]
    assert result.exit_code == 2 and not result.stdout
    assert said.startswith("tussis-benchmark: ") and words in said


@pytest.mark.long
def test_the_command_measures_a_bundle_and_writes_what_its_times_depend_on(tiny_bundle, tmp_path, short):
    out = tmp_path / "latency.json"
    model = tiny_bundle / "model.tflite"
    chosen = ("--bundle", tiny_bundle, "--model", model, "--yamnet", tmp_path / "gone")
    result = run_latency(*chosen, *short, "--json", out)
    assert result.exit_code == 0, result.stderr
    assert f"YAMNet is left out: there is no file {tmp_path / 'gone'}" in result.stderr
    assert "Front end, body and heads are not told apart" in result.stderr
    report = read_result(out)
    stages = [*SCREENING_STAGES, "model"]
    *rows, yardstick = report["rows"]
    assert yardstick["stage"] == "yardstick" and yardstick["audio_s"] is None and yardstick["n_runs"] == 200
    assert [(row["name"], row["stage"]) for row in rows] == [
        *(("test bundle", stage) for stage in stages),
        *(("model.tflite", stage) for stage in stages),
    ]
    for row in rows:
        metrics = row["metrics"]
        assert row["n_runs"] == len(row["samples_ms"]) == 200
        assert (
            0 <= metrics["min_ms"] <= metrics["p50_ms"] <= metrics["p90_ms"] <= metrics["p99_ms"] <= metrics["max_ms"]
        )
        assert metrics["first_run_ms"] >= 0 and ("load_ms" in metrics) == (": " not in row["stage"])
        assert metrics.get("load_ms", 1) > 0 and metrics.get("allocate_ms", 1) > 0
        assert (row["audio_s"], row["threads"], row["delegate"]) == (2, 1, "xnnpack")
        assert row["runtime"].startswith("ai-edge-litert 2") and row["cpu"] and row["commit"]
    assert "ratios" not in report and report["facts"]["n_runs"] == 200
    assert report["rows"][7]["model_sha256"][:12] in result.stdout
    assert not out.with_name("latency.json.partial").exists()


@pytest.mark.slow
def test_the_shipped_bundle_is_measured_stage_by_stage(default_bundle, tmp_path):
    out = tmp_path / "latency.json"
    result = run_latency("--yamnet", tmp_path / "gone", "--threads", 1, "--threads", 2, "--json", out)
    assert result.exit_code == 0, result.stderr
    report = read_result(out)
    per_block = [*SCREENING_STAGES, "model", FRONT_END, BODY, HEADS, "yardstick"]
    assert [row["stage"] for row in report["rows"]] == 2 * per_block
    assert [row["threads"] for row in report["rows"]] == [1] * len(per_block) + [2] * len(per_block)
    assert [row["audio_s"] for row in report["rows"] if row["stage"] == "screening"] == [10, 10]


@pytest.mark.long
def test_yamnet_stands_beside_the_bundle_with_a_ratio_and_an_interval(tiny_bundle, tmp_path, short):
    if not YAMNET.exists():
        pytest.skip("YAMNet is not in ../shared/models")
    result = run_latency("--bundle", tiny_bundle, "--yamnet", YAMNET, *short, "--json", tmp_path / "latency.json")
    assert result.exit_code == 0, result.stderr
    report = read_result(tmp_path / "latency.json")
    ours, yamnet = (row for row in report["rows"] if row["stage"] == "model")
    (ratio,) = report["ratios"]
    assert (ratio["name"], ratio["to"]) == ("test bundle", "YAMNet") and yamnet["audio_s"] == 0.975
    expected = ours["metrics"]["rtf"] / yamnet["metrics"]["rtf"]
    assert ratio["value"] == pytest.approx(expected) and ratio["low"] <= ratio["value"] <= ratio["high"]
    assert "ratios, name test bundle, to YAMNet, threads 1, delegate xnnpack" in result.stdout


@pytest.mark.long
def test_delegates_stand_side_by_side_and_one_that_is_absent_is_refused(tiny_bundle, tmp_path, short):
    out = tmp_path / "latency.json"
    ours = ("--bundle", tiny_bundle, "--yamnet", tmp_path / "gone", *short)
    chosen = [word for name in DELEGATES for word in ("--delegate", name)]
    result = run_latency(*ours, *chosen, "--json", out)
    assert result.exit_code == 0, result.stderr
    rows = [row for row in read_result(out)["rows"] if row["stage"] == "model"]
    assert [row["delegate"] for row in rows] == list(DELEGATES)
    assert [row["metrics"]["n_partitions"] for row in rows][1:] == [0] and rows[0]["metrics"]["n_partitions"] > 0
    refuse("the delegate 'gpu' is not there on this machine; expected one of xnnpack", *ours, "--delegate", "gpu")


def test_a_number_of_threads_that_is_asked_for_twice_is_measured_once():
    from benchmarks.workstation.latency import make_plan

    assert make_plan([1, 2, 4, 2], None, 200, 0).threads == (1, 2, 4)


@pytest.mark.long
def test_peers_by_file_stand_beside_the_bundle(tiny_bundle, tmp_path, write_onnx, short):
    out, onnx, tflite = tmp_path / "latency.json", write_onnx([1, 16_000]), tmp_path / "peer.tflite"
    tflite.write_bytes((tiny_bundle / "model.tflite").read_bytes())
    chosen = ("--bundle", tiny_bundle, "--yamnet", tmp_path / "gone", "--peer", onnx, "--peer", tflite)
    result = run_latency(*chosen, *short, "--json", out)
    assert result.exit_code == 0, result.stderr
    report = read_result(out)
    ours, tflite_row, onnx_row = [row for row in report["rows"] if row["stage"] == "model"]
    assert (onnx_row["name"], onnx_row["audio_s"], onnx_row["threads"]) == ("peer.onnx", 1.0, 1)
    assert onnx_row["runtime"].startswith("onnxruntime ") and onnx_row["delegate"] == "onnxruntime CPU"
    assert (tflite_row["name"], tflite_row["audio_s"]) == ("peer.tflite", 2.0)
    assert tflite_row["model_sha256"] == ours["model_sha256"] != onnx_row["model_sha256"]
    assert [ratio["to"] for ratio in report["ratios"]] == ["peer.tflite", "peer.onnx"]


def test_what_cannot_be_measured_is_refused_with_one_sentence(tiny_bundle, tmp_path):
    refuse("--runs is 20; percentiles need at least 200 runs", "--runs", 20)
    refuse("there is no such bundle folder", "--bundle", tmp_path / "gone")
    refuse("cannot be written: there is no folder", "--bundle", tiny_bundle, "--json", tmp_path / "gone" / "x.json")
    (tmp_path / "old.json.partial").write_text("{}")
    refuse("holds rows of a run that ended early", "--bundle", tiny_bundle, "--json", tmp_path / "old.json")


def test_a_model_of_another_signature_is_refused(tiny_bundle, tmp_path):
    for path, words in (
        (tiny_bundle / "bundle.json", "is not a TFLite model"),
        (YAMNET, 'expected one named "screen"'),
    ):
        if path.exists():
            result = run_latency("--bundle", tiny_bundle, "--model", path)
            assert result.exit_code == 2 and words in result.stderr and str(path) in result.stderr


@pytest.mark.long
def test_a_full_disk_keeps_the_finished_rows_and_says_where(tiny_bundle, tmp_path, short):
    out = tmp_path / "latency.json"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        result = run_latency("--bundle", tiny_bundle, "--yamnet", tmp_path / "gone", *short, "--json", out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.exit_code == 2 and f"rows are kept in {out}.partial." in result.stderr
    assert not out.exists() and len(read_result(Path(f"{out}.partial"))["rows"]) >= 2


def timed(name: str, seconds: float, role: str = PEER, **changes: object) -> tuple[Contender, Timing]:
    return Contender(name, lambda: None, 2.0, 0.0, {"role": role}, **changes), Timing(1.0, np.full(9, seconds))


def test_a_ratio_is_to_the_fastest_precision_of_a_peer():
    peers = timed(f"{DETECTOR_NAME}, int8", 0.008), timed(f"{DETECTOR_NAME}, float32", 0.004)
    pairs = [timed("ours", 0.001, OURS), *peers]
    (ratio,) = ratios_to_peers(pairs, threads=2)
    assert (ratio["name"], ratio["to"], ratio["threads"]) == ("ours", DETECTOR_NAME, 2)
    assert ratio["value"] == pytest.approx(0.25)
    assert ratios_to_peers(pairs[:1], threads=2) == [] and ratios_to_peers(pairs[1:], threads=2) == []


def test_a_ratio_is_to_peers_with_the_same_delegate_or_in_another_runtime():
    pairs = [timed("ours", 0.001, OURS, delegate="builtin"), timed("ours", 0.004, OURS, stage="screening")]
    pairs += [timed("a", 0.002), timed("b", 0.002, delegate="builtin"), timed("c", 0.002, runtime="onnxruntime 1")]
    assert [(ratio["name"], ratio["to"], ratio["delegate"]) for ratio in ratios_to_peers(pairs, threads=1)] == [
        *(("ours", "b", "builtin"), ("ours", "c", "builtin"))
    ]
