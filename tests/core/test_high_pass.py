"""Hum and offset are taken out, all else passes, and how a stream is cut changes nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.high_pass import CHUNK_SAMPLES, HighPass, high_passed

RATE_HZ = 16_000


def tone(frequency_hz: float, duration_s: float = 4.0) -> np.ndarray:
    return np.cos(2 * np.pi * frequency_hz * np.arange(round(duration_s * RATE_HZ)) / RATE_HZ).astype(np.float32)


def gain_db(frequency_hz: float) -> float:
    """Of a tone, away from its beginning and end, all that comes of it at other frequencies included."""
    sound = tone(frequency_hz)
    passed = high_passed(sound)[RATE_HZ:-RATE_HZ]
    return 10 * np.log10(np.mean(np.square(passed)) / np.mean(np.square(sound)))


@pytest.mark.parametrize("frequency_hz", [50, 60, 100, 120, 150])
def test_hum_and_its_harmonics_are_taken_out(frequency_hz: float) -> None:
    assert gain_db(frequency_hz) < -38


@pytest.mark.parametrize("frequency_hz", [200, 250, 300, 500, 810, 950, 1_000, 1_190, 2_000, 4_000, 7_900])
def test_what_lies_above_passes_unchanged(frequency_hz: float) -> None:
    assert abs(gain_db(frequency_hz)) < 0.1
    sound = tone(frequency_hz)
    np.testing.assert_allclose(high_passed(sound)[RATE_HZ:-RATE_HZ], sound[RATE_HZ:-RATE_HZ], atol=0.012)  # no delay


@pytest.mark.parametrize("n_samples", [1, 2, 100, CHUNK_SAMPLES - 1, CHUNK_SAMPLES, 3 * CHUNK_SAMPLES + 5])
def test_an_offset_is_taken_out_from_the_first_sample_to_the_last(n_samples: int) -> None:
    passed = high_passed(np.full(n_samples, 0.6, np.float32))
    assert passed.shape == (n_samples,)
    assert np.abs(passed).max() < 1e-4


def test_nothing_gives_nothing() -> None:
    assert high_passed(np.zeros(0, np.float32)).shape == (0,)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 40_000), max_size=12))
def test_how_the_stream_is_cut_does_not_matter(cuts: list[int]) -> None:
    sound = np.random.default_rng(0).standard_normal(40_000).astype(np.float32)
    high_pass = HighPass()
    pieces = [high_pass.process(piece) for piece in np.split(sound, sorted(cuts))]
    np.testing.assert_array_equal(np.concatenate([*pieces, high_pass.flush()]), high_passed(sound))
