"""The gate turns away what nobody could score, lets everything else through, and measures levels exactly."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.audio import read_waveform
from core.demonstration import synthesize_demonstration
from core.quality import REASON_SENTENCES, REMARKS, Quality, QualityMeter
from core.resample import resample

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
PACKS = ("covid19_cough", "coswara_20200413", "fsdd", "emogator", "sfx_cc", "esc10", "speech_commands")  # no test pack


def quality_of(*blocks: np.ndarray) -> Quality:
    meter = QualityMeter()
    for block in blocks:
        meter.push(block)
    return meter.verdict()


def sine(amplitude: float, duration_s: float = 1.0, frequency_hz: float = 440.0, rate_hz: int = 16_000) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * rate_hz)) / rate_hz)


def noise(rms: float, duration_s: float = 1.0) -> np.ndarray:
    return rms * np.random.default_rng(0).standard_normal(round(duration_s * 16_000))


def square(amplitude: float, frequency_hz: float, rate_hz: int) -> np.ndarray:
    return amplitude * np.where(sine(1.0, 1.0, frequency_hz, rate_hz) >= 0, 1.0, -1.0)


def test_the_levels_of_a_sine_are_exact() -> None:
    quality = quality_of(sine(0.5))
    assert quality.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert quality.rms_dbfs == pytest.approx(-9.03, abs=0.01)
    assert (quality.clipped_fraction, quality.duration_s) == (0.0, 1.0)
    assert (quality.acceptable, quality.reasons) == (True, ())


def test_an_offset_is_no_sound() -> None:
    quality = quality_of(0.3 + sine(0.1))
    assert quality.peak_dbfs == pytest.approx(-20.0, abs=0.01)
    assert quality.rms_dbfs == pytest.approx(-23.01, abs=0.01)


@pytest.mark.parametrize(
    "waveform",
    [
        np.zeros(32_000),
        np.full(32_000, 0.5),
        np.ones(32_000),
        noise(1e-4),
        0.2 + noise(1e-5),
        np.linspace(-0.3, 0.3, 160_000),
    ],
    ids=["digital zero", "offset", "stuck at full scale", "hiss", "offset and hiss", "drifting offset"],
)
def test_silence_is_rejected(waveform: np.ndarray) -> None:
    quality = quality_of(waveform)
    assert not quality.acceptable
    assert quality.reasons == ("silent",)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize(("amplitude", "frequency_hz"), [(1.0, 60), (1.0, 440), (1.0, 997), (0.4, 60), (0.4, 440)])
def test_pure_clipping_is_rejected_at_any_rate_and_gain(rate_hz: int, amplitude: float, frequency_hz: float) -> None:
    assert quality_of(resample(square(amplitude, frequency_hz, rate_hz), rate_hz)).reasons == ("clipped",)


def test_hopelessly_overdriven_sound_is_rejected_and_its_clipping_counted() -> None:
    quality = quality_of(np.clip(noise(30.0), -1, 1))
    assert quality.reasons == ("clipped",)
    assert quality.clipped_fraction == pytest.approx(0.974, abs=0.005)


@pytest.mark.parametrize("duration_s", [0.0, 0.1, 0.199])
def test_too_little_sound_is_rejected(duration_s: float) -> None:
    quality = quality_of(sine(0.5, duration_s))
    assert (quality.acceptable, quality.reasons) == (False, ("too_short",))
    assert quality.duration_s == pytest.approx(duration_s, abs=1e-4)


def test_short_silence_has_both_reasons() -> None:
    assert quality_of(np.zeros(1_600)).reasons == ("too_short", "silent")


@pytest.mark.parametrize(
    "waveform",
    [
        sine(0.5, 0.2),
        sine(1.0),
        noise(0.003),
        np.clip(noise(0.5, 2.0), -1, 1),
        np.concatenate([np.zeros(60 * 16_000), noise(0.05, 0.3), np.zeros(60 * 16_000)]),
        synthesize_demonstration(),
    ],
    ids=["0.2 s", "full-scale sine", "quiet", "5 % clipped", "one cough in two silent minutes", "demonstration"],
)
def test_what_can_be_scored_is_accepted(waveform: np.ndarray) -> None:
    assert quality_of(waveform).acceptable


def test_the_signal_to_noise_ratio_is_the_step_from_pauses_to_sound() -> None:
    waveform = noise(0.001, 10.0)
    waveform[32_000:64_000] *= 100.0
    assert quality_of(waveform).snr_db == pytest.approx(40.0, abs=1.0)
    assert quality_of(noise(0.1, 10.0)).snr_db < 2.0


def test_the_signal_to_noise_ratio_is_unknown_without_pauses_that_a_microphone_made() -> None:
    waveform = noise(0.1, 10.0)
    assert quality_of(waveform[:7_000]).snr_db is None
    waveform[:64_000] = 0.0
    assert quality_of(waveform).snr_db is None


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 40_000), max_size=30), n_samples=st.integers(0, 40_000))
def test_any_division_into_blocks_gives_exactly_the_same(cuts: list[int], n_samples: int) -> None:
    waveform = (0.1 + noise(0.3, 2.5)[:n_samples]).astype(np.float32)
    blocks = np.split(waveform, sorted(min(position, n_samples) for position in cuts))
    assert quality_of(*blocks) == quality_of(waveform)


def test_a_verdict_in_between_changes_nothing() -> None:
    meter, waveform = QualityMeter(), noise(0.1, 2.0)
    meter.push(waveform[:10_001])
    assert meter.verdict() == quality_of(waveform[:10_001])
    meter.push(waveform[10_001:])
    assert meter.verdict() == quality_of(waveform)


@settings(max_examples=60, deadline=None)
@given(samples=st.lists(st.floats(-100, 100, width=32), max_size=700))
def test_any_sound_gives_numbers_that_json_can_hold_and_reasons_that_have_a_sentence(samples: list[float]) -> None:
    quality = quality_of(np.array(samples, np.float32))
    json.dumps(asdict(quality), allow_nan=False)
    assert set(quality.reasons) <= set(REASON_SENTENCES)
    assert quality.acceptable == REMARKS.issuperset(quality.reasons)
    assert -120.0 <= quality.rms_dbfs <= quality.peak_dbfs + 1e-6 <= 60.0
    assert 0.0 <= quality.clipped_fraction <= 1.0


def test_memory_does_not_grow_with_the_recording() -> None:
    meter = QualityMeter()
    for _ in range(100):
        meter.push(np.zeros(16_001, np.float32))
        meter.push_passed(np.zeros(16_001, np.float32))
    assert sum(value.size for value in vars(meter).values() if isinstance(value, np.ndarray)) < 4_000


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the corpora are not beside the project")
@pytest.mark.parametrize("pack", PACKS)
def test_ordinary_clips_of_the_corpora_are_accepted(pack: str) -> None:
    pytest.importorskip("soundfile", reason="a phone reads WAV only")
    with (SHARED_DATA / pack / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["flags"] not in ("near_silent", "very_short")]
    rejected = {}
    for row in rows[:: len(rows) // 12]:
        quality = quality_of(read_waveform(SHARED_DATA / pack / row["path"]))
        if not quality.acceptable:
            rejected[row["path"]] = quality
    assert rejected == {}
