"""Fits a yes-or-no probe, chooses its operating point and measures how well it would triage."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.probes import sigmoid
from distill.evaluation.metrics import auroc_with_interval, average_precision, rate_with_interval
from distill.evaluation.temperature import balanced_weights, fit_temperature
from distill.probes.cohort import MIN_SUBJECTS_PER_CLASS, Cohort, check_enough
from distill.probes.linear_fit import (
    FittedProbe,
    LinearModel,
    balanced_cross_entropy,
    fit_with_best_regularizer,
    logistic_path,
    out_of_fold_scores,
    participant_means,
)
from distill.probes.operating_points import (
    WHO_2014_TRIAGE_MINIMUM,
    Band,
    OperatingPoint,
    Target,
    conformal_point,
    empirical_point,
    positives_needed,
)

CALIBRATION_SHARE = 1 / 3  # of the subjects, who choose the operating point and are not fitted on
HOW_MEASURED = (
    "ranking: out of fold on the training cohort, 5 folds by subject, the regularizer chosen by 5 folds inside each "
    "training part; a participant's score is the mean over the recordings; intervals are the central 95 % over 1000 "
    "draws of subjects; "
)
HOW_CONFORMAL = (
    "the probe is fitted on two thirds of the subjects; the positives of the others, n of them, set the operating "
    "point by split-conformal prediction, so a new positive who is like them is missed with a chance of at most 1 - "
    "target_sensitivity; the rates at the operating point are those of the others, and their sensitivity is optimistic"
)
HOW_OUT_OF_FOLD = (
    "too few positives for a conformal guarantee: the temperature, operating point and abstention band were set on "
    "these same scores, so the numbers that use them are optimistic"
)
HOW_TESTED = (
    "external test cohort, no subject of which was in training; everything fixed beforehand; a participant's score is "
    "the mean over the recordings; intervals are the central 95 % over 1000 draws of subjects"
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def fit_triage(cohort: Cohort, seed: int = 0, target: Target = WHO_2014_TRIAGE_MINIMUM) -> FittedProbe:
    """L2 logistic probe on balanced classes, with an operating point for the target's sensitivity.

    Where there are enough positives (`calibration_part`), the point has a conformal guarantee, and the probe is fitted
    on the other subjects only. Else it is the highest that keeps the target on out-of-fold scores. ``operating_point``
    of the metrics is the `OperatingPoint`; the abstention band around it holds a tenth of the participants.

    Raises
    ------
    DataError
        If the cohort has too few subjects, or too few of one class.
    """
    check_enough(cohort, "classification")
    features, labels, subjects = cohort.features, cohort.labels, cohort.subjects
    out_of_fold = out_of_fold_scores(features, labels, subjects, logistic_path, balanced_cross_entropy, seed)
    scores, targets, people = participant_means(out_of_fold, labels, subjects)
    temperature = fit_temperature(scores, targets, balanced_weights(targets))
    probabilities = sigmoid(scores / temperature)
    held_out = calibration_part(subjects, labels, target.sensitivity, seed)
    if held_out is None:
        model, how = fit_logistic(features, labels, subjects, seed), HOW_OUT_OF_FOLD
        point = empirical_point(probabilities, targets, target.sensitivity)
        rates = rates_at(point.threshold, point.band, probabilities, targets, people)
    else:
        others = np.asarray(subjects)[~held_out].tolist()
        model, how = fit_logistic(features[~held_out], labels[~held_out], others, seed), HOW_CONFORMAL
        point, rates = calibrate(model, temperature, cohort, held_out, target)
    metrics = {
        "how": HOW_MEASURED + how,
        **_ranking(probabilities, targets, people),
        **rates,
        "operating_point": asdict(point),
        "target": asdict(target),
    }
    return FittedProbe(model, temperature, point.threshold, point.band, metrics)


def fit_logistic(features: Array, labels: Array, subjects: Sequence[str], seed: int = 0) -> LinearModel:
    """The probe of all these recordings, its regularizer chosen by subject-grouped cross-validation."""
    return fit_with_best_regularizer(features, labels, subjects, logistic_path, balanced_cross_entropy, seed)


def calibration_part(subjects: Sequence[str], labels: Array, target_sensitivity: float, seed: int = 0) -> Mask | None:
    """Which recordings (n,) are those of the subjects that set the operating point; None where there are too few.

    They are about a third of the subjects of each class, and as many positives as the conformal guarantee needs. At
    least `MIN_SUBJECTS_PER_CLASS` of each class are left to fit the probe on.
    """
    names = np.asarray(subjects, dtype=str)
    positive = np.unique(names[labels == 1])
    negative = np.setdiff1d(names, positive)
    needed = positives_needed(target_sensitivity)
    n_positive = max(needed, round(CALIBRATION_SHARE * len(positive)))
    n_negative = max(1, round(len(negative) * n_positive / max(1, len(positive))))
    n_negative = min(n_negative, len(negative) - MIN_SUBJECTS_PER_CLASS)
    if n_positive > len(positive) - MIN_SUBJECTS_PER_CLASS or n_negative < 1:
        return None
    generator = np.random.default_rng((seed, 3))
    chosen = [generator.permutation(positive)[:n_positive], generator.permutation(negative)[:n_negative]]
    return np.isin(names, np.concatenate(chosen))


def calibrate(
    model: LinearModel, temperature: float, cohort: Cohort, held_out: Mask, target: Target
) -> tuple[OperatingPoint, dict[str, Any]]:
    """The conformal operating point of the held-out subjects, and the rates that they have there."""
    subjects = np.asarray(cohort.subjects)[held_out].tolist()
    recordings = model.scores(cohort.features[held_out])
    scores, targets, people = participant_means(recordings, cohort.labels[held_out], subjects)
    probabilities = sigmoid(scores / temperature)
    point = conformal_point(probabilities, targets == 1, target.sensitivity)
    return point, rates_at(point.threshold, point.band, probabilities, targets, people)


def evaluate_triage(probe: FittedProbe, training: Cohort, cohort: Cohort, seed: int = 0) -> dict[str, Any]:
    """Measure a fitted probe, as it is, on another cohort; nothing is fitted to `training` again."""
    recordings = probe.model.scores(cohort.features)
    scores, targets, subjects = participant_means(recordings, cohort.labels, cohort.subjects)
    probabilities = sigmoid(scores / probe.temperature)
    measured = measure_triage(probabilities, targets, subjects, probe.operating_point, probe.abstention_band)
    return {"how": HOW_TESTED, "table_sha256": cohort.table_sha256, "n_unscored": cohort.n_unscored, **measured}


def measure_triage(
    probabilities: Array, targets: Array, subjects: list[str], point: float | None, band: Band | None
) -> dict[str, Any]:
    """Ranking, and what happens at the operating point with nobody and with the band's participants left unscored."""
    return {
        **_ranking(probabilities, targets, subjects),
        **rates_at(point, band, probabilities, targets, subjects),
    }


