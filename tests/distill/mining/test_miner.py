"""Mining one recording: which clips stay, what is written of them, and what is skipped as a whole."""

from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from core.audio import write_wav
from core.clips import Clip
from core.errors import OutputError
from core.interpreter import ModelOutputs
from core.resample import resample
from distill.corpus.labels import EVENT_LABELS
from distill.mining.miner import MAX_RUN_WINDOWS, Candidate, LocalMaxima, Miner, MiningSettings
from distill.mining.recordings import Skipped, Source

SETTINGS = MiningSettings(
    name="mined", labels=("cough", "sneeze"), min_probability=0.3, event_labels=EVENT_LABELS, model_sha256="0" * 64
)


class Saying:
    """A stand-in for the model that gives the same event logits for every clip."""

    def __init__(self, **logits):
        self._logits = np.array([logits.get(label, -8.0) for label in EVENT_LABELS])

    def run(self, waveform):
        return ModelOutputs(np.ones(512, np.float32), self._logits, np.zeros(50, np.float32))


def source_of(path):
    return Source(path, "0" * 16, "1" * 16, "mined", path.name, path.name, "CC0")


def mined(path, interpreter, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Miner(interpreter, SETTINGS, scratch, 0.04).mine(source_of(path))


def noise_with_bursts(times_s, duration_s, rate_hz=16_000):
    noise = np.random.default_rng(0).normal(size=round(duration_s * rate_hz))
    level = np.full(len(noise), 0.002)
    for time_s in times_s:
        level[round(time_s * rate_hz) : round((time_s + 0.24) * rate_hz)] = 0.2
    return np.clip(level * noise, -0.9, 0.9).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_the_clips_with_a_cough_stay_each_once_and_as_they_were_recorded(tmp_path, energy_interpreter, rate_hz):
    waveform = noise_with_bursts([3.1, 11.6, 29.3], 30.0, rate_hz)
    write_wav(tmp_path / "long.wav", waveform, rate_hz)
    result = mined(tmp_path / "long.wav", energy_interpreter, tmp_path)
    assert [clip.start_s for clip in result.clips] == [2.0, 10.0, 28.0]
    assert result.duration_s == 30.0
    expected = resample(np.rint(waveform * 32768).astype(np.float32) / 32768, rate_hz)
    for clip in result.clips:
        samples, its_rate_hz = soundfile.read(clip.file, dtype="int16")
        start = round(clip.start_s * 16_000)
        assert its_rate_hz == 16_000 and len(samples) == 32_000 and clip.duration_s == 2.0
        assert np.abs(samples - expected[start : start + 32_000] * 32768).max() <= 1.5
        assert len(clip.scores) == 8 and clip.scores[0] >= 0.3


def test_a_short_recording_gives_its_own_length_and_not_its_repetitions(tmp_path, energy_interpreter):
    write_wav(tmp_path / "short.wav", noise_with_bursts([0.2], 0.7))
    (clip,) = mined(tmp_path / "short.wav", energy_interpreter, tmp_path).clips
    assert clip.duration_s == pytest.approx(0.7) and soundfile.info(clip.file).frames == 11_200


@pytest.mark.parametrize(("logits", "n_clips"), [({"speech": 8.0}, 0), ({"laugh": 8.0}, 0), ({"sneeze": -0.8}, 2)])
def test_only_the_chosen_labels_count_and_speech_alone_does_not(tmp_path, logits, n_clips):
    write_wav(tmp_path / "talk.wav", noise_with_bursts([0.2, 2.2], 4.0))
    assert len(mined(tmp_path / "talk.wav", Saying(**logits), tmp_path).clips) == n_clips


def test_silence_is_never_kept_whatever_the_model_says(tmp_path):
    write_wav(tmp_path / "silent.wav", np.zeros(64_000, np.float32))
    assert mined(tmp_path / "silent.wav", Saying(cough=8.0), tmp_path).clips == ()


def test_a_recording_with_dead_air_in_it_is_mined_as_without_it(tmp_path, energy_interpreter):
    waveform = noise_with_bursts([3.1], 8.0)
    write_wav(tmp_path / "dead.wav", np.concatenate([waveform, np.zeros(10 * 16_000, np.float32)]))
    assert [clip.start_s for clip in mined(tmp_path / "dead.wav", energy_interpreter, tmp_path).clips] == [2.0]


def test_a_recording_that_breaks_off_is_skipped_as_a_whole_with_the_reason(tmp_path, energy_interpreter):
    path = tmp_path / "broken.wav"
    sound = noise_with_bursts([1.1, 5.1, 30.1], 60.0)
    sound[40 * 16_000] = np.nan
    soundfile.write(path, sound, 16_000, subtype="FLOAT")
    result = mined(path, energy_interpreter, tmp_path)
    assert isinstance(result, Skipped)
    assert result.source_id == "broken.wav" and "broken.wav" in result.sentence and result.sentence.endswith(".")


def test_a_full_disk_is_no_fault_of_the_recording(tmp_path, energy_interpreter):
    write_wav(tmp_path / "good.wav", noise_with_bursts([1.1], 4.0))
    miner = Miner(energy_interpreter, SETTINGS, tmp_path / "no" / "such" / "folder", 0.04)
    with pytest.raises(OutputError, match="cannot be written"):
        miner.mine(source_of(tmp_path / "good.wav"))


def candidates_of(scores, starts):
    return [
        Candidate(Clip(start, np.zeros(0, np.float32), 2.0), score, (score,), np.zeros(0))
        for start, score in zip(starts, scores, strict=True)
    ]


def kept_starts(candidates):
    maxima = LocalMaxima()
    kept = [one for candidate in candidates for one in maxima.push(candidate)] + maxima.finish()
    return [candidate.clip.start_s for candidate in kept]


def best_first(candidates):
    kept = []
    for candidate in sorted(candidates, key=lambda one: -one.score):
        if all(abs(candidate.clip.start_s - start_s) >= 2 for start_s in kept):
            kept.append(candidate.clip.start_s)
    return sorted(kept)


def test_of_overlapping_clips_the_best_stays_and_then_the_best_of_the_rest():
    assert kept_starts(candidates_of([0.5, 0.9, 0.6, 0.8, 0.4], [0, 1, 2, 3, 7])) == [1, 3, 7]
    assert kept_starts(candidates_of([0.5, 0.6, 0.7, 0.8], [0, 1, 2, 3])) == [1, 3]
    assert kept_starts(candidates_of([0.7, 0.6, 0.9], [3, 4, 4.3])) == [4.3]  # the last clip is aligned to the end


@given(st.lists(st.tuples(st.sampled_from([0.5, 1.0, 2.0, 5.0]), st.floats(0.3, 1)), max_size=3 * MAX_RUN_WINDOWS))
def test_clips_that_stay_never_overlap_and_are_the_best_first(steps):
    candidates = candidates_of([score for _, score in steps], np.cumsum([step for step, _ in steps]).tolist())
    kept = kept_starts(candidates)
    assert kept == sorted(kept) and all(later - earlier >= 2 for earlier, later in pairwise(kept))
    assert all(any(abs(one.clip.start_s - start_s) < 2 for start_s in kept) for one in candidates)
    if len(candidates) <= MAX_RUN_WINDOWS:
        assert kept == best_first(candidates)
