import librosa
import numpy as np
import pytest
import torch

from core.demonstration import synthesized_clips
from distill.models.phone_front_end import (
    FINE_BINS_BELOW_HZ,
    HOP_SAMPLES,
    MEL_MAX_HZ,
    MEL_MIN_HZ,
    N_FRAMES,
    N_MELS,
    RELATIVE_FLOOR,
    SAMPLE_RATE_HZ,
    SILENCE_POWER,
    WINDOW_SAMPLES,
    PhoneFrontEnd,
    band_weights,
    folded_bins,
    hann_window,
    mel_weights,
    used_bins,
)


def noise(seconds: float = 2.0) -> torch.Tensor:
    return 0.1 * torch.randn(1, int(seconds * SAMPLE_RATE_HZ), generator=torch.Generator().manual_seed(3))


@pytest.mark.long
def test_mel_filters_are_librosas():
    frequency_hz = np.arange(WINDOW_SAMPLES // 2 + 1) * SAMPLE_RATE_HZ / WINDOW_SAMPLES
    theirs = librosa.filters.mel(
        sr=SAMPLE_RATE_HZ, n_fft=WINDOW_SAMPLES, n_mels=N_MELS, fmin=MEL_MIN_HZ, fmax=MEL_MAX_HZ, htk=True, norm=None
    )
    assert np.allclose(mel_weights(frequency_hz), theirs.T, atol=1e-6)


@pytest.mark.long
def test_the_front_end_is_librosas_stft_in_the_bins_that_it_computes():
    waveform = noise()
    stft = librosa.stft(
        np.pad(waveform[0].numpy(), (0, WINDOW_SAMPLES)), n_fft=WINDOW_SAMPLES, hop_length=HOP_SAMPLES, center=False
    )
    energy = (np.abs(stft[used_bins(), :N_FRAMES]) ** 2).T @ band_weights(used_bins())
    expected = np.log(energy / energy.mean() + RELATIVE_FLOOR)
    assert np.abs(PhoneFrontEnd()(waveform)[0, 0].numpy() - expected).max() < 1e-4


def test_folding_changes_no_feature_by_more_than_single_precision_does():
    clips = synthesized_clips(16)
    padded = np.pad(clips.astype(np.float64), ((0, 0), (0, WINDOW_SAMPLES)))
    starts = HOP_SAMPLES * np.arange(N_FRAMES)[:, None] + np.arange(WINDOW_SAMPLES)
    power = np.abs(np.fft.rfft(padded[:, starts] * hann_window()))[:, :, used_bins()] ** 2
    energy = power @ band_weights(used_bins())
    expected = np.log(energy / (energy.mean(axis=(1, 2), keepdims=True) + SILENCE_POWER) + RELATIVE_FLOOR)
    assert np.abs(PhoneFrontEnd()(torch.from_numpy(clips))[:, 0].numpy() - expected).max() < 1e-4


def test_every_used_bin_is_in_one_class_of_the_folded_dft():
    for n_mels in (48, N_MELS):
        classes = folded_bins(used_bins(n_mels))
        assert sorted(np.concatenate(classes)) == used_bins(n_mels).tolist()
        assert [np.gcd.reduce(np.append(bins, 8)) for bins in classes] == [1, 2, 4, 8]


def test_fewer_mel_bands_see_the_same_energy():
    noise_power = np.ones(len(used_bins(48)))
    energy = noise_power @ band_weights(used_bins(48), 48)
    assert PhoneFrontEnd(48)(noise()).shape == (1, 1, N_FRAMES, 48)
    assert (np.diff(energy) > -0.7).all() and energy.min() > 0.5


def test_skipping_every_second_high_bin_keeps_the_energy_of_noise():
    every_bin = np.arange(2, 196)
    power = np.ones(WINDOW_SAMPLES // 2 + 1)
    full = power[every_bin] @ mel_weights(every_bin * SAMPLE_RATE_HZ / WINDOW_SAMPLES)
    kept = power[used_bins()] @ band_weights(used_bins())
    high = np.flatnonzero(mel_weights(np.array([FINE_BINS_BELOW_HZ]))[0])[-1] + 1
    assert np.allclose(kept[high:] / full[high:], 1.0, atol=0.15)


def test_gain_changes_nothing():
    front_end, waveform = PhoneFrontEnd(), noise()
    reference = front_end(waveform)
    for gain in (0.01, 0.1, 10.0):
        assert (front_end(gain * waveform) - reference).abs().max() < 1e-3


@pytest.mark.parametrize("hum_hz", [50, 60, 100, 120, 150])
def test_hum_below_a_higher_lowest_edge_changes_next_to_nothing(hum_hz):
    waveform = noise()
    hum = 0.25 * torch.sin(2 * torch.pi * hum_hz * torch.arange(32_000) / SAMPLE_RATE_HZ)
    low_edge, high_edge = (
        (PhoneFrontEnd(48, min_hz)(waveform + hum) - PhoneFrontEnd(48, min_hz)(waveform)).abs().median()
        for min_hz in (60.0, 200.0)
    )
    assert low_edge > 0.4
    assert high_edge < 0.002


def test_every_band_above_a_higher_lowest_edge_has_bins():
    bins = used_bins(48, 200.0)
    assert (band_weights(bins, 48, 200.0).sum(axis=0) > 0.5).all()
    assert bins.min() * SAMPLE_RATE_HZ / WINDOW_SAMPLES > 200


def test_silence_gives_finite_features():
    assert torch.isfinite(PhoneFrontEnd()(torch.zeros(1, 32_000))).all()
