"""Operating points: the conformal rank by hand, its guarantee over many draws, and what is too little for it."""

import numpy as np
import pytest

from core.errors import DataError
from distill.probes.operating_points import (
    OUT_OF_FOLD,
    SPLIT_CONFORMAL,
    TARGETS,
    abstention_band,
    conformal_point,
    empirical_point,
    positives_needed,
)


def test_targets_carry_the_year_of_their_source():
    target = TARGETS["who_2014_triage_minimum"]
    assert (target.sensitivity, target.specificity) == (0.9, 0.7)
    assert all(any(part.isdigit() and len(part) == 4 for part in name.split("_")) for name in TARGETS)


@pytest.mark.parametrize(("sensitivity", "needed"), [(0.9, 9), (0.95, 19), (0.8, 4), (0.99, 99), (0.5, 1)])
def test_so_many_positives_are_needed(sensitivity, needed):
    assert positives_needed(sensitivity) == needed
    scores = np.linspace(0.1, 0.9, needed)
    assert conformal_point(scores, np.ones(needed, bool), sensitivity).threshold == pytest.approx(0.1)
    with pytest.raises(DataError, match=f"needs {needed} positives that the probe was not fitted on, got {needed - 1}"):
        conformal_point(scores[1:], np.ones(needed - 1, bool), sensitivity)


@pytest.mark.parametrize(("n", "rank"), [(9, 1), (18, 1), (19, 2), (29, 3), (39, 4)])
def test_the_rank_is_that_of_the_finite_sample_correction(n, rank):
    """n positives 1, 2, ..., n, and negatives that must not matter: floor(0.1 · (n + 1))."""
    scores = np.concatenate([np.arange(1.0, n + 1), np.full(7, 3.5)])
    point = conformal_point(scores, np.arange(n + 7) < n, 0.9)
    assert (point.threshold, point.method, point.n, point.target_sensitivity) == (rank, SPLIT_CONFORMAL, n, 0.9)


def test_new_positives_are_missed_no_more_often_than_promised():
    """Over 4,000 draws of 25 positives: floor(0.1 · 26) = 2, so 2 of 26 new positives are missed."""
    generator, missed = np.random.default_rng(0), []
    for _ in range(4000):
        drawn = generator.gamma(2.0, size=26)
        missed.append(drawn[-1] < conformal_point(drawn[:-1], np.ones(25, bool), 0.9).threshold)
    assert np.mean(missed) <= 0.1 and np.mean(missed) == pytest.approx(2 / 26, abs=0.015)


def test_ties_are_never_missed():
    scores = np.array([0.5] * 12 + [0.9] * 7)
    assert conformal_point(scores, np.ones(19, bool), 0.9).threshold == 0.5


def test_the_empirical_point_reaches_its_target_and_promises_nothing():
    point = empirical_point(np.arange(1.0, 11), np.ones(10, bool) & (np.arange(10) > 0), 0.9)
    assert (point.threshold, point.method, point.n) == (2.0, OUT_OF_FOLD, 9)


def test_the_abstention_band_holds_a_tenth_of_the_participants_around_the_operating_point():
    probabilities = np.linspace(0.01, 0.99, 99)
    low, high = abstention_band(probabilities, 0.40)
    assert (low, high) == pytest.approx((0.35, 0.44))
    assert abstention_band(probabilities[:5], 0.03) is None
    assert abstention_band(probabilities, 0.01)[0] == 0.01
    point = conformal_point(probabilities, probabilities > 0.5, 0.9, abstained=0.0)
    assert (point.lower, point.upper, point.band) == (None, None, None)


@pytest.mark.parametrize("sensitivity", [0.0, 1.0, -1.0, float("nan")])
def test_a_target_that_cannot_be_meant_is_refused(sensitivity):
    with pytest.raises(DataError, match="a target sensitivity lies above 0 and below 1"):
        conformal_point([0.1, 0.9], [True, False], sensitivity)
