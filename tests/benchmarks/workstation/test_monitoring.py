from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmarks.results.result import read_result
from benchmarks.timing.peers import YAMNET_SAMPLES
from benchmarks.workstation.long_sound import (
    CHUNK_S,
    CHUNK_SAMPLES,
    Sound,
    compose_stream,
    composed_sounds,
    faint_noise,
    in_a_row,
    open_sounds,
    synthesized_sounds,
    validation_sounds,
)
from benchmarks.workstation.monitored_detection import GATED, UNGATED, n_found_again
from benchmarks.workstation.monitored_listeners import Listening, YamnetStream
from benchmarks.workstation.monitoring import monitoring, ratio_of_sums, resident_bytes
from core.audio import write_wav
from core.errors import InterpreterError
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.evaluation.composed_recordings import ComposedRecording

YAMNET = Path(__file__).parents[4] / "shared" / "models" / "yamnet.tflite"
RATE_HZ = 16000

app = typer.Typer()
app.command()(monitoring)


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def tone(duration_s: float, coughs: tuple = ()) -> Sound:
    waveform = np.full(round(duration_s * RATE_HZ), 0.25, np.float32)
    return Sound(len(waveform), lambda: waveform, coughs)


def rendered(stream) -> np.ndarray:
    return np.concatenate(list(stream.chunks()))


def test_sounds_lie_where_the_plan_says_over_noise_that_never_stops():
    stream = compose_stream([tone(1.0), tone(3.5)], 60.0, pause_s=4.0, seed=3)
    waveform = rendered(stream)
    noise = np.concatenate([faint_noise(CHUNK_SAMPLES, [3, number]) for number in range(6)])
    assert waveform.shape == (60 * RATE_HZ,) and waveform.dtype == np.float32
    assert len(stream.placed) > 3
    expected = noise.copy()
    for its in stream.placed:
        expected[its.start_sample : its.start_sample + its.sound.n_samples] += np.float32(its.gain * 0.25)
    assert np.allclose(waveform, expected, atol=1e-6)
    assert 20 * np.log10(noise.std()) == pytest.approx(-60.0, abs=0.1)
    ends = [0, *(its.start_sample + its.sound.n_samples for its in stream.placed)]
    assert all(its.start_sample >= end for its, end in zip(stream.placed, ends, strict=False))


def test_a_stream_is_a_function_of_its_seed_and_pauses_are_as_long_as_asked_for():
    sounds = synthesized_sounds()
    first, again, other = (compose_stream(sounds, 3600.0, 10.0, seed) for seed in (1, 1, 2))
    assert [its.start_sample for its in first.placed] == [its.start_sample for its in again.placed]
    assert [its.start_sample for its in first.placed] != [its.start_sample for its in other.placed]
    pause_s = (1 - first.sound_share) * 3600 / (len(first.placed) + 1)
    assert pause_s == pytest.approx(10.0, rel=0.2)


def test_known_coughs_are_given_at_their_times_in_the_stream():
    composed = composed_sounds([ComposedRecording(np.zeros(10 * RATE_HZ, np.float32), [(1.0, 1.3), (4.0, 4.2)])] * 2)
    stream = in_a_row(composed, pause_s=5.0)
    assert stream.coughs == [(6.0, 6.3), (9.0, 9.2), (21.0, 21.3), (24.0, 24.2)]
    assert stream.duration_s == 40.0 and stream.n_chunks == 4
    assert len(rendered(stream)) == 40 * RATE_HZ


def test_only_validation_recordings_are_played(tmp_path):
    rows = []
    for number, role in enumerate(("train", "validation", "test")):
        write_wav(tmp_path / f"{role}.wav", np.full(RATE_HZ, 0.1 * (number + 1), np.float32))
        row = {"path": f"{role}.wav", "pack": "p", "source_id": role, "subject_id": role, "licence": "CC0-1.0"}
        rows.append(ManifestRow(**row, duration_s=1.0, labels=("noise",), fold=None, role=role, labelled=True))
    store = WaveformStore.build(rows, tmp_path, tmp_path / "store")
    (sound,) = validation_sounds(store)
    assert sound.read() == pytest.approx(np.full(RATE_HZ, 0.2), abs=1e-4)
    sounds, opened, words = open_sounds(tmp_path / "store", tmp_path / "gone", tmp_path)
    assert (len(sounds), len(opened.rows), words) == (1, 3, "validation recordings of a store")


def test_the_ratio_is_of_sums_and_its_interval_holds_it():
    generator = np.random.default_rng(0)
    theirs_s = generator.uniform(0.9, 1.1, 300)
    ours_s = np.where(generator.uniform(size=300) < 0.2, 1.0, 0.1)  # a gate: most chunks cost little
    ratio = ratio_of_sums(ours_s.tolist(), theirs_s.tolist())
    assert ratio["value"] == pytest.approx(ours_s.sum() / theirs_s.sum())
    assert ratio["low"] < ratio["value"] < ratio["high"]
    assert ratio_of_sums((2 * theirs_s).tolist(), theirs_s.tolist()) == pytest.approx(
        {"value": 2.0, "low": 2.0, "high": 2.0}
    )


def test_coughs_found_again_are_those_at_the_same_time():
    assert n_found_again([(1.0, 1.3), (5.0, 5.2)], [(1.4, 1.6), (9.0, 9.2)]) == 1
    assert n_found_again([(1.0, 1.3)], [(1.6, 1.8)]) == 0
    assert n_found_again([], [(1.0, 1.2)]) == 0


