"""The channel: what is known of a sound that was made comes out, and the loud part does not change it."""

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from core.audio import write_wav
from distill.evaluation.report.channel import describe_channel, describe_sound

RATE_HZ = 16_000


def noise(rms, n=2 * RATE_HZ, seed=0):
    return (rms * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def test_levels_are_those_of_the_sound(tmp_path):
    write_wav(tmp_path / "a.WAV", noise(0.01), RATE_HZ)
    channel = describe_channel(tmp_path / "a.WAV")
    assert channel["level_dbfs"] == pytest.approx(-40, abs=0.2)
    assert channel["noise_floor_dbfs"] == pytest.approx(-40.5, abs=0.5)
    assert (channel["format"], channel["sample_rate_hz"], channel["n_channels"]) == ("wav", 16_000, 1)


def test_a_cough_does_not_change_the_noise_floor_nor_the_band():
    quiet = noise(0.003)
    loud = quiet.copy()
    loud[8000:12000] += noise(0.2, 4000, seed=1)
    before, after = describe_sound(quiet, RATE_HZ), describe_sound(loud, RATE_HZ)
    assert after["noise_floor_dbfs"] == pytest.approx(before["noise_floor_dbfs"], abs=0.5)
    assert after["band_hz"] == pytest.approx(before["band_hz"], abs=300)
    assert after["level_dbfs"] > before["level_dbfs"] + 20


def test_a_telephone_band_is_seen():
    narrow = sosfilt(butter(10, 3400, output="sos", fs=RATE_HZ), noise(0.01)).astype(np.float32)
    wide, telephone = describe_sound(noise(0.01), RATE_HZ), describe_sound(narrow, RATE_HZ)
    assert telephone["band_hz"] < 3600 < 7000 < wide["band_hz"]
    assert telephone["band_above_4_khz_db"] < -25 < -4 < wide["band_above_4_khz_db"]


@pytest.mark.parametrize("waveform", [np.zeros(8000, np.float32), np.ones(5, np.float32), np.zeros(1, np.float32)])
def test_silence_and_a_few_samples_have_finite_numbers(waveform):
    assert all(np.isfinite(value) for value in describe_sound(waveform, RATE_HZ).values())
