import librosa
import numpy as np
import torch

from distill.phone_front_end import (
    FINE_BINS_BELOW_HZ,
    HOP_SAMPLES,
    MEL_MAX_HZ,
    MEL_MIN_HZ,
    N_FRAMES,
    N_MELS,
    RELATIVE_FLOOR,
    SAMPLE_RATE_HZ,
    WINDOW_SAMPLES,
    PhoneFrontEnd,
    band_weights,
    mel_weights,
    used_bins,
)
from distill.student import EMBEDDING_SIZE, EVENT_LABELS, N_ACTIVITY_FRAMES, Student


def noise(seconds: float = 2.0) -> torch.Tensor:
    return 0.1 * torch.randn(1, int(seconds * SAMPLE_RATE_HZ), generator=torch.Generator().manual_seed(3))


def test_mel_filters_are_librosas():
    frequency_hz = np.arange(WINDOW_SAMPLES // 2 + 1) * SAMPLE_RATE_HZ / WINDOW_SAMPLES
    theirs = librosa.filters.mel(
        sr=SAMPLE_RATE_HZ, n_fft=WINDOW_SAMPLES, n_mels=N_MELS, fmin=MEL_MIN_HZ, fmax=MEL_MAX_HZ, htk=True, norm=None
    )
    assert np.allclose(mel_weights(frequency_hz), theirs.T, atol=1e-6)


def test_the_front_end_is_librosas_stft_in_the_bins_that_it_computes():
    waveform = noise()
    stft = librosa.stft(
        np.pad(waveform[0].numpy(), (0, WINDOW_SAMPLES)), n_fft=WINDOW_SAMPLES, hop_length=HOP_SAMPLES, center=False
    )
    energy = (np.abs(stft[used_bins(), :N_FRAMES]) ** 2).T @ band_weights(used_bins())
    expected = np.log(energy / energy.mean() + RELATIVE_FLOOR)
    assert np.abs(PhoneFrontEnd()(waveform)[0, 0].numpy() - expected).max() < 1e-4


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


def test_silence_gives_finite_features():
    assert torch.isfinite(PhoneFrontEnd()(torch.zeros(1, 32_000))).all()


def test_the_student_has_the_documented_outputs_and_size():
    student = Student().eval()
    outputs = student(torch.cat([noise(), 0.5 * noise()]))
    assert outputs.embedding.shape == (2, EMBEDDING_SIZE)
    assert outputs.event_logits.shape == (2, len(EVENT_LABELS))
    assert outputs.activity_logits.shape == (2, N_ACTIVITY_FRAMES)
    assert sum(parameter.numel() for parameter in student.parameters()) == 429_498


def test_activity_logits_are_in_the_order_of_time():
    torch.manual_seed(0)
    student = Student().eval()
    quiet = 1e-3 * noise()
    with torch.no_grad():
        before = student.body(student.front_end(quiet)).activity_logits
        for frame in (5, 25, 44):
            features = student.front_end(quiet)
            features[:, :, 2 * frame : 2 * frame + 2] += 3.0
            change = (student.body(features).activity_logits - before).abs()[0]
            centre = (change * torch.arange(N_ACTIVITY_FRAMES)).sum() / change.sum()
            assert abs(centre - frame) < 4
