import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import command
from benchmarks.results.result import read_result
from benchmarks.timing.interleaved import Contender, Timing, ratio_with_interval, time_interleaved
from benchmarks.timing.peers import PeerInput, load_peer, resolve_shape
from benchmarks.timing.runtime import DELEGATES, model_costs
from benchmarks.timing.screening import load_screening, write_recording
from core.bundle import Bundle
from core.errors import InterpreterError
from core.screener import screen_recording
from core.stopwatch import STAGES
from core.wav import read_wav_format
from quantize.tflite_parts import BODY, FRONT_END, HEADS, three_parts

YAMNET = Path(__file__).parents[4] / "shared" / "models" / "yamnet.tflite"


def contender(name: str, audio_s: float, run=lambda: None) -> Contender:
    return Contender(name, run, audio_s, load_s=0.002, facts={"model_sha256": "0" * 64})


def run_latency(*arguments: object):
    return CliRunner().invoke(command.app, ["latency", *(str(argument) for argument in arguments)])


def test_models_run_in_turns_after_the_first_runs_and_five_warm_ups():
    order: list[str] = []
    contenders = [contender(name, 2.0, lambda name=name: order.append(name)) for name in ("ours", "theirs")]
    rounds: list[int] = []
    timings = time_interleaved(contenders, min_runs=7, on_round=rounds.append)
    assert order == ["ours", "theirs"] * (1 + 5) + ["ours", "ours", "theirs", "theirs"] * 7
    assert rounds == list(range(1, 8))
    assert all(timing.runs_s.shape == (7,) and timing.runs_s.min() > 0 for timing in timings)


def test_a_longer_measurement_goes_on_beyond_the_fewest_runs():
    (timing,) = time_interleaved([contender("ours", 2.0)], min_runs=1, min_duration_s=0.05)
    assert len(timing.runs_s) > 100


def test_the_ratio_is_per_second_of_audio_and_its_interval_holds_it():
    generator = np.random.default_rng(1)
    load = generator.gamma(20, 1, 300)
    ours = contender("ours", 2.0), Timing(0.1, 0.001 * load * generator.uniform(0.95, 1.05, 300))
    theirs = contender("YAMNet", 0.5), Timing(0.1, 0.002 * load)
    ratio = ratio_with_interval(ours, theirs)
    assert ratio["low"] < ratio["value"] < ratio["high"]
    assert ratio["value"] == pytest.approx(0.5 * 0.5 / 2.0, rel=0.05)
    assert ratio["high"] - ratio["low"] < 0.05 * ratio["value"]


SCREENING_STAGES = ["screening", *(f"screening: {name}" for name in STAGES)]


def refuse(words: str, *arguments: object) -> None:
    result = run_latency(*arguments)
    said = result.stderr.splitlines()[-1]
    assert result.exit_code == 2 and not result.stdout
    assert said.startswith("tussis-benchmark: ") and words in said


def test_the_command_measures_a_bundle_and_writes_what_its_times_depend_on(tiny_bundle, tmp_path):
    out = tmp_path / "latency.json"
    model = tiny_bundle / "model.tflite"
    result = run_latency("--bundle", tiny_bundle, "--model", model, "--yamnet", tmp_path / "gone", "--json", out)
    assert result.exit_code == 0, result.stderr
    assert f"YAMNet is left out: there is no file {tmp_path / 'gone'}" in result.stderr
    assert "Front end, body and heads are not told apart" in result.stderr
    report = read_result(out)
    stages = [*SCREENING_STAGES, "model"]
    *rows, yardstick = report["rows"]
    assert yardstick["stage"] == "yardstick" and yardstick["audio_s"] is None and yardstick["n_runs"] == 200
    assert [(its["name"], its["stage"]) for its in rows] == [
        *(("test bundle", stage) for stage in stages),
        *(("model.tflite", stage) for stage in stages),
    ]
    for its in rows:
        metrics = its["metrics"]
        assert its["n_runs"] == len(its["samples_ms"]) == 200
        assert (
            0 <= metrics["min_ms"] <= metrics["p50_ms"] <= metrics["p90_ms"] <= metrics["p99_ms"] <= metrics["max_ms"]
        )
        assert metrics["first_run_ms"] >= 0 and ("load_ms" in metrics) == (": " not in its["stage"])
        assert metrics.get("load_ms", 1) > 0 and metrics.get("allocate_ms", 1) > 0
        assert (its["audio_s"], its["threads"], its["delegate"]) == (2 if its["stage"] == "model" else 10, 1, "xnnpack")
        assert its["runtime"].startswith("ai-edge-litert 2") and its["cpu"] and its["commit"]
    assert "ratios" not in report and report["facts"]["n_runs"] == 200
    assert report["rows"][7]["model_sha256"][:12] in result.stdout
    assert not out.with_name("latency.json.partial").exists()


