"""Planted effects: 100 draws whose true AUROC is known, with an effect and without; misses as often as promised."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from core.probes import sigmoid
from distill.evaluation.metrics import auroc, auroc_with_interval
from distill.probes.linear_fit import LinearModel, participant_means
from distill.probes.operating_points import conformal_point
from distill.probes.triage import calibration_part, fit_triage
from distill.probes.tuberculosis.planted_effect import PlantedEffect

N_DRAWS = 100


def fit(features, labels) -> LinearModel:
    """One logistic regression: what is tested here is what is said of a model, not how its regularizer is chosen."""
    fitted, n_features = LogisticRegression().fit(features, labels), features.shape[1]
    zeros, ones = np.zeros(n_features), np.ones(n_features)
    return LinearModel(zeros, ones, fitted.coef_[0], float(fitted.intercept_[0]), 1.0)


def participants(model, cohort):
    return participant_means(model.scores(cohort.features), cohort.labels, cohort.subjects)


@pytest.fixture(scope="module", params=[1.5, 0.0], ids=["planted", "nothing planted"])
def draws(request):
    """Per draw: the fitted model's true AUROC, its estimate on a test cohort, and the share of positives missed."""
    effect, results = PlantedEffect(request.param), []
    for seed in range(N_DRAWS):
        training = effect.draw(80, seed=seed)
        held_out = calibration_part(training.subjects, training.labels, 0.9, seed)
        model = fit(training.features[~held_out], training.labels[~held_out])
        subjects = np.asarray(training.subjects)[held_out].tolist()
        recordings = model.scores(training.features[held_out])
        scores, targets, _ = participant_means(recordings, training.labels[held_out], subjects)
        point = conformal_point(sigmoid(scores), targets == 1, 0.9)
        scores, targets, people = participants(model, effect.draw(120, seed=1000 + seed))
        estimate = auroc_with_interval(scores, targets == 1, people)
        missed = float(np.mean(sigmoid(scores[targets == 1]) < point.threshold))
        results.append((effect.true_auroc(model), estimate, missed))
    return request.param, results


@pytest.mark.long
def test_the_true_auroc_lies_inside_the_interval_in_at_least_90_of_100_draws(draws):
    _, results = draws
    assert sum(estimate.low <= true <= estimate.high for true, estimate, _ in results) >= 90


@pytest.mark.long
def test_an_effect_is_found_and_none_is_half(draws):
    effect, results = draws
    mean = float(np.mean([estimate.value for _, estimate, _ in results]))
    if effect:
        assert mean > 0.7 and sum(estimate.low > 0.5 for _, estimate, _ in results) >= 80
    else:
        assert all(true == 0.5 for true, _, _ in results) and mean == pytest.approx(0.5, abs=0.02)


def test_positives_are_missed_no_more_often_than_promised(draws):
    _, results = draws
    assert float(np.mean([missed for _, _, missed in results])) <= 0.1


def test_the_closed_form_is_what_many_participants_have():
    effect = PlantedEffect(0.8)
    training = effect.draw(60, seed=3)
    model = fit(training.features, training.labels)
    scores, targets, _ = participants(model, effect.draw(40_000, seed=4))
    assert auroc(scores, targets == 1) == pytest.approx(effect.true_auroc(model), abs=0.005)


def test_a_whole_fit_finds_what_is_planted():
    effect = PlantedEffect(2.0)
    fitted = fit_triage(effect.draw(90))
    estimate = fitted.metrics["auroc"]
    assert estimate["low"] <= effect.true_auroc(fitted.model) <= estimate["high"] and estimate["low"] > 0.7
