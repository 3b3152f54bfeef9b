"""The channel that training clips pass through: against its formulas clip by clip, on silence, on either device."""

import numpy as np
import pytest
import torch

from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_SAMPLES
from distill.corpus.channel import N_CHANNEL_DRAWS, Channel, ChannelDraws, ChannelSettings, turned_at_speed

GENERATOR = np.random.default_rng(0)
ROOMS = [GENERATOR.standard_normal(n) * np.exp(-np.arange(n) / 900) for n in (4000, 40_000)]
EVERYTHING = ChannelSettings(*(1.0 if name.endswith("probability") else value
                               for name, value in ChannelSettings._field_defaults.items()))  # fmt: skip
NOTHING = ChannelSettings(*(0.0 if name.endswith("probability") else value
                            for name, value in ChannelSettings._field_defaults.items()))  # fmt: skip


def noise(n_clips: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(1).standard_normal((n_clips, 32_000))).astype(np.float32)


def written_out(channel: Channel, waveform: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """One clip through one channel in float64, from the definition."""
    draw, settings = ChannelDraws(*draws), channel.settings
    hz = np.repeat(np.arange(0, 8004, 4.0), 8)[:16_001]
    spectrum = np.fft.rfft(waveform.astype(np.float64))
    if draw.low_pass < settings.low_pass_probability:
        cutoff = np.interp(draw.low_pass_cutoff, [0, 1], settings.low_pass_hz)
        spectrum /= np.sqrt(1 + (hz / cutoff) ** (2 * (4 + int(36 * draw.low_pass_order))))
    if draw.high_pass < settings.high_pass_probability:
        cutoff = np.exp(np.interp(draw.high_pass_cutoff, [0, 1], np.log(settings.high_pass_hz)))
        spectrum /= np.sqrt(1 + (cutoff / np.maximum(hz, 1)) ** (2 * (1 + int(4 * draw.high_pass_order))))
    if draw.tilt < settings.tilt_probability:
        slope = (2 * draw.tilt_slope - 1) * settings.tilt_db_per_octave
        spectrum *= 10 ** (slope * np.log2(np.maximum(hz, 50) / 1000) / 20)
    if draw.room < settings.room_probability:
        room = ROOMS[int(draw.room_number * len(ROOMS))]
        tail = room[np.argmax(np.abs(room)) :][:32_000]
        spectrum *= np.fft.rfft(tail / np.linalg.norm(tail), n=32_000)
    clip = np.fft.irfft(spectrum, n=32_000)
    if draw.noise < settings.noise_probability:
        pool = np.random.default_rng(0).standard_normal(64 * 32_000, dtype=np.float32)
        start = int(draw.noise_start * 63 * 32_000)
        snr_db = np.interp(draw.noise_level, [0, 1], settings.noise_snr_db)
        clip = clip + np.sqrt(np.mean(clip**2)) * 10 ** (-snr_db / 20) * pool[start : start + 32_000]
    peak = np.exp(np.interp(draw.peak, [0, 1], np.log([0.05, 1])))
    if draw.clipping < settings.clipping_probability:
        peak = np.interp(draw.overdriven_peak, [0, 1], [1.2, 3])
    return np.clip(clip / np.abs(clip).max() * peak, -1, 1)


@pytest.mark.parametrize("settings", [ChannelSettings(), EVERYTHING], ids=["usual", "everything"])
def test_a_batch_passes_through_the_channels_as_they_are_defined(settings: ChannelSettings) -> None:
    channel, clips = Channel(ROOMS, settings), noise(24)
    draws = np.random.default_rng(2).random((24, N_CHANNEL_DRAWS))
    ours = channel.apply(torch.from_numpy(clips), torch.from_numpy(draws)).numpy()
    expected = np.stack([written_out(channel, *pair) for pair in zip(clips, draws, strict=True)])
    assert np.abs(ours - expected).max() < 2e-4
    assert ours.dtype == np.float32


def test_the_clips_given_are_left_as_they_were() -> None:
    clips = noise(2)
    before = clips.copy()
    Channel(ROOMS, EVERYTHING)(clips, np.random.default_rng(0))
    assert np.array_equal(clips, before)


def test_where_nothing_acts_only_the_level_changes() -> None:
    clips = noise(8)
    passed = Channel(ROOMS, NOTHING)(clips, np.random.default_rng(0))
    peaks = np.abs(passed).max(axis=1, keepdims=True)
    assert np.allclose(passed / peaks, clips / np.abs(clips).max(axis=1, keepdims=True), atol=1e-5)
    assert 0.05 <= peaks.min() < peaks.max() <= 1.0


def test_without_rooms_there_is_no_echo() -> None:
    draws = torch.full((1, N_CHANNEL_DRAWS), 0.99)
    draws[:, ChannelDraws._fields.index("room")] = 0.0
    click = torch.zeros(1, 32_000)
    click[0, 1000] = 0.5
    assert Channel([]).apply(click, draws.double())[0].abs().argmax() == 1000


@pytest.mark.parametrize("clip", [np.zeros(32_000), np.full(32_000, 0.5)], ids=["silence", "constant"])
def test_silence_and_a_constant_stay_finite(clip: np.ndarray) -> None:
    passed = Channel(ROOMS)(np.tile(clip.astype(np.float32), (32, 1)), np.random.default_rng(0))
    assert np.isfinite(passed).all()
    assert np.abs(passed).max() <= 1.0


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    clips, draws = torch.from_numpy(noise(64)), torch.rand(64, N_CHANNEL_DRAWS, dtype=torch.float64)
    there = Channel(ROOMS, EVERYTHING).to(torch.device("cuda")).apply(clips.cuda(), draws.cuda()).cpu()
    assert torch.allclose(there, Channel(ROOMS, EVERYTHING).apply(clips, draws), atol=2e-4)


def test_at_speed_one_a_clip_is_only_turned_with_its_frames() -> None:
    waveform = np.random.default_rng(0).standard_normal(CLIP_SAMPLES).astype(np.float32)
    frames = np.arange(50, dtype=np.float32)
    turned, moved = turned_at_speed(waveform, frames, 1.0, 20)
    np.testing.assert_array_equal(turned, np.roll(waveform, -20 * 640))
    np.testing.assert_array_equal(moved, np.roll(frames, -20))


@pytest.mark.parametrize("speed", [0.88, 1.15])
def test_a_faster_clip_is_higher_and_its_burst_earlier_and_shorter(speed: float) -> None:
    time_s = np.arange(CLIP_SAMPLES) / SAMPLE_RATE_HZ
    tone = np.where((time_s >= 0.8) & (time_s < 1.2), np.sin(2 * np.pi * 1000 * time_s), 0.0).astype(np.float32)
    active = ((np.arange(50) >= 20) & (np.arange(50) < 30)).astype(np.float32)
    turned, moved = turned_at_speed(tone, active, speed, 0)
    loud = np.flatnonzero(np.abs(turned) > 0.1) / SAMPLE_RATE_HZ
    heard = loud[loud < 1.5]
    assert heard.min() == pytest.approx(0.8 / speed, abs=0.002)
    assert heard.max() == pytest.approx(1.2 / speed, abs=0.002)
    frames = np.flatnonzero(moved[:38])
    assert frames.min() * 0.04 == pytest.approx(0.8 / speed, abs=0.04)
    assert (frames.max() + 1) * 0.04 == pytest.approx(1.2 / speed, abs=0.04)
    spectrum = np.abs(np.fft.rfft(turned))
    assert np.argmax(spectrum) / 2 == pytest.approx(1000 * speed, abs=3)


def test_the_channel_keeps_clips_finite_and_limits_the_band() -> None:
    rng = np.random.default_rng(0)
    white = rng.standard_normal((64, CLIP_SAMPLES)).astype(np.float32)
    out = Channel([np.r_[1.0, 0.5 * rng.standard_normal(800)]])(white, rng)
    spectra = np.abs(np.fft.rfft(out, axis=1)) ** 2
    share_above_6khz = spectra[:, 12_000:].sum(axis=1) / spectra.sum(axis=1)
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 1.0
    assert 5 < (share_above_6khz < 0.02).sum() < 60
