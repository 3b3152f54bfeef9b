"""Tests the times of whole screenings by stage."""

import pytest

from app.latency.page import MIN_RUNS, time_screenings
from core.bundle import load_bundle
from core.demonstration import synthesize_demonstration
from core.screener import Screener
from core.stopwatch import STAGES


def test_the_times_of_all_stages_are_told_and_make_up_the_whole():
    latency = time_screenings(Screener(load_bundle(None)), synthesize_demonstration(), 16_000, MIN_RUNS)
    assert (latency.audio_s, latency.n_runs) == (6.0, MIN_RUNS)
    assert set(latency.stages) == {*STAGES, "total"}
    total = latency.stages["total"]
    assert 0 < total["p50_ms"] <= total["p90_ms"] <= total["p99_ms"]
    assert total["rtf"] == pytest.approx(total["p50_ms"] / 6000)
    assert sum(latency.stages[stage]["mean_ms"] for stage in STAGES) <= total["mean_ms"] * 1.001


def test_a_row_has_the_metrics_of_the_whole_and_the_middle_of_each_stage():
    latency = time_screenings(Screener(load_bundle(None)), synthesize_demonstration(), 16_000, 1)
    row = latency.row({"device": "Phone 1"})
    assert row["device"] == "Phone 1" and row["n_runs"] == MIN_RUNS
    assert row["metrics"]["p50_ms"] == latency.stages["total"]["p50_ms"]
    assert row["metrics"]["model_ms"] == latency.stages["model"]["p50_ms"]


def test_an_ended_measurement_still_has_enough_runs():
    latency = time_screenings(Screener(load_bundle(None)), synthesize_demonstration(), 16_000, 2000, lambda: True)
    assert latency.n_runs == MIN_RUNS
