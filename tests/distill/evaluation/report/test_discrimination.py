"""Discrimination: every figure equals scikit-learn's or one worked out by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import auc, average_precision_score, recall_score, roc_auc_score, roc_curve

from distill.evaluation.report.discrimination import MAX_POINTS, estimate_in_words, measure_at, measure_discrimination


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(4)
    positives = generator.random(600) < 0.3
    scores = np.round(1 / (1 + np.exp(-(generator.normal(size=600) + 1.5 * positives))), 3)
    return scores, positives, [str(i // 2) for i in range(600)]


def test_headline_and_curves_equal_scikit_learn(data):
    scores, positives, subjects = data
    measured = measure_discrimination(scores, positives, subjects, 0.6, 0.1, 100)
    assert measured["auroc"]["value"] == pytest.approx(roc_auc_score(positives, scores), abs=1e-9)
    assert measured["average_precision"]["value"] == pytest.approx(average_precision_score(positives, scores), abs=1e-9)
    curve = measured["roc"]
    assert len(curve["sensitivity"]) <= MAX_POINTS
    assert auc(curve["false_alarm_rate"], curve["sensitivity"]) == pytest.approx(measured["auroc"]["value"], abs=2e-3)
    assert measured["precision_recall"]["recall"][0] == 0 and measured["precision_recall"]["recall"][-1] == 1


def test_a_short_curve_keeps_every_corner():
    measured = measure_discrimination(
        np.array([0.9, 0.8, 0.4, 0.3, 0.2]), np.array([True, False, True, False, False]), list("abcde"), None, 0.1, 100
    )
    curve = measured["roc"]
    assert auc(curve["false_alarm_rate"], curve["sensitivity"]) == pytest.approx(5 / 6, abs=1e-5)


def test_operating_points_are_those_of_the_roc_curve(data):
    scores, positives, subjects = data
    points = {
        p["rule"]: p for p in measure_discrimination(scores, positives, subjects, 0.6, 0.1, 100)["operating_points"]
    }
    false_alarms, sensitivities, _ = roc_curve(positives, scores, drop_intermediate=False)
    for target in (0.9, 0.95):
        point = points[f"specificity {target:.0%}"]
        expected = sensitivities[false_alarms <= 1 - target].max()
        assert point["sensitivity"]["value"] == pytest.approx(expected, abs=1e-9)
        assert point["sensitivity_at_threshold"]["value"] == pytest.approx(expected, abs=1e-9)
        assert point["specificity_at_threshold"]["value"] >= target
        point = points[f"sensitivity {target:.0%}"]
        assert point["specificity"]["value"] == pytest.approx(
            (1 - false_alarms)[sensitivities >= target].max(), abs=1e-9
        )
        assert point["specificity_at_threshold"]["value"] == pytest.approx(point["specificity"]["value"], abs=1e-9)
    shipped = points["the shipped operating point"]
    assert shipped["sensitivity_at_threshold"]["value"] == pytest.approx(
        recall_score(positives, scores >= 0.6), abs=1e-9
    )


def test_predictive_values_at_a_prevalence_follow_from_the_rates_and_their_limits():
    # 10 positives, all referred; 20 negatives, 5 referred; prevalence 20 %
    scores = np.array([0.9] * 10 + [0.8] * 5 + [0.1] * 15)
    measured = measure_at(scores, np.arange(30) < 10, [str(i) for i in range(30)], 0.5, 0.2, 200)
    assert measured["ppv"]["value"] == pytest.approx(1.0 * 0.2 / (0.2 + 0.25 * 0.8), abs=1e-9)
    assert measured["npv"]["value"] == 1.0
    low = binomtest(10, 10).proportion_ci(method="exact").low
    assert measured["sensitivity_at_threshold"]["low"] == pytest.approx(low, abs=1e-9)
    worst = measured["specificity_at_threshold"]["low"]
    assert measured["ppv"]["low"] == pytest.approx(low * 0.2 / (low * 0.2 + (1 - worst) * 0.8), abs=1e-9)


def test_a_threshold_that_refers_nobody_has_no_positive_predictive_value():
    scores, positives = np.linspace(0, 0.4, 12), np.arange(12) % 2 == 0
    measured = measure_at(scores, positives, [str(i) for i in range(12)], None, 0.3, 100)
    assert measured["ppv"]["value"] is None and measured["npv"]["value"] == pytest.approx(0.7)


def test_an_estimate_is_said_with_its_interval():
    assert estimate_in_words({"value": 0.91, "low": 0.8, "high": 0.95}) == "0.910 (0.800-0.950)"
    assert estimate_in_words({"value": 0.5, "low": None, "high": None}, 2) == "0.50"
    assert estimate_in_words(None) == "-"
