"""Which clips pretraining sees: weights, crops, band limits, and that a step always draws the same."""

from pathlib import Path

import numpy as np
import pytest

from core.errors import DataError
from distill.manifests import ManifestRow
from distill.pretraining_clips import ClipSampler, ClipSettings, crop, low_passed, recording_weights
from distill.waveform_store import WaveformStore

PLAIN = ClipSettings(gain_min_db=0.0, gain_max_db=0.0, low_pass_probability=0.0)


def row(role: str, n_samples: int, pack: str = "a") -> ManifestRow:
    return ManifestRow(f"{pack}/x.wav", pack, "s", "p", n_samples / 16_000, (), None, "CC0", role, False)


def store_of(recordings: list[tuple[str, np.ndarray]]) -> WaveformStore:
    rows = [row(role, len(samples)) for role, samples in recordings]
    samples = np.concatenate([samples for _, samples in recordings])
    offsets = np.concatenate([[0], np.cumsum([len(samples) for _, samples in recordings])])
    return WaveformStore(rows, samples, offsets)


def constant(level: int, n_samples: int = 40_000) -> np.ndarray:
    return np.full(n_samples, level, np.int16)


def test_only_recordings_of_the_role_are_drawn() -> None:
    store = store_of([("train", constant(1000)), ("test", constant(9000)), ("validation", constant(5000))])
    clips = ClipSampler(store, "train", PLAIN, 32, seed=0).batch_at(0).numpy()
    assert clips.shape == (32, 32_000)
    assert np.all(clips == np.float32(1000 / 32768))


def test_a_step_draws_the_same_clips_again_and_another_step_others() -> None:
    noise = np.random.default_rng(0).integers(-9000, 9000, 90_000).astype(np.int16)
    first, second = (ClipSampler(store_of([("train", noise)]), "train", ClipSettings(), 4, seed=3) for _ in range(2))
    first.batch_at(0)
    assert np.array_equal(first.batch_at(7), second.batch_at(7))
    assert not np.array_equal(first.batch_at(7), first.batch_at(8))


def test_a_role_without_recordings_is_refused() -> None:
    with pytest.raises(DataError, match="no recording with the role 'train'"):
        ClipSampler(store_of([("test", constant(1000))]), "train", PLAIN, 4, seed=0)


def test_packs_count_by_a_power_of_their_hours_and_recordings_by_their_length() -> None:
    packs, durations_s = ["big", "big", "small"], [30.0, 60.0, 10.0]
    assert recording_weights(packs, durations_s, 1.0) == pytest.approx([0.3, 0.6, 0.1])
    assert recording_weights(packs, durations_s, 0.0) == pytest.approx([1 / 6, 1 / 3, 1 / 2])
    assert recording_weights(packs, durations_s, 0.5) == pytest.approx([0.25, 0.5, 0.25])


def test_a_recording_shorter_than_a_clip_counts_as_one_clip() -> None:
    assert recording_weights(["a", "a"], [0.1, 2.0], 1.0) == pytest.approx([0.5, 0.5])


def test_a_long_recording_is_cut_and_a_short_one_repeated_from_any_start() -> None:
    ramp = np.arange(-20_000, 20_000).astype(np.int16)
    assert np.array_equal(crop(ramp, 5), ramp[5:32_005].astype(np.float32) / 32768)
    short = np.array([1, 2, 3], np.int16)
    assert (crop(short, 1)[:5] * 32768).tolist() == [2, 3, 1, 2, 3]
    assert crop(short, 1).shape == (32_000,)


def test_silence_is_passed_over_where_the_recording_holds_sound() -> None:
    half_silent = np.concatenate([np.zeros(100_000, np.int16), constant(2000, 100_000)])
    clips = ClipSampler(store_of([("train", half_silent)]), "train", PLAIN, 64, seed=0).batch_at(0).numpy()
    assert (np.abs(clips).max(axis=1) > 0).mean() > 0.85


def test_gain_saturates_at_full_scale() -> None:
    loud = ClipSettings(gain_min_db=12.0, gain_max_db=12.0, low_pass_probability=0.0)
    assert np.all(
        ClipSampler(store_of([("train", constant(20_000))]), "train", loud, 2, seed=0).batch_at(0).numpy() == 1
    )


@pytest.mark.parametrize(("tone_hz", "gain_db"), [(500, 0.0), (3_000, -3.0), (6_000, -48.2)])
def test_the_low_pass_has_its_documented_response(tone_hz: int, gain_db: float) -> None:
    tone = np.sin(2 * np.pi * tone_hz * np.arange(32_000) / 16_000).astype(np.float32)
    passed = low_passed(tone, 3_000.0)
    assert 20 * np.log10(np.std(passed) / np.std(tone)) == pytest.approx(gain_db, abs=0.1)


def test_a_built_store_feeds_the_sampler(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    (tmp_path / "a").mkdir()
    soundfile.write(tmp_path / "a" / "x.wav", constant(1000, 48_000), 16_000)
    store = WaveformStore.build([row("train", 48_000)], tmp_path, tmp_path / "store")
    clips = ClipSampler(store, "train", PLAIN, 2, seed=0).batch_at(0).numpy()
    assert np.allclose(clips, 1000 / 32768, atol=1e-4)