def test_what_a_chunk_costs_is_noted_chunk_by_chunk():
    heard = []
    listening = Listening("one", heard.append)
    for level in (0.0, 1.0):
        listening.take(np.full(4, level))
    assert [chunk[0] for chunk in heard] == [0.0, 1.0]
    assert len(listening.processor_s) == len(listening.wall_s) == 2 and min(listening.wall_s) > 0


def test_yamnet_hears_a_frame_every_048_seconds_however_the_stream_is_cut():
    if not YAMNET.exists():
        pytest.skip("shared/models/yamnet.tflite is not there")
    waveform, n_frames = 0.01 * np.random.default_rng(0).normal(size=5 * RATE_HZ).astype(np.float32), []
    for n_samples in (3_000, 80_000):
        stream = YamnetStream(YAMNET.read_bytes())
        for start in range(0, len(waveform), n_samples):
            stream.hear(waveform[start : start + n_samples])
        n_frames.append(stream.n_frames)
    assert n_frames == [1 + (len(waveform) - YAMNET_SAMPLES) // 7680] * 2


def test_a_model_that_is_not_yamnet_is_refused(tiny_bundle):
    with pytest.raises(InterpreterError, match="is not YAMNet: expected an input of 15600"):
        YamnetStream((tiny_bundle / "model.tflite").read_bytes())


def test_memory_is_what_the_process_holds():
    before = resident_bytes()
    if before is None:
        pytest.skip("this system does not say how much memory a process holds")
    held = np.ones(40 * 2**20, np.uint8)
    assert resident_bytes() - before > 30 * 2**20
    del held


def test_the_command_measures_without_recordings_and_writes_what_its_numbers_depend_on(tiny_bundle, tmp_path):
    out = tmp_path / "monitoring.json"
    absent = ("--yamnet", tmp_path / "no_yamnet", "--data", tmp_path / "no_data")
    result = run("--bundle", tiny_bundle, *absent, "--minutes", 2, "--composed", 10, "--json", out)
    assert result.exit_code == 0, result.stderr
    assert f"YAMNet is left out: there is no file {tmp_path / 'no_yamnet'}" in result.stderr
    report = read_result(out)
    rows = {row["stage"]: row for row in report["rows"]}
    assert list(rows) == [GATED, UNGATED, f"coughs found, {GATED}", f"coughs found, {UNGATED}"]
    assert (report["kind"], "ratios" in report) == ("monitoring", False)
    for monitor in (GATED, UNGATED):
        metrics = rows[monitor]["metrics"]
        assert min(metrics["processor_s_per_audio_hour"], metrics["wall_s_per_audio_hour"]) > 0
        assert metrics["n_clips"] == (120 - 2) * 2 + 1
        assert len(rows[monitor]["samples_ms"]) == rows[monitor]["n_runs"] == 12
        assert rows[f"coughs found, {monitor}"]["metrics"]["n_coughs"] == 3 * 10
    assert 0 < rows[GATED]["metrics"]["gated_share"] < 1
    assert rows[UNGATED]["metrics"]["gated_share"] == rows[f"coughs found, {UNGATED}"]["metrics"]["gated_share"] == 0
    facts = report["facts"]
    assert facts["stream"]["minutes"] == 2.0 and 0 < facts["stream"]["sound_share"] < 1
    assert set(facts["memory"]) == {"at_a_tenth_bytes", "at_the_end_bytes"}
    assert facts["gate"]["open_db"] > 0
    assert "synthesized sounds" in result.stdout and "memory of the process" in result.stdout


def test_the_gate_costs_the_shipped_model_no_synthesized_cough_and_yamnet_stands_beside_it(default_bundle, tmp_path):
    if not YAMNET.exists():
        pytest.skip("shared/models/yamnet.tflite is not there")
    out = tmp_path / "monitoring.json"
    result = run("--yamnet", YAMNET, "--data", tmp_path / "no_data", "--minutes", 2, "--composed", 10, "--json", out)
    assert result.exit_code == 0, result.stderr
    report = read_result(out)
    ratios = {ratio["stage"]: ratio for ratio in report["ratios"]}
    assert len(ratios) == 4 and {ratio["to"] for ratio in report["ratios"]} == {"YAMNet"}
    assert all(0 < ratio["low"] <= ratio["value"] <= ratio["high"] for ratio in ratios.values())
    assert ratios[f"{GATED}, processor time"]["value"] < ratios[f"{UNGATED}, processor time"]["value"]
    found = {row["stage"]: row["metrics"] for row in report["rows"] if "n_found" in row["metrics"]}
    gated, ungated = found[f"coughs found, {GATED}"], found[f"coughs found, {UNGATED}"]
    assert gated["n_found"] >= ungated["n_found"] - 1 and ungated["n_found"] > 0
    assert gated["gated_share"] > 0.2
    assert "of YAMNet's" in result.stdout


def test_a_missing_store_bundle_or_folder_is_refused_with_one_sentence(tiny_bundle, tmp_path):
    refusals = {
        "holds no finished waveform store": ("--bundle", tiny_bundle, "--store", tmp_path / "gone"),
        "there is no such bundle folder": ("--bundle", tmp_path / "gone"),
        "cannot be written: there is no folder": ("--json", tmp_path / "gone" / "x.json"),
        "no pack (a folder with a manifest.csv) was found": ("--bundle", tiny_bundle, "--data", tmp_path),
    }
    for words, arguments in refusals.items():
        result = run(*arguments)
        assert result.exit_code == 2
        assert words in result.stderr and "tussis-benchmark: " in result.stderr


def test_chunks_are_ten_seconds():
    assert CHUNK_SAMPLES == CHUNK_S * RATE_HZ == 160_000
