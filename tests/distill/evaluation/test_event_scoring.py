"""Event scoring: tolerances, long and touching events, and rates where there is nothing to count."""

import pytest

from core.errors import DataError
from distill.evaluation.event_scoring import EventRules, score_events


def test_events_are_found_within_the_tolerance_and_false_outside_it():
    score = score_events([(1.0, 1.4), (5.0, 5.4)], [(0.8, 1.6), (3.0, 3.3), (5.1, 5.3)], 3600.0)
    assert (score.n_reference, score.n_true_positive, score.n_false_positive) == (2, 2, 1)
    # 0.8 to 1.6 s is cut at 0.6 s into 0.8-1.4 and 1.4-1.6, both inside 0.75-1.65; a start at 0.7 s would not be.
    assert score_events([(1.0, 1.4)], [(0.8, 1.6)], 10.0).n_false_positive == 0
    assert score_events([(1.0, 1.4)], [(0.7, 1.2)], 10.0).n_false_positive == 1


def test_counts_of_a_found_and_a_false_event_give_the_rates():
    score = score_events([(1.0, 1.4), (5.0, 5.4)], [(1.0, 1.4), (3.0, 3.3)], 1800.0)
    assert (score.sensitivity, score.precision, score.f1) == (0.5, 0.5, 0.5)
    assert score.false_positives_per_hour == 2.0
    assert (score + score).n_reference == 4 and (score + score).false_positives_per_hour == 2.0


def test_a_covered_tenth_is_not_enough_and_more_is():
    rules = EventRules(start_tolerance_s=0.0, end_tolerance_s=0.0)
    assert score_events([(1.0, 1.5)], [(1.0, 1.05)], 10.0, rules).n_true_positive == 0
    assert score_events([(1.0, 1.5)], [(1.0, 1.06)], 10.0, rules).n_true_positive == 1


def test_a_long_event_is_cut_and_touching_events_stay_apart():
    assert score_events([(0.0, 1.5)], [], 10.0).n_reference == 3
    assert score_events([(0.0, 0.5), (0.5, 1.0)], [], 10.0).n_reference == 2
    assert score_events([(0.0, 0.5), (0.4, 0.6)], [], 10.0).n_reference == 1


def test_rates_of_an_empty_recording_are_unknown_and_not_zero():
    score = score_events([], [], 10.0)
    assert (score.sensitivity, score.precision, score.f1, score.false_positives_per_hour) == (None, None, None, 0.0)
    with pytest.raises(DataError, match="above 0 s"):
        score_events([], [], 0.0)
