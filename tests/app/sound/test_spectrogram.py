"""Levels of frames and columns of the spectrogram, on sound whose numbers are known."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sound.spectrogram import BANDS_HZ, N_ROWS, ROWS_DBFS, ROWS_HZ, Spectrogram

RATES_HZ = (8_000, 16_000, 44_100, 48_000)


def sine(frequency_hz: float, rate_hz: int, amplitude: float = 0.1, duration_s: float = 1.0) -> np.ndarray:
    times_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    return (amplitude * np.sin(2 * np.pi * frequency_hz * times_s)).astype(np.float32)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize(("frequency_hz", "band"), [(420, 0), (850, 1), (1700, 2), (3400, 3)])
def test_a_sine_has_its_power_in_its_own_band_and_in_all(rate_hz, frequency_hz, band):
    frames = Spectrogram(rate_hz).push(sine(frequency_hz, rate_hz))
    assert len(frames.powers) == 50
    assert 10 * np.log10(frames.powers[1:-1]) == pytest.approx(np.full(48, -23.01), abs=0.1)
    assert frames.band_powers[:, band] == pytest.approx(frames.powers, rel=0.02)
    assert np.delete(frames.band_powers, band, axis=1).max() < 0.01 * frames.powers.min()
    assert frames.peaks.max() == pytest.approx(0.1, rel=0.01)


def test_hum_and_offset_count_for_no_level():
    hum = sine(50, 16_000, 0.5) + np.float32(0.2)
    assert 10 * np.log10(Spectrogram(16_000).push(hum).powers.max()) < -50


def test_the_powers_of_white_noise_are_its_mean_square():
    noise = 0.05 * np.random.default_rng(0).standard_normal(160_000)
    frames = Spectrogram(16_000).push(noise.astype(np.float32))
    above_hum = (8000 - 150) / 8000
    assert frames.powers.mean() == pytest.approx(0.05**2 * above_hum, rel=0.02)
    widths = [(high - low) / 8000 for low, high in BANDS_HZ]
    assert frames.band_powers.mean(axis=0) == pytest.approx(0.05**2 * np.array(widths), rel=0.06)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_25_columns_a_second_show_a_sine_in_its_row_at_its_level(rate_hz):
    columns = Spectrogram(rate_hz).push(sine(1000, rate_hz)).columns
    assert (columns.shape, columns.dtype) == ((25, N_ROWS), np.uint8)
    row = np.log(1000 / ROWS_HZ[0]) / np.log(ROWS_HZ[1] / ROWS_HZ[0]) * N_ROWS
    assert abs(columns[5].argmax() - row) <= 1.5
    low, high = ROWS_DBFS
    level_dbfs = low + columns[5].max() / 255 * (high - low)
    assert -32 < level_dbfs < -22


def test_silence_is_black():
    assert not Spectrogram(48_000).push(np.zeros(48_000, np.float32)).columns.any()


@given(cuts=st.lists(st.integers(0, 20_000), max_size=12), rate_hz=st.sampled_from(RATES_HZ))
def test_how_the_sound_is_cut_changes_nothing(cuts, rate_hz):
    sound = np.random.default_rng(1).uniform(-1, 1, 20_000).astype(np.float32)
    whole, spectrogram = Spectrogram(rate_hz).push(sound), Spectrogram(rate_hz)
    pieces = [spectrogram.push(piece) for piece in np.split(sound, sorted(cuts))]
    for name in ("powers", "band_powers", "peaks", "columns"):
        joined = np.concatenate([getattr(piece, name) for piece in pieces])
        np.testing.assert_allclose(joined.astype(float), getattr(whole, name).astype(float), rtol=1e-4, atol=1)


def test_a_second_of_sound_costs_a_few_milliseconds():
    spectrogram, block = Spectrogram(48_000), sine(500, 48_000, duration_s=0.02)
    spectrogram.push(block)
    begun_s = time.process_time()
    for _ in range(500):
        spectrogram.push(block)
    assert (time.process_time() - begun_s) / 10 < 0.05
