"""The resampler keeps what lies below the new Nyquist frequency, removes the rest, and does not care about blocks."""

import time
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import AudioError
from core.resample import KAISER_BETA, Resampler, resample, resample_blocks

RATES_HZ = (4_000, 8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 384_000)
ODD_RATES_HZ = (4_001, 7_999, 44_101, 383_999)


def sine(frequency_hz: float, rate_hz: int, duration_s: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * rate_hz)) / rate_hz)


def middle(waveform: np.ndarray) -> np.ndarray:
    """The half of a waveform that the filter's start and end do not reach, float64."""
    return waveform[len(waveform) // 4 : -(len(waveform) // 4)].astype(np.float64)


def level_db(waveform: np.ndarray) -> float:
    """Level against a full-scale sine."""
    return float(10 * np.log10(2 * np.mean(np.square(waveform)) + 1e-30))


@pytest.mark.parametrize("rate_hz", RATES_HZ + ODD_RATES_HZ)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_sine_below_nyquist_keeps_its_frequency_phase_and_level(rate_hz: int, share: float) -> None:
    frequency_hz = share * min(rate_hz, 16_000) / 2
    resampled = resample(sine(frequency_hz, rate_hz), rate_hz)
    expected = middle(np.sin(2 * np.pi * frequency_hz * np.arange(len(resampled)) / 16_000))
    assert abs(level_db(middle(resampled)) - level_db(expected)) < 0.01  # the contract is 0.1 dB
    assert level_db(middle(resampled) - expected) < -65


@pytest.mark.parametrize("rate_hz", [rate_hz for rate_hz in RATES_HZ + ODD_RATES_HZ if rate_hz > 16_000])
@pytest.mark.parametrize("frequency_hz", [8_001, 8_100, 9_000, 10_500])
def test_a_tone_above_the_new_nyquist_does_not_come_back_as_an_alias(rate_hz: int, frequency_hz: float) -> None:
    assert level_db(middle(resample(sine(frequency_hz, rate_hz), rate_hz))) < -80


@pytest.mark.parametrize("rate_hz", [4_000, 8_000, 7_999, 11_025])
def test_going_up_adds_no_image_above_the_old_nyquist(rate_hz: int) -> None:
    resampled = middle(resample(sine(0.4 * rate_hz, rate_hz, 2.0), rate_hz))
    spectrum = np.abs(np.fft.rfft(resampled * np.blackman(len(resampled))))
    above = np.fft.rfftfreq(len(resampled), 1 / 16_000) > rate_hz / 2
    assert 20 * np.log10(spectrum[above].max() / spectrum.max()) < -80


def test_an_impulse_stays_where_it_was_and_symmetric() -> None:
    impulse = np.zeros(48_000)
    impulse[24_000] = 1.0
    response = resample(impulse, 48_000)
    assert np.argmax(response) == 8_000
    np.testing.assert_allclose(response[8_000:8_200], response[8_000:7_800:-1], atol=1e-7)


@pytest.mark.parametrize("rate_hz", RATES_HZ + ODD_RATES_HZ)
def test_a_constant_stays_that_constant(rate_hz: int) -> None:
    np.testing.assert_allclose(middle(resample(np.full(rate_hz // 4, 0.5), rate_hz)), 0.5, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    rate_hz=st.sampled_from([48_000, 44_100, 8_000, 44_101, 16_000]),
    n_samples=st.integers(0, 40_000),
    cuts=st.lists(st.integers(0, 40_000), max_size=10),
)
def test_any_division_into_blocks_gives_the_same_bits(rate_hz: int, n_samples: int, cuts: list[int]) -> None:
    waveform = np.random.default_rng(n_samples).standard_normal(n_samples).astype(np.float32)
    resampler = Resampler(rate_hz)
    blocks = np.split(waveform, sorted(min(position, n_samples) for position in cuts))
    streamed = np.concatenate([*(resampler.process(block) for block in blocks), resampler.flush()])
    assert streamed.dtype == np.float32
    assert len(streamed) == ceil(n_samples * 16_000 / rate_hz)
    np.testing.assert_array_equal(streamed, resample(waveform, rate_hz))


@settings(max_examples=40, deadline=None)
@given(from_hz=st.integers(4_000, 50_000), n_samples=st.integers(0, 3_000))
def test_the_length_is_the_duration_at_the_new_rate_rounded_up(from_hz: int, n_samples: int) -> None:
    resampled = resample(np.zeros(n_samples), from_hz)
    assert len(resampled) == -(-n_samples * 16_000 // from_hz)


def test_equal_rates_pass_through_unchanged() -> None:
    waveform = np.random.default_rng(0).standard_normal(1_000).astype(np.float32)
    np.testing.assert_array_equal(resample(waveform, 16_000), waveform)


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000, 44_101])
def test_it_agrees_with_soxr_on_band_limited_sound(rate_hz: int) -> None:
    soxr = pytest.importorskip("soxr", reason="soxr is on the workstation only")
    spectrum = np.zeros(rate_hz // 2 + 1, complex)
    top_hz = int(0.85 * min(rate_hz, 16_000) / 2)
    spectrum[50:top_hz] = np.exp(2j * np.pi * np.random.default_rng(0).random(top_hz - 50))
    noise = np.fft.irfft(spectrum)
    noise /= np.abs(noise).max()
    expected = soxr.resample(noise, rate_hz, 16_000, quality="VHQ")
    difference = middle(resample(noise, rate_hz))[: len(middle(expected))] - middle(expected)
    assert np.abs(difference).max() < 2e-4


def test_it_agrees_with_scipy_on_white_noise_given_the_same_filter() -> None:
    signal = pytest.importorskip("scipy.signal", reason="scipy is on the workstation only")
    noise = np.random.default_rng(0).standard_normal(48_000)
    n_taps = 2 * (Resampler(48_000)._phases.n_before + 1) + 1
    prototype = signal.firwin(n_taps, 0.95 / 3, window=("kaiser", KAISER_BETA))
    expected = signal.resample_poly(noise, 1, 3, window=prototype)
    np.testing.assert_allclose(resample(noise, 48_000), expected, atol=2e-4)


def test_memory_is_bounded_for_rates_without_a_small_ratio() -> None:
    resampler = Resampler(44_101)
    for _ in range(30):
        resampler.process(np.zeros(44_101, np.float32))
    tables = [value for value in vars(resampler._phases).values() if isinstance(value, np.ndarray)]
    assert sum(table.nbytes for table in tables) + resampler._held.nbytes < 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize(("rate_hz", "times_real_time"), [(48_000, 50), (44_100, 30), (44_101, 10)])
def test_it_is_much_faster_than_real_time(rate_hz: int, times_real_time: float) -> None:
    waveform = np.random.default_rng(0).standard_normal(30 * rate_hz).astype(np.float32)
    resample(waveform[:rate_hz], rate_hz)
    started_s = time.perf_counter()
    resample(waveform, rate_hz)
    assert time.perf_counter() - started_s < 30 / times_real_time


@pytest.mark.parametrize("rate_hz", [0, -8_000, 44_100.5])
def test_a_rate_that_is_not_a_positive_whole_number_is_refused(rate_hz: float) -> None:
    with pytest.raises(AudioError, match=f"{rate_hz} Hz cannot be used; expected a positive whole number"):
        Resampler(rate_hz)


def test_a_flushed_resampler_takes_no_more() -> None:
    resampler = Resampler(48_000)
    resampler.flush()
    with pytest.raises(RuntimeError, match="process after flush"):
        resampler.process(np.zeros(10))


def test_blocks_come_out_as_the_whole_waveform_does() -> None:
    waveform = np.random.default_rng(0).standard_normal(44_100).astype(np.float32)
    blocks = [waveform[:100], waveform[100:30_000], waveform[30_000:]]
    assert np.array_equal(np.concatenate(list(resample_blocks(blocks, 44_100))), resample(waveform, 44_100))
