from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from distill.distillation.distill_student import DistillSettings, load_student
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
from distill.models.student import (
    ACTIVITY_FRAME_STEP_S,
    EMBEDDING_SIZE,
    EVENT_LABELS,
    N_ACTIVITY_FRAMES,
    Student,
    StudentSettings,
)
from distill.settings import load_settings
from quantize.synthesized_clips import synthesized_clips

DISTILL = Path(__file__).parents[3] / "distill"
PARAMETERS = {"nano": 153_890, "small": 370_242, "base": 3_059_266}


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


@pytest.mark.parametrize("size", ["nano", "small"])
def test_the_trained_checkpoints_are_the_students_of_their_settings_files(size):
    student = load_student(DISTILL / "students" / f"{size}.pt")
    assert student.settings == load_settings(DistillSettings, DISTILL / "configs" / f"distil_{size}.toml").student
    assert torch.isfinite(student(noise()).embedding).all()


@pytest.mark.parametrize("size", PARAMETERS)
def test_each_size_has_its_parameters_and_an_activity_step_of_at_most_40_ms(size):
    settings = load_settings(DistillSettings, DISTILL / "configs" / f"distil_{size}.toml").student
    student = Student(settings).eval()
    assert sum(parameter.numel() for parameter in student.parameters()) == PARAMETERS[size]
    outputs = student(noise())
    shapes = [tuple(its.shape) for its in outputs]
    assert shapes == [(1, EMBEDDING_SIZE), (1, len(EVENT_LABELS)), (1, N_ACTIVITY_FRAMES)]
    assert ACTIVITY_FRAME_STEP_S <= 0.04
    assert all(width % 8 == 0 for width in (*settings.channels, *settings.expanded_channels, settings.pooled_channels))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"channels": (24, 40)}, "but have 2, 5 and 5 entries"),
        ({"strides": ((2, 2),) * 2 + ((1, 1),) * 3}, "13 time steps are left; they must divide 50"),
        ({"strides": ((1, 3),) + ((1, 1),) * 4}, "Input should be 1 or 2"),
        ({"channels": (), "expanded_channels": (), "strides": ()}, "at least 1 item"),
        ({"n_mels": 50}, "multiple of 8"),
        ({"n_mels": 72}, "less than or equal to 64"),
        ({"stem_channels": 0}, "greater than 0"),
    ],
)
def test_settings_that_describe_no_student_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        StudentSettings(**settings)