def test_the_stages_of_a_screening_add_up_to_no_more_than_the_whole(tiny_bundle, tmp_path):
    from core.bundle import load_bundle

    bundle = load_bundle(tiny_bundle)
    recording = write_recording(tmp_path / "a.wav")
    screening = load_screening(bundle, bundle.model_path, recording, 1, "ours", "xnnpack")
    (timing,) = time_interleaved([screening.contender], min_runs=3)
    stages = screening.stages(3)
    assert [its.stage for its, _ in stages] == SCREENING_STAGES[1:]
    assert np.all(sum(its.runs_s for _, its in stages) <= timing.runs_s)
    assert screening.contender.facts["n_clips"] == 9
    assert len(screening.timings_ms) == 1 + 5 + 2 * 3


def test_the_benchmark_screens_as_the_app_does(default_bundle: Bundle, tmp_path):
    recording = write_recording(tmp_path / "a.wav")
    with recording.open("rb") as file:
        assert read_wav_format(file, recording).sample_rate_hz == 44_100
    screening = screen_recording(recording, default_bundle)
    assert screening.quality.acceptable and screening.cough_count >= 3
    assert screening.recording.duration_s == pytest.approx(10)


def test_a_student_is_cut_into_front_end_body_and_heads_whose_sums_are_the_whole(default_bundle: Bundle):
    content = default_bundle.read_model()
    parts = three_parts(content, "the shipped model")
    assert list(parts) == [FRONT_END, BODY, HEADS]
    macs = {name: model_costs(its, "xnnpack", name)["macs"] for name, its in parts.items()}
    assert sum(macs.values()) == model_costs(content, "xnnpack", "the model")["macs"]
    assert macs[BODY] > macs[FRONT_END] > macs[HEADS] > 0


def test_the_weights_that_a_model_reads_are_within_its_file(default_bundle: Bundle):
    content = default_bundle.read_model()
    costs = model_costs(content, "xnnpack", "the shipped model")
    assert 0.8 * len(content) < costs["weight_bytes"] < len(content)
    assert costs["n_partitions"] == 1 and model_costs(content, "builtin", "it")["n_partitions"] == 0
    assert costs["activation_bytes"] > 4 * 32_000


@pytest.mark.slow
def test_the_shipped_bundle_is_measured_stage_by_stage(default_bundle, tmp_path):
    out = tmp_path / "latency.json"
    result = run_latency("--yamnet", tmp_path / "gone", "--threads", 1, "--threads", 2, "--json", out)
    assert result.exit_code == 0, result.stderr
    report = read_result(out)
    per_block = [*SCREENING_STAGES, "model", FRONT_END, BODY, HEADS, "yardstick"]
    assert [row["stage"] for row in report["rows"]] == 2 * per_block
    assert [row["threads"] for row in report["rows"]] == [1] * len(per_block) + [2] * len(per_block)


def test_yamnet_stands_beside_the_bundle_with_a_ratio_and_an_interval(tiny_bundle, tmp_path):
    if not YAMNET.exists():
        pytest.skip("YAMNet is not in ../shared/models")
    result = run_latency("--bundle", tiny_bundle, "--yamnet", YAMNET, "--json", tmp_path / "latency.json")
    assert result.exit_code == 0, result.stderr
    report = read_result(tmp_path / "latency.json")
    ours, yamnet = (row for row in report["rows"] if row["stage"] == "model")
    (ratio,) = report["ratios"]
    assert (ratio["name"], ratio["to"]) == ("test bundle", "YAMNet") and yamnet["audio_s"] == 0.975
    expected = ours["metrics"]["rtf"] / yamnet["metrics"]["rtf"]
    assert ratio["value"] == pytest.approx(expected) and ratio["low"] <= ratio["value"] <= ratio["high"]
    assert "ratios, name test bundle, to YAMNet, threads 1, delegate xnnpack" in result.stdout


