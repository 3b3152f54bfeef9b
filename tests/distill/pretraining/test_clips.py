"""Which clips pretraining sees: weights, crops, backgrounds, channels, and that a step always draws the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import DataError
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.pretraining.clips import ClipSampler, ClipSettings, crops, mixed, recording_weights

PLAIN = ClipSettings(time_shift_max_s=0.0, background_probability=0.0, random_channel=False)


def row(role: str, n_samples: int, pack: str = "a") -> ManifestRow:
    return ManifestRow(f"{pack}/x.wav", pack, "s", "p", n_samples / 16_000, (), None, "CC0", role, False)


def labelled(role: str, labels: tuple[str, ...]) -> ManifestRow:
    return replace(row(role, 40_000), labels=labels, labelled=bool(labels))


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
    ramp, short = np.arange(-20_000, 20_000).astype(np.int16), np.array([1, 2, 3], np.int16)
    samples = torch.from_numpy(np.concatenate([ramp, short]))
    first, length, start, shift = torch.tensor([[0, 40_000, 0], [40_000, 3, 32_000], [5, 1, 0], [0, 0, 2]]).unbind(0)
    cut = crops(samples, first, length, start, shift).numpy()
    assert np.array_equal(cut[0], ramp[5:32_005].astype(np.float32) / 32768)
    assert np.array_equal(cut[1] * 32768, np.resize([2, 3, 1], 32_000))
    assert np.array_equal(cut[2] * 32768, np.roll(ramp[:32_000], 2))


def test_every_short_recording_is_repeated_exactly() -> None:
    generator = np.random.default_rng(0)
    samples = torch.from_numpy(generator.integers(-32768, 32768, 70_000).astype(np.int16))
    length = torch.tensor([1, 2, 7, 640, 12_345, 31_999])
    start = torch.tensor([0, 1, 6, 600, 12_344, 31_998])
    first = torch.tensor([69_999, 0, 40_000, 33, 57_000, 38_001])
    cut = crops(samples, first, length, start, torch.zeros_like(start)).numpy()
    for row, (at, n, begin) in enumerate(zip(first.tolist(), length.tolist(), start.tolist(), strict=True)):
        expected = np.resize(np.roll(samples[at : at + n].numpy(), -begin), 32_000)
        assert np.array_equal(cut[row] * 32768, expected)


def test_a_clip_does_not_depend_on_how_many_are_drawn_or_which_process_draws_it() -> None:
    noise = np.random.default_rng(0).integers(-9000, 9000, 90_000).astype(np.int16)
    store = store_of([("train", noise), ("train", noise[:20_000]), ("augment", noise[:3000])])
    whole = ClipSampler(store, "train", ClipSettings(), 12, seed=3).batch_at(5)
    part = ClipSampler(store, "train", ClipSettings(), 4, seed=3, first_clip=6).batch_at(5)
    assert torch.allclose(whole[6:10], part, atol=1e-6)


@pytest.mark.gpu
def test_a_gpu_makes_the_clips_of_the_cpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    noise = np.random.default_rng(0).integers(-9000, 9000, 90_000).astype(np.int16)
    store = store_of([("train", noise), ("train", noise[:20_000]), ("augment", noise[:3000])])
    sampler = ClipSampler(store, "train", ClipSettings(), 64, seed=3)
    draws, expected = sampler.draws_at(2), sampler.batch_at(2)
    made = sampler.to(torch.device("cuda")).clips(draws.cuda()).cpu()
    assert torch.allclose(made, expected, atol=2e-4)


def test_silence_is_passed_over_where_the_recording_holds_sound() -> None:
    half_silent = np.concatenate([np.zeros(100_000, np.int16), constant(2000, 100_000)])
    clips = ClipSampler(store_of([("train", half_silent)]), "train", PLAIN, 64, seed=0).batch_at(0).numpy()
    assert (np.abs(clips).max(axis=1) > 0).mean() > 0.85


def test_a_recording_of_one_clip_is_shifted_and_a_long_one_is_only_cut() -> None:
    ramp = np.arange(-20_000, 12_000).astype(np.int16)
    settings = PLAIN.model_copy(update={"time_shift_max_s": 0.25})
    clips = ClipSampler(store_of([("train", ramp)]), "train", settings, 64, seed=0).batch_at(0).numpy()
    shifts = np.array([int(np.argmin(clip)) for clip in clips])
    shifts = np.where(shifts > 16_000, shifts - 32_000, shifts)
    assert np.abs(shifts).max() <= 4_000
    assert len(set(shifts)) > 40
    assert np.array_equal(np.sort(clips[0]), ramp.astype(np.float32) / 32768)
    long = np.arange(-32_000, 32_000, 2).astype(np.int16).repeat(2)
    clips = ClipSampler(store_of([("train", long)]), "train", settings, 16, seed=0).batch_at(0).numpy()
    assert np.all(np.diff(clips, axis=1) >= 0)


def test_a_background_lies_at_its_level_below_the_clip() -> None:
    generator = np.random.default_rng(0)
    clip, background = (torch.from_numpy(generator.normal(0, s, (1, 32_000))).float() for s in (0.05, 0.01))
    added = mixed(clip, background, torch.tensor([12.0])) - clip
    assert (20 * torch.log10(clip.std() / added.std())).item() == pytest.approx(12.0, abs=0.01)
    assert np.corrcoef(added[0], background[0])[0, 1] == pytest.approx(1.0, abs=1e-5)


def test_a_mixture_never_passes_full_scale_and_silence_takes_the_background() -> None:
    loud, silent = torch.full((32_000,), 0.9), torch.zeros(32_000)
    snr_db = torch.tensor([0.0, 10.0, 10.0])
    mixtures = mixed(torch.stack([loud, silent, loud]), torch.stack([loud, loud, silent]), snr_db)
    assert mixtures[0].max() == pytest.approx(1.0)
    assert torch.equal(mixtures[1:], torch.stack([loud, loud]))


def test_backgrounds_are_recordings_of_the_role_that_are_known_to_hold_no_cough() -> None:
    rows = [
        labelled("train", ("cough",)),
        labelled("train", ("noise",)),
        labelled("test", ("noise",)),
        labelled("train", ()),
    ]
    store = WaveformStore(rows, constant(1000, 160_000), 40_000 * np.arange(5))
    sampler = ClipSampler(store, "train", PLAIN.model_copy(update={"background_probability": 1.0}), 64, seed=0)
    assert [store.rows[index].labels for index in sampler._backgrounds.tolist()] == [("noise",)]


def test_some_clips_have_a_background_and_the_others_none() -> None:
    generator = np.random.default_rng(0)
    rows = [labelled("train", ("cough",)), labelled("train", ("noise",))]
    noise = generator.integers(-3000, 3000, 40_000).astype(np.int16)
    store = WaveformStore(rows, np.concatenate([constant(8000), noise]), 40_000 * np.arange(3))
    settings = PLAIN.model_copy(update={"background_probability": 0.5, "pack_exponent": 1.0})
    clips = ClipSampler(store, "train", settings, 200, seed=0).batch_at(0).numpy()
    coughs = clips[clips.mean(axis=1) > 0.1]
    assert 0.35 < (coughs.std(axis=1) > 0).mean() < 0.65


def test_the_random_channel_limits_the_band_and_changes_the_level() -> None:
    noise = np.random.default_rng(0).integers(-9000, 9000, 90_000).astype(np.int16)
    settings = PLAIN.model_copy(update={"random_channel": True})
    clips = ClipSampler(store_of([("train", noise)]), "train", settings, 64, seed=0).batch_at(0).numpy()
    power = np.abs(np.fft.rfft(clips)) ** 2
    high_band = power[:, 15_600:15_900].mean(axis=1) / power[:, 3_000:4_000].mean(axis=1)
    assert 0.2 < (high_band < 0.01).mean() < 0.6
    peaks = np.abs(clips).max(axis=1)
    assert peaks.min() < 0.2 and peaks.max() <= 1.0


def test_a_clean_target_is_the_clip_before_its_channel() -> None:
    noise = np.random.default_rng(0).integers(-9000, 9000, 90_000).astype(np.int16)
    store = store_of([("train", noise)])

    def clips(**changes: bool) -> torch.Tensor:
        return ClipSampler(store, "train", ClipSettings().model_copy(update=changes), 8, seed=0).batch_at(3)

    pairs = clips(clean_targets=True)
    assert pairs.shape == (8, 2, 32_000)
    assert torch.equal(pairs[:, 0], clips())
    assert torch.equal(pairs[:, 1], clips(random_channel=False))
    assert not torch.equal(pairs[:, 0], pairs[:, 1])


def test_rooms_are_the_recordings_kept_for_augmentation() -> None:
    click = np.zeros(40_000, np.int16)
    click[100] = 20_000
    sampler = ClipSampler(
        store_of([("train", constant(1000)), ("augment", click), ("augment", click)]),
        "train",
        ClipSettings(),
        2,
        seed=0,
    )
    assert sampler._channel.n_rooms == 2


def test_snr_limits_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match=r"background_snr_min_db \(9\.0\) of at most background_snr_max_db \(3\.0\)"):
        ClipSettings(background_snr_min_db=9.0, background_snr_max_db=3.0)


def test_a_built_store_feeds_the_sampler(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    (tmp_path / "a").mkdir()
    soundfile.write(tmp_path / "a" / "x.wav", constant(1000, 48_000), 16_000)
    store = WaveformStore.build([row("train", 48_000)], tmp_path, tmp_path / "store")
    clips = ClipSampler(store, "train", PLAIN, 2, seed=0).batch_at(0).numpy()
    assert np.allclose(clips, 1000 / 32768, atol=1e-4)
