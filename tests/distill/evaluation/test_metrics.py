"""Metrics against scikit-learn, against values worked out by hand, and against what they must refuse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from core.errors import DataError
from distill.evaluation.metrics import (
    auroc,
    auroc_with_interval,
    average_precision,
    average_precision_with_interval,
    bin_of,
    bland_altman,
    calibration_error_with_interval,
    mean_with_interval,
    net_benefit,
    percentage_errors,
    predictive_values,
    rate_with_interval,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
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


@settings(deadline=None)
@given(scored_classes, st.sampled_from([0.5, 0.9, 0.95, 1.0]))
def test_sensitivity_at_a_specificity_is_read_off_scikit_learns_roc_curve(items, at):
    scores, positives = np.array([score / 5 for score, _ in items]), np.array([positive for _, positive in items])
    names = [str(i) for i in range(len(items))]
    false_alarms, sensitivities, _ = roc_curve(positives, scores, drop_intermediate=False)
    expected = sensitivities[false_alarms <= 1 - at + 1e-12].max()
    assert sensitivity_at_specificity(scores, positives, names, at, 10).value == pytest.approx(expected, abs=1e-12)
    expected = (1 - false_alarms)[sensitivities >= at - 1e-12].max()
    assert specificity_at_sensitivity(scores, positives, names, at, 10).value == pytest.approx(expected, abs=1e-12)


def test_the_interval_of_average_precision_is_that_of_drawing_subjects_one_by_one():
    generator = np.random.default_rng(3)
    positives, subjects = np.arange(60) % 3 == 0, [str(i // 2) for i in range(60)]
    scores = np.round(generator.normal(size=60) + positives, 1)
    estimate = average_precision_with_interval(scores, positives, subjects, n_draws=200, seed=5)
    names, index = np.unique(subjects, return_inverse=True)
    draws, again = [], np.random.default_rng(5)
    for n_now in (100, 100):
        for counts in again.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n_now):
            items = np.repeat(np.arange(60), counts[index])
            if positives[items].any():
                draws.append(average_precision_score(positives[items], scores[items]))
    assert estimate.value == pytest.approx(average_precision_score(positives, scores), abs=1e-12)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(draws, (2.5, 97.5))), abs=1e-9)


def test_predictive_values_are_those_of_a_thousand_people():
    # 100 of 1000 ill, 90 of them referred; 30 % of 900 healthy, which is 270: PPV 90 / 360, NPV 630 / 640
    assert predictive_values(0.9, 0.7, 0.1) == pytest.approx((90 / 360, 630 / 640), abs=1e-12)
    assert predictive_values(0.0, 1.0, 0.1) == (None, pytest.approx(0.9))
    assert predictive_values(1.0, 0.0, 0.1) == (pytest.approx(0.1), None)


def test_net_benefit_is_the_hand_worked_one():
    # at 0.5: 2 true, 1 false of 5, weighing 1 to 1; at 0.2: 2 true, 2 false, weighing 1 to 4
    benefit = net_benefit([0.9, 0.6, 0.55, 0.3, 0.1], [True, True, False, False, False], [0.5, 0.2, 0.95])
    assert benefit == pytest.approx([(2 - 1) / 5, (2 - 2 * 0.25) / 5, 0.0], abs=1e-12)


def test_the_calibration_error_is_the_sum_over_scikit_learns_bins():
    generator = np.random.default_rng(0)
    probabilities = generator.random(500)
    positives = generator.random(500) < probabilities**2
    share, mean = calibration_curve(positives, probabilities, n_bins=10)
    counts = np.histogram(probabilities, bins=10, range=(0, 1))[0]
    expected = np.sum(counts * np.abs(share - mean)) / 500
    estimate = calibration_error_with_interval(probabilities, positives, [str(i) for i in range(500)])
    assert estimate.value == pytest.approx(expected, abs=1e-9)
    assert estimate.low < expected < estimate.high


def test_the_calibration_error_of_four_items_is_the_hand_worked_one():
    # bin 0: 0.05, 0.05 with one positive: |0.05 - 0.5|; bin 9: 0.9, 1.0, both positive: |0.95 - 1|
    estimate = calibration_error_with_interval([0.05, 0.05, 0.9, 1.0], [True, False, True, True], list("abcd"))
    assert estimate.value == pytest.approx((2 * 0.45 + 2 * 0.05) / 4, abs=1e-12)
    assert bin_of([0.0, 0.1, 0.95, 1.0]).tolist() == [0, 1, 9, 9]
    with pytest.raises(DataError, match="a probability is not from 0 to 1"):
        bin_of([1.1])
