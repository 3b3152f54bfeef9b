"""Event scoring: tolerances, long and touching events, rates of nothing, and the same counts as EPFL's timescoring."""

import numpy as np
import pytest

from core.errors import DataError
from distill.evaluation.event_scoring import EventRules, score_events


def test_events_are_found_within_the_tolerance_and_false_outside_it():
    score = score_events([(1.0, 1.4), (5.0, 5.4)], [(0.8, 1.6), (3.0, 3.3), (5.1, 5.3)], 3600.0)
    assert (score.n_reference, score.n_true_positive, score.n_false_positive) == (2, 2, 1)
    # 0.8 to 1.6 s is cut at 0.6 s into 0.8-1.4 and 1.4-1.6, both in 0.75-1.65 in part.
    assert score_events([(1.0, 1.4)], [(0.8, 1.6)], 10.0).n_false_positive == 0
    # 0.7 to 1.9 s becomes 0.7-1.3 and 1.3-1.9; 0.7 to 2.4 s has 1.9-2.4 beside them, which is false.
    assert score_events([(1.0, 1.4)], [(0.7, 1.9)], 10.0).n_false_positive == 0
    assert score_events([(1.0, 1.4)], [(0.7, 2.4)], 10.0).n_false_positive == 1


def test_what_lies_at_a_cough_that_was_not_found_is_false():
    # 0.08 s of the 0.9 s from 0.75 to 1.65 are less than a tenth.
    missed = score_events([(1.0, 1.4)], [(1.57, 2.0)], 10.0)
    assert (missed.n_true_positive, missed.n_false_positive) == (0, 1)
    assert score_events([(1.0, 1.4)], [(1.55, 2.0)], 10.0).n_false_positive == 0


def test_a_point_is_found_within_the_tolerances_and_refused_without_any():
    score = score_events([(2.0, 2.0), (8.0, 8.0)], [(1.9, 2.2)], 10.0)
    assert (score.n_reference, score.n_true_positive, score.n_false_positive) == (2, 1, 0)
    with pytest.raises(DataError, match="without a length, and without a tolerance"):
        score_events([(2.0, 2.0)], [], 10.0, EventRules(start_tolerance_s=0.0, end_tolerance_s=0.0))


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


def test_f1_of_coughs_without_a_find_and_of_finds_without_a_cough_is_zero():
    assert score_events([(1.0, 1.4)], [], 10.0).f1 == 0.0
    assert score_events([], [(1.0, 1.4)], 10.0).f1 == 0.0


def random_spans(generator) -> np.ndarray:
    """Spans of 12 s in order of time, in steps of 5 ms, (n, 2); some overlap, and some are long."""
    starts = np.sort(generator.integers(0, 2399, generator.integers(0, 12)))
    ends = np.maximum.accumulate(starts + generator.integers(1, 400, len(starts)))
    return np.column_stack([starts, ends.clip(max=2400)])


@pytest.mark.parametrize("rules", [EventRules(), EventRules(0.1, 0.4, 0.5, 0.8, 0.2), EventRules(0.0, 0.0, 0.0)])
def test_counts_and_rates_are_those_of_timescoring(rules):
    """timescoring looks at a tenth of a second, whatever the settings: times a hundred make that a millisecond."""
    scoring = pytest.importorskip("timescoring.scoring")
    annotations = pytest.importorskip("timescoring.annotations")
    theirs = (rules.start_tolerance_s, rules.end_tolerance_s, rules.min_overlap, rules.max_event_s, rules.merge_gap_s)
    scaled = scoring.EventScoring.Parameters(*(part if i == 2 else 100 * part for i, part in enumerate(theirs)))
    generator, n_found, n_false = np.random.default_rng(0), 0, 0
    for _ in range(300):
        steps = [random_spans(generator) for _ in range(2)]
        pair = [annotations.Annotation([(0.5 * a, 0.5 * b) for a, b in spans], 10, 12_000) for spans in steps]
        expected, ours = (
            scoring.EventScoring(*pair, scaled),
            score_events(*((spans / 200).tolist() for spans in steps), 12.0, rules),
        )
        counts = (ours.n_reference, ours.n_true_positive, ours.n_false_positive)
        assert counts == (expected.refTrue, expected.tp, expected.fp)
        for rate, other in ((ours.sensitivity, expected.sensitivity), (ours.precision, expected.precision)):
            assert other == pytest.approx(np.nan if rate is None else rate, abs=1e-12, nan_ok=True)
        assert expected.f1 == pytest.approx(np.nan if ours.f1 is None else ours.f1, abs=1e-12, nan_ok=True)
        assert ours.false_positives_per_hour == pytest.approx(expected.fpRate * 100 / 24, abs=1e-9)
        n_found, n_false = n_found + counts[1], n_false + counts[2]
    assert n_found > 100 and n_false > 30