def test_delegates_stand_side_by_side_and_one_that_is_absent_is_refused(tiny_bundle, tmp_path):
    out = tmp_path / "latency.json"
    ours = ("--bundle", tiny_bundle, "--yamnet", tmp_path / "gone")
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


@pytest.fixture(scope="module")
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


def test_peers_by_file_stand_beside_the_bundle(tiny_bundle, tmp_path, write_onnx):
    out, onnx, tflite = tmp_path / "latency.json", write_onnx([1, 16_000]), tmp_path / "peer.tflite"
    tflite.write_bytes((tiny_bundle / "model.tflite").read_bytes())
    chosen = ("--bundle", tiny_bundle, "--yamnet", tmp_path / "gone", "--peer", onnx, "--peer", tflite)
    result = run_latency(*chosen, "--json", out)
    assert result.exit_code == 0, result.stderr
    report = read_result(out)
    ours, tflite_row, onnx_row = [row for row in report["rows"] if row["stage"] == "model"]
    assert (onnx_row["name"], onnx_row["audio_s"], onnx_row["threads"]) == ("peer.onnx", 1.0, 1)
    assert onnx_row["runtime"].startswith("onnxruntime ") and onnx_row["delegate"] == "onnxruntime CPU"
    assert (tflite_row["name"], tflite_row["audio_s"]) == ("peer.tflite", 2.0)
    assert tflite_row["model_sha256"] == ours["model_sha256"] != onnx_row["model_sha256"]
    assert [its["to"] for its in report["ratios"]] == ["peer.tflite", "peer.onnx"]


def test_a_peer_whose_input_is_no_waveform_wants_its_seconds(write_onnx):
    with pytest.raises(InterpreterError, match=r"takes float32 \[1, 96, 64\], which is no waveform of one length"):
        load_peer(write_onnx([1, 96, 64]), 1)
    assert load_peer(write_onnx([1, 96, 64]), 1, seconds=0.96).audio_s == 0.96
    with pytest.raises(InterpreterError, match=r"takes float32 \[1, \?\], which is no waveform"):
        load_peer(write_onnx([1, None]), 1)
    assert load_peer(write_onnx([None, None]), 1, seconds=3).audio_s == 3


def test_a_peer_that_cannot_be_fed_is_refused(tiny_bundle, tmp_path, write_onnx):
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    (tmp_path / "bad.tflite").write_bytes(b"nothing")
    for path, words in (
        (write_onnx([1, 16_000], [1, 16_000]), "takes float32 [1, 16000] and float32 [1, 16000]; expected one float32"),
        (write_onnx([1, 16_000], type_name="INT64"), "takes not float32 [1, 16000]; expected one float32 input"),
        (tmp_path / "bad.onnx", "is not an ONNX model that runs here"),
        (tmp_path / "bad.tflite", "is not a TFLite model"),
        (tmp_path / "gone.onnx", "cannot be read: No such file"),
        (tiny_bundle / "bundle.json", "is neither .tflite nor .onnx"),
    ):
        refuse(words, "--bundle", tiny_bundle, "--yamnet", tmp_path / "gone", "--peer", path)


def test_the_shape_that_a_peer_is_fed_follows_its_open_sizes():
    assert resolve_shape([PeerInput((1, 15_600), True)], None, "it") == ((1, 15_600), 0.975)
    assert resolve_shape([PeerInput((None, 16_000), True)], None, "it") == ((1, 16_000), 1.0)
    assert resolve_shape([PeerInput((None,), True)], 2.0, "it") == ((32_000,), 2.0)
    assert resolve_shape([PeerInput((None, None), True)], 2.0, "it") == ((1, 32_000), 2.0)
    assert resolve_shape([PeerInput((None, 96, 64), True)], 0.96, "it") == ((1, 96, 64), 0.96)
    with pytest.raises(InterpreterError, match="expected at most one size left open"):
        resolve_shape([PeerInput((1, None, None), True)], 2.0, "it")


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


def test_a_full_disk_keeps_the_finished_rows_and_says_where(tiny_bundle, tmp_path):
    out, recording = tmp_path / "latency.json", write_recording(tmp_path / "a.wav", seconds=2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        result = run_latency(
            *("--bundle", tiny_bundle, "--yamnet", tmp_path / "gone", "--recording", recording, "--json", out)
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.exit_code == 2 and f"rows are kept in {out}.partial." in result.stderr
    assert not out.exists() and len(read_result(Path(f"{out}.partial"))["rows"]) >= 2