def rates_at(
    point: float | None, band: Band | None, probabilities: Array, targets: Array, subjects: list[str]
) -> dict[str, Any]:
    """Sensitivity and specificity at a point, of everybody and of those outside the abstention band."""
    low, high = band or (np.inf, -np.inf)
    is_scored = ~((probabilities >= low) & (probabilities <= high))
    everybody = np.ones(len(targets), dtype=bool)
    return {
        "at_operating_point": _rates(probabilities, targets, subjects, point, everybody),
        "outside_abstention_band": {
            "n_unscored": int((~is_scored).sum()),
            **_rates(probabilities, targets, subjects, point, is_scored),
        },
    }


def _ranking(probabilities: Array, targets: Array, subjects: list[str]) -> dict[str, Any]:
    return {
        "n_participants": len(targets),
        "n_positive": int(targets.sum()),
        "auroc": asdict(auroc_with_interval(probabilities, targets == 1, subjects)),
        "average_precision": average_precision(probabilities, targets == 1),
    }


def _rates(
    probabilities: Array, targets: Array, subjects: list[str], point: float | None, chosen: NDArray[np.bool_]
) -> dict[str, Any]:
    """Sensitivity and specificity among the chosen, each None where no participant of its class is left."""
    rates: dict[str, Any] = {}
    for name, target in (("sensitivity", 1.0), ("specificity", 0.0)):
        rows = np.flatnonzero(chosen & (targets == target))
        is_right = (probabilities[rows] >= point) == (target == 1.0)
        estimate = rate_with_interval(is_right, [subjects[i] for i in rows]) if len(rows) else None
        rates[name] = asdict(estimate) if estimate else None
    return rates
