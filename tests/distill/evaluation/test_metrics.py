"""Metrics against scikit-learn, against values worked out by hand, and against what they must refuse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, roc_auc_score

from core.errors import DataError
from distill.evaluation.metrics import (
    auroc,
    auroc_with_interval,
    average_precision,
    bland_altman,
    mean_with_interval,
    percentage_errors,
    rate_with_interval,
    threshold_at_sensitivity,
)

scored_classes = st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=60).filter(
    lambda items: len({positive for _, positive in items}) == 2
)


@settings(deadline=None)
@given(scored_classes)
def test_auroc_and_average_precision_equal_scikit_learn_with_ties(items):
    scores, positives = np.array([score / 5 for score, _ in items]), np.array([positive for _, positive in items])
    assert auroc(scores, positives) == pytest.approx(roc_auc_score(positives, scores), abs=1e-12)
    assert average_precision(scores, positives) == pytest.approx(average_precision_score(positives, scores), abs=1e-12)


@settings(deadline=None)
@given(scored_classes, st.integers(0, 2**32 - 1))
def test_weighted_auroc_equals_auroc_of_repeated_items(items, seed):
    scores, positives = np.array([float(score) for score, _ in items]), np.array([positive for _, positive in items])
    counts = np.random.default_rng(seed).integers(1, 4, len(items))
    repeated = auroc(np.repeat(scores, counts), np.repeat(positives, counts))
    assert auroc(scores, positives, counts.astype(float)) == pytest.approx(repeated, abs=1e-12)


def test_two_unscored_recordings_tie_at_the_bottom():
    assert auroc([-np.inf, -np.inf, 0.3], [True, False, True]) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("scores", "positives", "sentence"),
    [
        ([0.1, np.nan], [True, False], "1 of 2 scores are not a number"),
        ([0.1, 0.2], [True, True], "both classes are needed"),
        ([0.1], [True, False], "two lists of one length"),
    ],
)
def test_auroc_refuses_what_has_no_answer(scores, positives, sentence):
    with pytest.raises(DataError, match=sentence):
        auroc(scores, positives)


def test_interval_resamples_subjects_and_not_recordings():
    generator = np.random.default_rng(0)
    positives = np.arange(40) % 2 == 0
    scores = generator.normal(size=40) + positives
    many_each = [str(i) for i in range(40) for _ in range(10)]
    apart = auroc_with_interval(np.repeat(scores, 10), np.repeat(positives, 10), [str(i) for i in range(400)])
    together = auroc_with_interval(np.repeat(scores, 10), np.repeat(positives, 10), many_each)
    assert (together.n, together.n_subjects) == (400, 40)
    assert together.value == apart.value == pytest.approx(auroc(scores, positives))
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_interval_of_a_mean_is_that_of_the_normal_theory_and_repeats_exactly():
    values = np.random.default_rng(1).normal(size=400)
    subjects = [str(i) for i in range(400)]
    estimate = mean_with_interval(values, subjects)
    assert estimate == mean_with_interval(values, subjects)
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert estimate.low < values.mean() < estimate.high


def test_a_rate_without_a_failure_is_still_uncertain():
    subjects = [str(i // 2) for i in range(80)]
    all_found, none_found = rate_with_interval([True] * 80, subjects), rate_with_interval([False] * 80, subjects)
    assert (all_found.value, all_found.high) == (1.0, 1.0)
    assert all_found.low == pytest.approx(binomtest(40, 40).proportion_ci(0.95, "exact").low)
    assert (none_found.low, none_found.high) == (0.0, pytest.approx(1 - all_found.low))
    half = [i < 40 for i in range(80)]
    assert rate_with_interval(half, subjects) == mean_with_interval(half, subjects)


def test_one_subject_has_a_value_and_no_interval():
    estimate = mean_with_interval([1.0, 3.0], ["a", "a"])
    assert (estimate.value, estimate.low, estimate.high, estimate.n_subjects) == (2.0, None, None, 1)


def test_the_threshold_is_the_highest_that_keeps_the_promised_sensitivity():
    scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    positives = [False, False, True, False, True, False, True, True]
    assert threshold_at_sensitivity(scores, positives, 0.9) == 0.3
    assert threshold_at_sensitivity(scores, positives, 0.75) == 0.5
    assert threshold_at_sensitivity([1.0, 1.0], [True, False], 0.0) == np.inf


def test_errors_and_limits_of_agreement_have_the_values_of_their_formulas():
    np.testing.assert_allclose(percentage_errors([3.3, 1.8], [3.0, 2.0]), [10.0, 10.0])
    agreement = bland_altman([1.0, 2.0, 4.0], [1.0, 1.0, 2.0])
    assert agreement.bias == pytest.approx(1.0)
    assert (agreement.low, agreement.high) == pytest.approx((1 - 1.96, 1 + 1.96))
    with pytest.raises(DataError, match="above 0"):
        percentage_errors([1.0], [0.0])
