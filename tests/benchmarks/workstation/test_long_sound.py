"""Hours of sound: sounds lie where the plan says, over noise that never stops; a long WAV is one minute again."""

import wave

import numpy as np
import pytest

from benchmarks.workstation.long_sound import (
    CHUNK_S,
    CHUNK_SAMPLES,
    MINUTE_SAMPLES,
    Sound,
    compose_stream,
    composed_sounds,
    faint_noise,
    in_a_row,
    one_minute,
    open_sounds,
    synthesized_sounds,
    validation_sounds,
    write_long_wav,
)
from core.audio import read_waveform, write_wav
from core.errors import OutputError
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.evaluation.composed_recordings import ComposedRecording

RATE_HZ = 16000


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
    for placed in stream.placed:
        expected[placed.start_sample : placed.start_sample + placed.sound.n_samples] += np.float32(placed.gain * 0.25)
    assert np.allclose(waveform, expected, atol=1e-6)
    assert 20 * np.log10(noise.std()) == pytest.approx(-60.0, abs=0.1)
    ends = [0, *(placed.start_sample + placed.sound.n_samples for placed in stream.placed)]
    assert all(placed.start_sample >= end for placed, end in zip(stream.placed, ends, strict=False))


def test_a_stream_is_a_function_of_its_seed_and_pauses_are_as_long_as_asked_for():
    sounds = synthesized_sounds()
    first, again, other = (compose_stream(sounds, 3600.0, 10.0, seed) for seed in (1, 1, 2))
    assert [placed.start_sample for placed in first.placed] == [placed.start_sample for placed in again.placed]
    assert [placed.start_sample for placed in first.placed] != [placed.start_sample for placed in other.placed]
    pause_s = (1 - first.sound_share) * 3600 / (len(first.placed) + 1)
    assert pause_s == pytest.approx(10.0, rel=0.2)


def test_shorter_blocks_are_the_same_stream():
    stream = compose_stream(synthesized_sounds(), 30.0, 2.0)
    blocks = list(stream.blocks(1.0))
    assert len(blocks) == 30 and np.array_equal(np.concatenate(blocks), rendered(stream))


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


def test_chunks_are_ten_seconds():
    assert CHUNK_SAMPLES == CHUNK_S * RATE_HZ == 160_000


def test_the_minute_holds_sounds_and_is_the_same_each_time():
    assert one_minute().shape == (MINUTE_SAMPLES,) and 0.1 < np.abs(one_minute()).max() <= 1
    assert one_minute() is one_minute() and not one_minute().flags.writeable


def test_a_long_wav_is_the_minute_over_and_over(tmp_path):
    waveform = read_waveform(write_long_wav(tmp_path / "a.wav", 61.5))
    assert len(waveform) == round(61.5 * 16_000)
    np.testing.assert_allclose(waveform, np.resize(one_minute(), len(waveform)), rtol=1e-6, atol=1e-4)
    with wave.open(str(write_long_wav(tmp_path / "b.wav", 1.0)), "rb") as file:
        assert file.getnframes() == 16_000
    with pytest.raises(OutputError, match="cannot be written: No such file"):
        write_long_wav(tmp_path / "gone" / "a.wav", 1.0)
