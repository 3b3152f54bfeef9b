import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clips import CLIP_S, Clip, ClipCutter
from core.demonstration import COUGH_LENGTH_S, COUGH_TIMES_S, synthesize_demonstration
from core.errors import SettingsError
from core.monitoring.gate import Gate, GateSettings

RATE_HZ = 16000
START_UP_S = GateSettings.start_up_s


def noise(duration_s: float, level_dbfs: float = -50.0, seed: int = 0, slope: float = 0.0) -> np.ndarray:
    """Noise whose amplitude falls with frequency to the power of `slope`: 0 is white, 1 brown."""
    n_samples = round(duration_s * RATE_HZ)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n_samples))
    spectrum *= np.maximum(np.fft.rfftfreq(n_samples, 1 / RATE_HZ), 20.0) ** -slope
    sound = np.fft.irfft(spectrum, n_samples)
    return (sound / sound.std() * 10 ** (level_dbfs / 20)).astype(np.float32)


def burst(level_dbfs: float, duration_s: float = 0.2, seed: int = 9) -> np.ndarray:
    """Noise between 300 and 2000 Hz, like the middle of a cough."""
    n_samples = round(duration_s * RATE_HZ)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n_samples))
    frequency_hz = np.fft.rfftfreq(n_samples, 1 / RATE_HZ)
    spectrum[(frequency_hz < 300) | (frequency_hz > 2000)] = 0
    sound = np.fft.irfft(spectrum, n_samples)
    return (sound / sound.std() * 10 ** (level_dbfs / 20)).astype(np.float32)


def put(waveform: np.ndarray, sound: np.ndarray, start_s: float) -> np.ndarray:
    mixed = waveform.copy()
    start = round(start_s * RATE_HZ)
    mixed[start : start + len(sound)] += sound
    return mixed


def decide(waveform: np.ndarray, settings: GateSettings | None = None, hop_s: float = 0.5) -> dict[float, bool]:
    """Whether the clip that starts at each time is let through."""
    gate = Gate(settings)
    return {clip.start_s: gate.admits(clip) for clip in ClipCutter(hop_s).push(waveform)}


def open_share(decisions: dict[float, bool], from_s: float, until_s: float = np.inf) -> float:
    return float(np.mean([is_open for start_s, is_open in decisions.items() if from_s <= start_s < until_s]))


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("level_dbfs", [-55.0, -20.0])
def test_steady_noise_is_left_out_once_it_is_known(slope: float, level_dbfs: float) -> None:
    decisions = decide(noise(90, level_dbfs, slope=slope))
    assert open_share(decisions, START_UP_S + GateSettings.hold_s) == 0.0


def test_the_first_clips_of_a_stream_are_always_run() -> None:
    for waveform in (noise(20), np.zeros(20 * RATE_HZ, np.float32)):
        decisions = decide(waveform)
        assert all(is_open for start_s, is_open in decisions.items() if start_s + CLIP_S <= START_UP_S)
        assert not decisions[START_UP_S + 0.5]


def test_digital_silence_and_what_is_below_the_least_level_never_open_the_gate() -> None:
    silence = np.zeros(60 * RATE_HZ, np.float32)
    assert open_share(decide(put(silence, burst(-70), 30.0)), START_UP_S + 0.5) == 0.0
    assert open_share(decide(put(silence, burst(-40), 30.0)), START_UP_S + 0.5) > 0.0


def test_every_clip_that_holds_a_sound_that_stands_out_is_run() -> None:
    decisions = decide(put(noise(60), burst(-40), 30.1))
    within = [start_s for start_s in decisions if start_s < 30.3 and start_s + CLIP_S > 30.1]
    assert len(within) == 4
    assert all(decisions[start_s] for start_s in within)
    assert open_share(decisions, 5.0, 28.0) == 0.0 and open_share(decisions, 31.0) == 0.0


def test_what_follows_a_sound_is_run_for_as_long_as_the_gate_holds() -> None:
    waveform = put(noise(60), burst(-40, 0.02), 30.0)
    assert decide(waveform, GateSettings(hold_s=0.0))[30.5] is False
    assert decide(waveform, GateSettings(hold_s=0.6))[30.5] is True


@pytest.mark.parametrize("snr_db", [6.0, 12.0, 30.0])
def test_no_synthesized_cough_that_stands_out_is_left_out(snr_db: float) -> None:
    coughs, waveform = synthesize_demonstration(), noise(40)
    level = np.sqrt(np.mean(np.square(coughs[round(COUGH_TIMES_S[0] * RATE_HZ) :][: round(0.3 * RATE_HZ)])))
    decisions = decide(put(waveform, coughs / level * 10 ** ((snr_db - 50) / 20), 20.0))
    for time_s in COUGH_TIMES_S:
        start_s = 20.0 + time_s
        holding = [clip_s for clip_s in decisions if clip_s <= start_s and start_s + COUGH_LENGTH_S <= clip_s + CLIP_S]
        assert len(holding) >= 3 and all(decisions[clip_s] for clip_s in holding)


