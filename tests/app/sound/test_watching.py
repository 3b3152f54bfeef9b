"""Hours of sound: coughs by the hour, hours that cannot be judged, and memory that stays as it is."""

import tracemalloc

import numpy as np
import pytest

from app.recorder import to_pcm16
from app.sound.around_events import AroundEvents
from app.sound.watching import HourCount, Watching
from core.demonstration import COUGH_TIMES_S, synthesize_demonstration
from core.errors import BundleError
from core.screener import Screener

RATE_HZ = 16_000
QUIET = (10 * np.random.default_rng(0).standard_normal(RATE_HZ)).astype(np.int16)


@pytest.fixture
def watching(default_bundle):
    screener = Screener(default_bundle)

    def make(max_noise_dbfs=-35.0, want=lambda start_s, end_s: None, on_find=lambda: None, load=lambda: screener):
        return Watching(load, max_noise_dbfs, want, on_find)

    return make


def coughs() -> np.ndarray:
    return to_pcm16(synthesize_demonstration())


def test_coughs_are_counted_and_their_times_wanted(watching):
    wanted, told = [], []
    listener = watching(want=lambda start_s, end_s: wanted.append((start_s, end_s)), on_find=lambda: told.append(1))
    for block in (coughs(), *[QUIET] * 4):
        for start in range(0, len(block), 320):
            listener.hear(block[start : start + 320], RATE_HZ)
    (hour,) = listener.hours
    assert (hour.coughs, len(wanted), listener.duration_s) == (3, 3, 10.0)
    assert [start_s for start_s, _ in wanted] == pytest.approx(COUGH_TIMES_S, abs=0.15)
    assert len(told) >= 10
    listener.finish()
    assert listener.hours == (hour,)
    assert listener.results() == {
        "hours": [{"number": 0, "scored_s": pytest.approx(10.0), "coughs": 3, "noise_dbfs": hour.noise_dbfs}]
    }


def test_an_hour_that_is_noisier_than_the_limit_has_no_count(watching):
    listener = watching()
    loud = (0.2 * 32768 * np.random.default_rng(0).standard_normal(RATE_HZ)).clip(-32768, 32767).astype(np.int16)
    for _ in range(6):
        listener.hear(loud, RATE_HZ)
    assert [hour.coughs for hour in listener.hours] == [None]
    assert listener.hours[0].noise_dbfs == pytest.approx(-16.5, abs=1.5)


@pytest.mark.long
def test_a_long_gap_is_time_that_was_not_heard(watching):
    listener = watching()
    listener.hear(coughs(), RATE_HZ)
    listener.miss(0.5)
    listener.miss(2 * 3600.0)
    for _ in range(6):
        listener.hear(QUIET, RATE_HZ)
    listener.hear(coughs(), RATE_HZ)
    listener.finish()
    assert [hour.coughs for hour in listener.hours] == [3, None, 3]
    assert [round(hour.scored_s) for hour in listener.hours] == [6, 0, 18 - 6]
    assert [hour.number for hour in listener.hours] == [0, 1, 2]


def test_without_a_model_nothing_is_counted(watching):
    def load():
        raise BundleError("altered")

    listener = watching(load=load)
    listener.hear(QUIET, RATE_HZ)
    listener.miss(60.0)
    listener.finish()
    assert (listener.has_failed, listener.hours) == (True, ())


@pytest.mark.slow
def test_an_hour_takes_no_more_memory_than_its_first_minutes(default_bundle, watching):
    class Nothing:
        def append(self, samples):
            pass

        def mark_gap(self, lost_s):
            pass

    around = AroundEvents(Nothing(), RATE_HZ)
    listener = watching(want=around.want)
    minute = [coughs(), *np.split(np.tile(QUIET, 54), 9)]
    tracemalloc.start()
    try:
        peaks = []
        for _ in range(62):
            for block in minute:
                for start in range(0, len(block), 1600):
                    around.append(block[start : start + 1600])
                    listener.hear(block[start : start + 1600], RATE_HZ)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()
    finally:
        tracemalloc.stop()
    assert max(peaks[30:]) < max(peaks[1:4]) + 200_000
    assert listener.hours[0] == HourCount(0, 3600.0, 180, listener.hours[0].noise_dbfs)
