"""Reliability: the temperature that was put in comes out, and the figures equal scikit-learn's and scipy's."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from distill.evaluation.report.reliability import (
    decision_curve,
    folds_by_subject,
    measure_reliability,
)


def overconfident(n=4000, temperature=3.0, seed=0):
    """Probabilities whose log-odds are `temperature` times too large."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, size=n)
    return expit(temperature * logits), generator.random(n) < expit(logits), [str(i // 2) for i in range(n)]


def test_temperature_scaling_mends_overconfident_probabilities_of_other_subjects():
    probabilities, positives, subjects = overconfident()
    measured = measure_reliability(probabilities, positives, subjects, 100, 0)
    assert measured["temperature"] == pytest.approx(3.0, rel=0.1)
    assert measured["before"]["calibration_error"]["value"] > 0.1
    assert measured["after"]["calibration_error"]["value"] < 0.03 and measured["is_within_limit"]
    assert measured["after"]["brier"]["value"] < measured["before"]["brier"]["value"]


@pytest.mark.long
def test_an_offset_mends_what_no_temperature_can():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 1.5, size=3000)
    positives, subjects = generator.random(3000) < expit(logits - 1.5), [str(i) for i in range(3000)]
    measured = measure_reliability(expit(logits), positives, subjects, 100, 0)
    assert measured["after"]["calibration_error"]["value"] > 0.1 and not measured["is_within_limit"]
    assert measured["with_offset"]["calibration_error"]["value"] < 0.03


def test_bins_and_brier_score_equal_scikit_learn():
    probabilities, positives, subjects = overconfident(n=800)
    measured = measure_reliability(probabilities, positives, subjects, 100, 0)["before"]
    shares, means = calibration_curve(positives, probabilities, n_bins=10)
    assert [each["share_positive"]["value"] for each in measured["bins"]] == pytest.approx(list(shares), abs=1e-9)
    assert [each["mean_probability"] for each in measured["bins"]] == pytest.approx(list(means), abs=1e-9)
    assert measured["brier"]["value"] == pytest.approx(brier_score_loss(positives, probabilities), abs=1e-9)


def test_a_subject_is_never_scaled_by_a_temperature_that_it_was_fitted_on():
    _, positives, subjects = overconfident(n=200)
    folds = folds_by_subject(positives, subjects, 0)
    assert set(folds) == {0, 1, 2, 3, 4}
    assert all(len({fold for fold, s in zip(folds, subjects, strict=True) if s == name}) == 1 for name in set(subjects))


def test_the_decision_curve_of_useless_probabilities_is_that_of_everybody_or_nobody():
    positives = np.arange(100) < 30
    curve = decision_curve(np.full(100, 0.3), positives)
    for threshold, model, everybody in zip(*(curve[name] for name in ("threshold", "model", "everybody")), strict=True):
        assert everybody == pytest.approx(0.3 - 0.7 * threshold / (1 - threshold), abs=1e-5)
        assert model == (everybody if threshold <= 0.3 else 0.0)
