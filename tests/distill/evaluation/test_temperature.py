import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.metrics import log_loss

from distill.evaluation.temperature import TEMPERATURE_RANGE, balanced_weights, fit_temperature
from distill.probes.linear_fit import balanced_cross_entropy


def test_the_temperature_has_the_lowest_cross_entropy():
    generator = np.random.default_rng(0)
    logits = 3 * generator.normal(0, 1.5, size=300)
    positives = generator.random(300) < expit(logits / 3)
    found = minimize_scalar(
        lambda t: log_loss(positives, expit(logits / t)), bounds=(0.5, 8), method="bounded", options={"xatol": 1e-9}
    )
    assert fit_temperature(logits, positives) == pytest.approx(found.x, abs=1e-5)
    slope = np.sum(logits * (expit(logits / fit_temperature(logits, positives)) - positives))
    assert slope == pytest.approx(0, abs=1e-9)


def test_perfect_scores_are_kept_within_the_range():
    logits = np.array([-2.0, -1.0, 1.0, 2.0])
    assert fit_temperature(logits, logits > 0) == TEMPERATURE_RANGE[0]
    assert fit_temperature(logits, logits < 0) == TEMPERATURE_RANGE[1]


def test_temperature_is_the_one_that_minimizes_the_balanced_cross_entropy():
    generator = np.random.default_rng(0)
    targets = (np.arange(300) % 3 == 0).astype(float)
    scores = 6 * (targets - 0.5) + 6 * generator.normal(size=300)
    found = fit_temperature(scores, targets, balanced_weights(targets))
    best = minimize_scalar(lambda t: balanced_cross_entropy(scores / t, targets), bounds=(0.1, 20), method="bounded")
    assert found == pytest.approx(best.x, rel=1e-3) and found > 1.5