def test_a_fan_that_starts_opens_the_gate_until_it_is_known_and_coughs_over_it_still_do() -> None:
    waveform = np.concatenate([noise(40, -60), noise(80, -35, seed=1)])
    decisions = decide(put(waveform, burst(-25), 100.0))
    assert open_share(decisions, 40.0, 60.0) == 1.0
    assert open_share(decisions, 40.0 + GateSettings.floor_s, 97.5) == 0.0
    assert all(decisions[start_s] for start_s in (98.5, 99.0, 99.5, 100.0))


def test_a_fan_that_stops_hides_no_cough_beyond_the_next_clip() -> None:
    waveform = np.concatenate([noise(60, -30), noise(20, -60, seed=1)])
    decisions = decide(put(waveform, burst(-48), 62.1))
    assert all(decisions[start_s] for start_s in (60.5, 61.0, 61.5, 62.0))


def test_noise_that_rises_slowly_is_not_taken_for_sound() -> None:
    duration_s = 300.0
    rising_db = np.linspace(0.0, 20.0, round(duration_s * RATE_HZ))
    decisions = decide(noise(duration_s, -60) * (10 ** (rising_db / 20)).astype(np.float32))
    assert open_share(decisions, START_UP_S + 0.5) < 0.1


def test_hum_and_an_offset_hide_nothing() -> None:
    time_s = np.arange(60 * RATE_HZ) / RATE_HZ
    hum = (0.1 + 0.1 * np.sin(2 * np.pi * 50 * time_s)).astype(np.float32)
    decisions = decide(put(noise(60, -55) + hum, burst(-38), 30.1))
    assert decisions[29.5] and not decisions[27.0]
    assert open_share(decisions, 5.0, 28.0) == 0.0


@pytest.mark.long
@given(
    at_s=st.floats(6.0, 16.0),
    duration_s=st.floats(0.06, 0.6),
    over_db=st.floats(12.0, 40.0),
    hop_s=st.sampled_from([0.1, 0.33, 0.48, 0.5, 1.0, 1.9999, 2.0]),
    seed=st.integers(0, 5),
)
def test_whatever_its_time_and_the_hop_each_clip_with_all_of_a_burst_is_run(
    at_s: float, duration_s: float, over_db: float, hop_s: float, seed: int
) -> None:
    decisions = decide(put(noise(20, -50, seed), burst(over_db - 50, duration_s, seed), at_s), hop_s=hop_s)
    for start_s, is_open in decisions.items():
        # the newest frame, not whole before the clip's end, is judged with the next clip
        if start_s <= at_s and at_s + duration_s <= start_s + CLIP_S - 0.02:
            assert is_open


@given(gain_db=st.floats(-5.0, 40.0), seed=st.integers(0, 5))
def test_the_gain_of_the_microphone_changes_no_decision(gain_db: float, seed: int) -> None:
    settings = GateSettings(min_level_dbfs=-120.0)
    waveform = put(noise(15, -60, seed), burst(-48, seed=seed), 9.0)
    assert decide(waveform, settings) == decide(waveform * np.float32(10 ** (gain_db / 20)), settings)


@given(start_s=st.floats(0.0, 1.0), level=st.sampled_from([0.0, 1e-30, 1.0, 1e3]))
def test_no_sound_makes_it_fail(start_s: float, level: float) -> None:
    gate = Gate()
    for number in range(12):
        assert gate.admits(Clip(start_s + 0.5 * number, np.full(32000, level, np.float32), CLIP_S)) in (True, False)


def test_hours_take_the_memory_of_a_minute() -> None:
    def peak_bytes(n_clips: int) -> int:
        gate, waveform = Gate(), noise(2)
        tracemalloc.start()
        for number in range(n_clips):
            gate.admits(Clip(0.5 * number, waveform, CLIP_S))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(10)
    assert peak_bytes(5000) < peak_bytes(120) + 2000


@pytest.mark.parametrize(
    ("name", "value"),
    [("open_db", 0.0), ("floor_percentile", 60.0), ("floor_s", 1.0), ("hold_s", -0.1), ("open_db", float("nan"))],
)
def test_settings_out_of_range_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"the gate's {name} is"):
        GateSettings(**{name: value})
