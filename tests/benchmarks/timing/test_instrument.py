"""What measuring costs is measured itself, and stays under 2 % of the smallest thing that a user waits for."""

import numpy as np
import pytest

from benchmarks.results.yardstick import load_yardstick
from benchmarks.timing.instrument import MAX_SHARE, Instrument, empty_contender, measure_instrument
from benchmarks.timing.interleaved import Contender, Timing, time_interleaved
from benchmarks.timing.screening import CountingStopwatch
from core.stopwatch import Stopwatch


def test_an_empty_run_and_an_empty_stage_cost_microseconds():
    timings = time_interleaved([load_yardstick(), empty_contender()], min_runs=50)
    instrument = measure_instrument(timings[1])
    assert 0 < instrument.empty_run_s < 50e-6
    assert 0 < instrument.charged_entry_s < instrument.stage_entry_s < 100e-6
    assert instrument.share_of_run(float(np.median(timings[0].runs_s))) < 5 * MAX_SHARE


def test_shares_are_of_the_median_and_count_every_entry_of_a_stage():
    instrument = Instrument(empty_run_s=1e-6, stage_entry_s=2e-6, charged_entry_s=0.5e-6)
    assert instrument.share_of_run(1e-3) == pytest.approx(0.001)
    assert instrument.share_of_run(1e-3, n_entries=10) == pytest.approx(0.021)
    assert instrument.share_of_stage(1e-4, n_entries=10) == pytest.approx(0.05)
    assert instrument.share_of_stage(0.0, n_entries=10) == 0


def test_an_instrument_that_costs_much_shows_itself():
    """The loop's cost is what an empty run takes: one that is not empty raises the share of everything."""

    def spin() -> None:
        sum(range(20_000))

    slow = Contender("not so empty", spin, None, None, {})
    timings = time_interleaved([empty_contender(), slow], min_runs=50)
    cheap, dear = (measure_instrument(timing) for timing in timings)
    assert dear.share_of_run(1e-3) > 20 * cheap.share_of_run(1e-3)


def test_the_median_of_an_empty_run_counts_and_not_one_that_was_interrupted():
    times_s = np.full(101, 1e-6)
    times_s[:10] = 1.0
    assert measure_instrument(Timing(1.0, times_s)).empty_run_s == pytest.approx(1e-6)


def test_a_counting_stopwatch_counts_entries_and_times_as_ever():
    stopwatch = CountingStopwatch()
    assert list(stopwatch.iterate("decode", [1, 2, 3])) == [1, 2, 3]
    with stopwatch.stage("model"), stopwatch.stage("events"):
        pass
    assert stopwatch.n_entries == {"decode": 4, "model": 1, "events": 1}
    assert set(stopwatch.timing_ms) == set(Stopwatch().timing_ms) and stopwatch.timing_ms["model"] > 0
