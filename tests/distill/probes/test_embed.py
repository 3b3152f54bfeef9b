"""Embeddings: the very clips and the very pooling of core's screener, and a file that refuses another model."""

import os
import signal

import numpy as np
import pytest

from core.audio import read_waveform, write_wav
from core.bundle import load_bundle
from core.errors import AudioError, DataError
from core.probes import ClipSelection
from core.screener import Screener
from core.sound.high_pass import high_passed
from distill.corpus.sound_hash import sha256_of_sound
from distill.probes.embed import (
    embed_readable,
    embed_recording,
    main,
    model_of_bundle,
    pool_clips,
    read_embeddings,
    write_embeddings,
)

COUGHS = ClipSelection("cough", 0.5, 1, "mean")


class Listening:
    """An interpreter that keeps what it was given and what it answered."""

    def __init__(self, interpreter):
        self.interpreter, self.waveforms, self.outputs = interpreter, [], []

    def run(self, waveform):
        self.waveforms.append(waveform.copy())
        self.outputs.append(self.interpreter.run(waveform))
        return self.outputs[-1]


def write_noise(path, duration_s, sample_rate_hz=16_000, seed=0):
    generator = np.random.default_rng(seed)
    noise = 0.01 * generator.standard_normal(round(duration_s * sample_rate_hz))
    at = len(noise) // 2
    noise[at : at + 2000] += 0.3 * generator.standard_normal(len(noise[at : at + 2000]))
    write_wav(path, noise.astype(np.float32).clip(-1, 1), sample_rate_hz)
    return path


@pytest.mark.parametrize(("duration_s", "sample_rate_hz"), [(0.7, 16_000), (2.0, 16_000), (5.3, 44_100)])
def test_embedding_runs_the_clips_that_the_screener_runs(tmp_path, stand_in, write_bundle, duration_s, sample_rate_hz):
    path = write_noise(tmp_path / "noise.wav", duration_s, sample_rate_hz)
    heard = Listening(stand_in.interpreter)
    screening = Screener(load_bundle(write_bundle()), interpreter=heard).screen(path)
    embedded = embed_recording(path, stand_in)
    np.testing.assert_array_equal(embedded.embeddings, [output.embedding for output in heard.outputs])
    assert embedded.unacceptable == ()
    assert embedded.sha256 == screening.recording.sha256
    assert embedded.sound_sha256 == sha256_of_sound(path)
    for label, score in screening.event_scores.items():
        column = embedded.event_probabilities[:, stand_in.event_labels.index(label)]
        assert column.max() == pytest.approx(score, abs=1e-12)


def test_clip_starts_say_where_the_waveform_was_cut(tmp_path, stand_in):
    path = write_noise(tmp_path / "noise.wav", 5.3)
    waveform = high_passed(read_waveform(path))
    embedded = embed_recording(path, stand_in)
    assert embedded.start_s == pytest.approx([0, 1, 2, 3, 3.3])
    for start_s, embedding in zip(embedded.start_s, embedded.embeddings, strict=True):
        start = round(start_s * 16_000)
        cut = stand_in.interpreter.run(waveform[start : start + 32_000]).embedding
        np.testing.assert_allclose(embedding, cut, atol=1e-5)


def test_pooling_takes_the_mean_of_the_selected_clips_only(tmp_path, stand_in):
    embedded = embed_recording(write_noise(tmp_path / "noise.wav", 6.0), stand_in)
    is_cough = embedded.event_probabilities[:, 0] >= 0.5
    assert 0 < is_cough.sum() < len(is_cough)
    pooled = pool_clips(embedded, COUGHS, stand_in.event_labels)
    np.testing.assert_allclose(pooled, embedded.embeddings[is_cough].astype(float).mean(axis=0), rtol=1e-12)
    needs_more = ClipSelection("cough", 0.5, int(is_cough.sum()) + 1, "mean")
    assert pool_clips(embedded, needs_more, stand_in.event_labels) is None


def test_a_recording_that_core_would_not_score_is_not_pooled(tmp_path, stand_in):
    write_wav(tmp_path / "silent.wav", np.zeros(48_000, dtype=np.float32))
    embedded = embed_recording(tmp_path / "silent.wav", stand_in)
    assert "silent" in embedded.unacceptable
    assert pool_clips(embedded, ClipSelection(None, 0.0, 1, "mean"), stand_in.event_labels) is None


def test_dead_air_within_a_recording_is_left_out_of_its_embedding(tmp_path, stand_in):
    sound = 0.01 * np.random.default_rng(0).standard_normal(6 * 16_000)
    dead = np.concatenate([sound, np.zeros(10 * 16_000)]).astype(np.float32)
    write_wav(tmp_path / "sound.wav", sound.astype(np.float32))
    write_wav(tmp_path / "dead.wav", dead)
    embedded = embed_recording(tmp_path / "dead.wav", stand_in)
    alone = embed_recording(tmp_path / "sound.wav", stand_in)
    assert embedded.start_s.tolist() == [0, 1, 2, 3, 4, 5] and embedded.embeddings.shape == (6, 512)
    assert np.array_equal(embedded.embeddings[:4], alone.embeddings[:4])
    write_embeddings(tmp_path / "dead.npz", [embedded], "0" * 64, stand_in.event_labels)
    assert embedded.sha256 in read_embeddings(tmp_path / "dead.npz", "0" * 64)


