"""A screening that is fed while it is recorded: the same numbers as the command gives for the exported file."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.audio import write_wav
from core.bundle import Bundle, load_bundle
from core.demonstration import synthesize_demonstration
from core.errors import AudioError
from core.resample import Resampler
from core.results import Screening
from core.screener import Screener

RATES_HZ = (8_000, 16_000, 44_100, 48_000)
ROOT = Path(__file__).resolve().parents[3]


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    """All of a result but what is not a number of the sound: where it lay, and how long the machine took."""
    recording = {key: value for key, value in result["recording"].items() if key not in ("path", "sha256")}
    return {**result, "recording": recording, "timing_ms": None}


def pcm16(waveform: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(waveform * 32768), -32768, 32767).astype(np.int16)


def heard(screener: Screener, pcm: np.ndarray, rate_hz: int, cuts: list[int]) -> Screening:
    live = screener.begin(rate_hz, "live")
    for block in np.split(pcm, sorted(cuts)):
        live.hear(block.astype(np.float32) / 32768)
    return live.finish()


def demonstration(rate_hz: int) -> np.ndarray:
    resampler = Resampler(16_000, rate_hz)
    return pcm16(np.concatenate([resampler.process(synthesize_demonstration()), resampler.flush()]))


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_the_result_at_stop_is_what_the_command_prints_for_the_exported_recording(
    default_bundle: Bundle, tmp_path: Path, rate_hz: int
) -> None:
    pcm = demonstration(rate_hz)
    write_wav(tmp_path / "a.wav", pcm / 32768, rate_hz)
    command = [sys.executable, "-m", "core.screen_command", "a.wav", "--json", "a.json"]
    subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
    printed = json.loads((tmp_path / "a.json").read_text())["recordings"][0]
    screening = heard(Screener(default_bundle), pcm, rate_hz, list(range(rate_hz // 50, len(pcm), rate_hz // 50)))
    assert (screening.cough_count or 0) >= (3 if rate_hz > 8_000 else 1)
    assert numbers(json.loads(json.dumps(screening.to_json()))) == numbers(printed)


@pytest.mark.long
@given(
    cuts=st.lists(st.integers(0, 22 * 16_000), max_size=60),
    rate_hz=st.sampled_from(RATES_HZ),
    dead_from_s=st.floats(0, 8),
    dead_s=st.floats(0, 14),
)
def test_no_number_depends_on_the_blocks_dead_air_included(
    tiny_bundle: Path, cuts: list[int], rate_hz: int, dead_from_s: float, dead_s: float
) -> None:
    sound = 0.05 * np.random.default_rng(0).normal(size=22 * rate_hz)
    sound[round(dead_from_s * rate_hz) : round((dead_from_s + dead_s) * rate_hz)] = 0
    screener = Screener(load_bundle(tiny_bundle))
    whole = heard(screener, pcm16(sound), rate_hz, [])
    assert numbers(heard(screener, pcm16(sound), rate_hz, cuts).to_json()) == numbers(whole.to_json())


def test_coughs_are_counted_while_they_come_and_the_last_count_is_the_result(default_bundle: Bundle) -> None:
    pcm = demonstration(48_000)
    live, counts = Screener(default_bundle).begin(48_000, "live"), {}
    for start in range(0, len(pcm), 960):
        live.hear(pcm[start : start + 960].astype(np.float32) / 32768)
        counts[live.cough_count] = min(counts.get(live.cough_count, 99.0), start / 48_000)
    assert list(counts) == [0, 1, 2, 3]
    for number, begins_s in enumerate((0.9, 2.6), start=1):
        assert counts[number] < begins_s + 2.5
    assert live.finish().cough_count == 3


def test_silence_has_a_count_so_far_and_no_count_at_the_end(tiny_bundle: Path) -> None:
    live = Screener(load_bundle(tiny_bundle)).begin(16_000, "live")
    live.hear(np.zeros(80_000, np.float32))
    assert live.cough_count == 0
    assert live.finish().cough_count is None


def test_time_without_sound_is_not_counted_as_time_taken(tiny_bundle: Path) -> None:
    live = Screener(load_bundle(tiny_bundle)).begin(16_000, "live")
    live.hear(np.zeros(16_000, np.float32))
    time.sleep(0.5)
    assert live.finish().timing_ms["total"] < 400


@pytest.mark.parametrize(
    ("block", "sentence"), [(np.array([np.nan], np.float32), "not finite"), (np.zeros((2, 2), np.float32), "channel")]
)
def test_what_is_no_sound_is_refused_and_the_screening_goes_on(
    tiny_bundle: Path, block: np.ndarray, sentence: str
) -> None:
    live = Screener(load_bundle(tiny_bundle)).begin(16_000, "live")
    with pytest.raises(AudioError, match=f"live holds samples.*{sentence}"):
        live.hear(block)
    with pytest.raises(AudioError, match="live holds no samples"):
        live.finish()
    live.hear(np.full(16_000, 0.1, np.float32))
    assert live.finish().recording.duration_s == 1.0
