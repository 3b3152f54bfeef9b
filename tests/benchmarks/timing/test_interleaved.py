"""Models take turns, and a ratio is of what ran in the same rounds."""

import numpy as np
import pytest

from benchmarks.timing.interleaved import Contender, Timing, ratio_with_interval, time_interleaved


def contender(name: str, audio_s: float, run=lambda: None) -> Contender:
    return Contender(name, run, audio_s, load_s=0.002, facts={"model_sha256": "0" * 64})


def test_models_run_in_turns_after_the_first_runs_and_five_warm_ups():
    order: list[str] = []
    contenders = [contender(name, 2.0, lambda name=name: order.append(name)) for name in ("ours", "theirs")]
    rounds: list[int] = []
    timings = time_interleaved(contenders, min_runs=7, on_round=rounds.append)
    assert order == ["ours", "theirs"] * (1 + 5) + ["ours", "ours", "theirs", "theirs"] * 7
    assert rounds == list(range(1, 8))
    assert all(timing.runs_s.shape == (7,) and timing.runs_s.min() > 0 for timing in timings)


def test_a_longer_measurement_goes_on_beyond_the_fewest_runs():
    (timing,) = time_interleaved([contender("ours", 2.0)], min_runs=1, min_duration_s=0.05)
    assert len(timing.runs_s) > 100


def test_the_ratio_is_per_second_of_audio_and_its_interval_holds_it():
    generator = np.random.default_rng(1)
    load = generator.gamma(20, 1, 300)
    ours = contender("ours", 2.0), Timing(0.1, 0.001 * load * generator.uniform(0.95, 1.05, 300))
    theirs = contender("YAMNet", 0.5), Timing(0.1, 0.002 * load)
    ratio = ratio_with_interval(ours, theirs)
    assert ratio["low"] < ratio["value"] < ratio["high"]
    assert ratio["value"] == pytest.approx(0.5 * 0.5 / 2.0, rel=0.05)
    assert ratio["high"] - ratio["low"] < 0.05 * ratio["value"]
