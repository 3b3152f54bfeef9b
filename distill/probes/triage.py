"""Fits a yes-or-no probe, chooses its operating point and measures how well it would triage."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.probes import sigmoid
from distill.evaluation.metrics import (
    auroc_with_interval,
    average_precision,
    rate_with_interval,
    threshold_at_sensitivity,
)
from distill.probes.cohort import Cohort, check_enough
from distill.probes.linear_fit import (
    FittedProbe,
    balanced_cross_entropy,
    fit_temperature,
    fit_with_best_regularizer,
    logistic_path,
    out_of_fold_scores,
    participant_means,
)

# Minimum targets of a community-based triage test: WHO 2014, high-priority target product profiles for TB diagnostics.
WHO_TRIAGE_MINIMUM = {"sensitivity": 0.90, "specificity": 0.70}
ABSTAINED_FRACTION = 0.10
HOW_MEASURED = (
    "out of fold on the training cohort: 5 folds by subject, the regularizer chosen by 5 folds inside each training "
    "part; a participant's score is the mean over the recordings; intervals are the central 95 % over 1000 draws of "
    "subjects; the temperature, operating point and abstention band were set on these same scores, so the numbers "
    "that use them are optimistic"
)
HOW_TESTED = (
    "external test cohort, no subject of which was in training; everything fixed beforehand; a participant's score is "
    "the mean over the recordings; intervals are the central 95 % over 1000 draws of subjects"
)

Array = NDArray[np.float64]
Band = tuple[float, float]


def fit_triage(cohort: Cohort, seed: int = 0) -> FittedProbe:
    """L2 logistic probe on balanced classes.

    The operating point is the highest one that keeps WHO's minimum sensitivity for triage on out-of-fold scores; the
    abstention band around it holds `ABSTAINED_FRACTION` of the participants.

    Raises
    ------
    DataError
        If the cohort has too few subjects, or too few of one class.
    """
    check_enough(cohort, "classification")
    data = (cohort.features, cohort.labels, cohort.subjects, logistic_path, balanced_cross_entropy, seed)
    scores, targets, subjects = participant_means(out_of_fold_scores(*data), cohort.labels, cohort.subjects)
    temperature = fit_temperature(scores, targets)
    probabilities = sigmoid(scores / temperature)
    point = threshold_at_sensitivity(probabilities, targets, WHO_TRIAGE_MINIMUM["sensitivity"])
    band = abstention_band(probabilities, point)
    metrics = {
        "how": HOW_MEASURED,
        **measure_triage(probabilities, targets, subjects, point, band),
        "target": {"source": "WHO 2014 triage minimum", **WHO_TRIAGE_MINIMUM},
    }
    return FittedProbe(fit_with_best_regularizer(*data), temperature, point, band, metrics)


def evaluate_triage(probe: FittedProbe, training: Cohort, cohort: Cohort, seed: int = 0) -> dict[str, Any]:
    """Measure a fitted probe, as it is, on another cohort; nothing is fitted to `training` again."""
    recordings = probe.model.scores(cohort.features)
    scores, targets, subjects = participant_means(recordings, cohort.labels, cohort.subjects)
    probabilities = sigmoid(scores / probe.temperature)
    measured = measure_triage(probabilities, targets, subjects, probe.operating_point, probe.abstention_band)
    return {"how": HOW_TESTED, "table_sha256": cohort.table_sha256, "n_unscored": cohort.n_unscored, **measured}


def abstention_band(probabilities: Array, point: float) -> Band | None:
    """The band around ``point`` that holds half of `ABSTAINED_FRACTION` on each side; None where that is nobody."""
    n_each = round(ABSTAINED_FRACTION / 2 * len(probabilities))
    if n_each == 0:
        return None
    below = np.sort(probabilities[probabilities < point])[-n_each:]
    above = np.sort(probabilities[probabilities >= point])[:n_each]
    return float(below[0]) if len(below) else point, float(above[-1]) if len(above) else point


def measure_triage(
    probabilities: Array, targets: Array, subjects: list[str], point: float | None, band: Band | None
) -> dict[str, Any]:
    """Ranking, and what happens at the operating point with nobody and with the band's participants left unscored."""
    low, high = band or (np.inf, -np.inf)
    is_scored = ~((probabilities >= low) & (probabilities <= high))
    everybody = np.ones(len(targets), dtype=bool)
    return {
        "n_participants": len(targets),
        "n_positive": int(targets.sum()),
        "auroc": asdict(auroc_with_interval(probabilities, targets == 1, subjects)),
        "average_precision": average_precision(probabilities, targets == 1),
        "at_operating_point": _rates(probabilities, targets, subjects, point, everybody),
        "outside_abstention_band": {
            "n_unscored": int((~is_scored).sum()),
            **_rates(probabilities, targets, subjects, point, is_scored),
        },
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
