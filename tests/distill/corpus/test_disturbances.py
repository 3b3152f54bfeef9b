"""Disturbances: what each does to a clip, and that none depends on the others of its batch's number."""

import numpy as np
import pytest

from distill.corpus.disturbances import Disturbances, DisturbanceSettings

KINDS = ("hum", "offset", "gain", "telephone", "codec", "handling", "clipping")


def clips(n: int = 4) -> np.ndarray:
    """Bursts of noise in faint noise, with a peak of 0.4."""
    waveforms = 0.002 * np.random.default_rng(0).standard_normal((n, 32_000))
    waveforms[:, 8_000:12_000] *= 50
    return (0.4 * waveforms / np.abs(waveforms).max(axis=1, keepdims=True)).astype(np.float32)


def disturbed(kind: str, **settings: object) -> np.ndarray:
    disturb = Disturbances(DisturbanceSettings(**{f"{kind}_probability": 1.0}, **settings))
    return disturb(clips(), np.random.default_rng(1))


def power_at(waveform: np.ndarray, low_hz: float, high_hz: float) -> float:
    return float(np.square(np.abs(np.fft.rfft(waveform)))[round(2 * low_hz) : round(2 * high_hz)].sum())


def test_without_a_probability_nothing_changes() -> None:
    assert np.array_equal(Disturbances(DisturbanceSettings())(clips(), np.random.default_rng(0)), clips())


@pytest.mark.parametrize("kind", KINDS)
def test_each_changes_clips_and_is_a_function_of_the_generator(kind: str) -> None:
    first, again = disturbed(kind), disturbed(kind)
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert np.isfinite(first).all()
    assert not any(np.array_equal(ours, before) for ours, before in zip(first, clips(), strict=True))


def test_hum_has_its_level_and_lies_on_the_harmonics_of_the_mains() -> None:
    hum = disturbed("hum", hum_level=(0.5, 0.5)) - clips()
    assert np.abs(hum).max(axis=1) == pytest.approx(0.2, rel=0.01)
    for waveform in hum:
        assert power_at(waveform, 45, 500) > 0.99 * power_at(waveform, 0, 8_000)


def test_a_telephone_line_leaves_300_to_3400_hz() -> None:
    for waveform, before in zip(disturbed("telephone"), clips(), strict=True):
        assert power_at(waveform, 5_000, 7_500) < 0.01 * power_at(before, 5_000, 7_500)
        assert power_at(waveform, 500, 3_000) > 0.3 * power_at(waveform, 0, 8_000)


def test_a_codec_leaves_what_is_strong_and_drops_what_is_weak() -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(32_000) / 16_000)
    faint = 0.001 * np.random.default_rng(0).standard_normal(32_000)
    decoded = Disturbances(DisturbanceSettings(codec_probability=1.0, codec_holes_db=(30.0, 30.0)))(
        (tone + faint).astype(np.float32)[None], np.random.default_rng(0)
    )[0]
    assert np.abs(decoded - tone)[500:-500].max() < 0.02
    assert power_at(decoded, 4_000, 8_000) < 0.01 * power_at(tone + faint, 4_000, 8_000)


def test_automatic_gain_raises_what_is_faint_against_what_is_loud() -> None:
    for waveform, before in zip(disturbed("gain"), clips(), strict=True):
        ratio, ratio_before = (np.std(w[8_000:12_000]) / np.std(w[25_000:]) for w in (waveform, before))
        assert ratio < 0.8 * ratio_before


def test_clipping_keeps_the_waveform_within_a_share_of_its_peak() -> None:
    assert np.abs(disturbed("clipping", clipping_level=(0.5, 0.5))).max(axis=1) == pytest.approx(0.2)