def test_written_embeddings_are_read_back_unchanged_without_pickle(tmp_path, stand_in):
    recordings = [embed_recording(write_noise(tmp_path / f"{i}.wav", 2.5 + i, seed=i), stand_in) for i in range(2)]
    write_embeddings(tmp_path / "out.npz", recordings, stand_in.sha256, stand_in.event_labels)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        assert list(file["path"]) == [recordings[0].path] * 2 + [recordings[1].path] * 3
        assert file["embedding"].shape == (5, 512) and file["event_probabilities"].shape == (5, 8)
    known = read_embeddings(tmp_path / "out.npz", stand_in.sha256)
    for recording in recordings:
        np.testing.assert_array_equal(known[recording.sha256].embeddings, recording.embeddings)
        np.testing.assert_array_equal(known[recording.sha256].start_s, recording.start_s)


def test_embeddings_of_another_model_and_other_files_are_refused(tmp_path, stand_in):
    recording = embed_recording(write_noise(tmp_path / "noise.wav", 2.0), stand_in)
    write_embeddings(tmp_path / "out.npz", [recording], stand_in.sha256, stand_in.event_labels)
    with pytest.raises(DataError, match="made by model 0000"):
        read_embeddings(tmp_path / "out.npz", "1" * 64)
    (tmp_path / "text.npz").write_text("no")
    np.savez(tmp_path / "other.npz", embedding=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("text.npz", "other.npz", "array.npy", "absent.npz"):
        with pytest.raises(DataError, match="not a file of embeddings"):
            read_embeddings(tmp_path / name, stand_in.sha256)


def test_a_recording_that_cannot_be_read_is_named(tmp_path, stand_in):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    with pytest.raises(AudioError, match=r"bad\.wav"):
        embed_recording(tmp_path / "bad.wav", stand_in)


def test_the_command_writes_a_row_per_clip(tmp_path, tiny_bundle, monkeypatch):
    path = write_noise(tmp_path / "noise.wav", 3.0)
    arguments = [str(path), "--out", str(tmp_path / "out.npz"), "--bundle", str(tiny_bundle)]
    monkeypatch.setattr("sys.argv", ["tussis-embed", *arguments])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 0
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        assert file["embedding"].shape == (2, 512) and list(file["start_s"]) == [0.0, 1.0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["cough.wav", "--out", "out.json"], "written as .npz"),
        (["cough.wav", "--out", "no/such/folder/out.npz"], "folder"),
        (["cough.wav", "--out", "out.npz", "--bundle", "no_such_bundle"], "no such bundle folder"),
    ],
)
def test_the_command_refuses_with_one_sentence(tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["tussis-embed", *arguments])
    with pytest.raises(SystemExit) as refused:
        main()
    error = capsys.readouterr().err
    assert refused.value.code == 2 and sentence in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_bad_recording_and_a_signal_cost_none_of_the_others(tmp_path, tiny_bundle, monkeypatch, capsys):
    paths = [write_noise(tmp_path / f"{i}.wav", 2.5, seed=i) for i in range(4)]
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    out = tmp_path / "out.npz"
    arguments = ["tussis-embed", *map(str, [paths[0], tmp_path / "bad.wav", *paths[1:]])]
    monkeypatch.setattr("sys.argv", [*arguments, "--out", str(out), "--bundle", str(tiny_bundle)])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "bad.wav" in (said := capsys.readouterr().err) and "1 of 5 recordings could not be embedded" in said
    model = model_of_bundle(load_bundle(tiny_bundle))
    assert len(read_embeddings(out, model.sha256)) == 4

    def embed_and_stop(path, model):
        os.kill(os.getpid(), signal.SIGTERM)
        return embed_recording(path, model)

    monkeypatch.setattr("distill.probes.embed.embed_recording", embed_and_stop)
    with pytest.raises(SystemExit, match="143"):
        main()
    assert [known.path for known in read_embeddings(out, model.sha256).values()] == [str(paths[0])]
    assert "SIGTERM ended the run" in capsys.readouterr().err


def test_what_a_killed_run_left_is_taken_over(tmp_path, stand_in, monkeypatch):
    paths = [write_noise(tmp_path / f"{i}.wav", 2.5, seed=i) for i in range(3)]
    monkeypatch.setattr("distill.probes.embed.SAVED_EVERY_S", 0.0)
    first, _ = embed_readable(paths[:2], stand_in, tmp_path / "out.npz", lambda: False)
    assert (tmp_path / "out.npz.partial").exists()
    calls = []
    monkeypatch.setattr(
        "distill.probes.embed.embed_recording", lambda path, model: calls.append(path) or embed_recording(path, model)
    )
    again, failed = embed_readable(paths, stand_in, tmp_path / "out.npz", lambda: False)
    assert (calls, failed, len(again)) == ([paths[2]], 0, 3)
    np.testing.assert_array_equal(again[1].embeddings, first[1].embeddings)
