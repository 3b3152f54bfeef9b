"""Measures whether probabilities are what they say, before and after temperature scaling on other subjects."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.probes import sigmoid
from distill.evaluation.metrics import (
    N_BINS,
    bin_of,
    calibration_error_with_interval,
    mean_with_interval,
    net_benefit,
    rate_with_interval,
)
from distill.evaluation.temperature import fit_temperature

N_FOLDS = 5
MAX_CALIBRATION_ERROR = 0.05
SMALLEST_PROBABILITY = 1e-7
DECISION_THRESHOLDS = np.round(np.arange(0.01, 1.0, 0.02), 2)

Array = NDArray[np.float64]
Truth = NDArray[np.bool_]


def measure_reliability(
    probabilities: Array, positives: Truth, subjects: Sequence[str], n_draws: int, seed: int
) -> dict[str, Any]:
    """Reliability before and after temperature scaling, and the decision curve of the scaled probabilities.

    Each subject's probabilities are scaled by a temperature that was fitted on four fifths of the other subjects. What
    a temperature cannot mend, since it moves no probability across a half, an offset of the log-odds may.

    Returns
    -------
    dict
        ``before`` and ``after`` (``calibration_error``, ``brier``, ``bins``), ``with_offset`` (the same without bins),
        ``temperature`` (on all items), ``temperatures`` (of the folds), ``is_within_limit`` (of ``after``),
        ``decision_curve`` (of ``after``).
    """
    folds = folds_by_subject(positives, subjects, seed)
    logits, scaled, temperatures = logits_of(probabilities), probabilities.copy(), []
    shifted = probabilities.copy()
    for fold in np.unique(folds):
        others = folds != fold
        temperatures.append(fit_temperature(logits[others], positives[others]))
        scaled[~others] = sigmoid(logits[~others] / temperatures[-1])
        shifted[~others] = _with_offset(logits[others], positives[others], logits[~others])
    after = _reliability(scaled, positives, subjects, n_draws)
    return {
        "before": _reliability(probabilities, positives, subjects, n_draws),
        "after": after,
        "with_offset": _errors(shifted, positives, subjects, n_draws),
        "temperature": fit_temperature(logits, positives),
        "temperatures": temperatures,
        "limit": MAX_CALIBRATION_ERROR,
        "is_within_limit": after["calibration_error"]["value"] <= MAX_CALIBRATION_ERROR,
        "decision_curve": decision_curve(scaled, positives),
    }


def logits_of(probabilities: Array) -> Array:
    """Log-odds (n,), those of 0 and 1 being those of `SMALLEST_PROBABILITY` and of one less it."""
    from scipy.special import logit

    return logit(np.clip(probabilities, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY))


def folds_by_subject(positives: Truth, subjects: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Fold of each item (n,), every subject in one, both classes spread over the folds as evenly as subjects allow."""
    from sklearn.model_selection import StratifiedGroupKFold

    groups = np.asarray(subjects, dtype=str)
    folds = np.zeros(len(groups), dtype=np.int64)
    n_folds = min(N_FOLDS, len(set(subjects)), int(positives.sum()), int((~positives).sum()))
    split = StratifiedGroupKFold(max(2, n_folds), shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(split.split(groups, positives, groups)):
        folds[held_out] = fold
    return folds


def decision_curve(probabilities: Array, positives: Truth) -> dict[str, list[float]]:
    """Net benefit of referring by the probability, of referring everybody and of referring nobody (which is 0)."""
    everybody = net_benefit(np.ones(len(positives)), positives, DECISION_THRESHOLDS)
    curves = {"threshold": DECISION_THRESHOLDS, "model": net_benefit(probabilities, positives, DECISION_THRESHOLDS)}
    return {name: [round(float(v), 5) for v in values] for name, values in (*curves.items(), ("everybody", everybody))}


def _reliability(probabilities: Array, positives: Truth, subjects: Sequence[str], n_draws: int) -> dict[str, Any]:
    errors = _errors(probabilities, positives, subjects, n_draws)
    return errors | {"bins": _bins(probabilities, positives, subjects, n_draws)}


def _errors(probabilities: Array, positives: Truth, subjects: Sequence[str], n_draws: int) -> dict[str, Any]:
    squares = np.square(probabilities - positives)
    return {
        "calibration_error": asdict(calibration_error_with_interval(probabilities, positives, subjects, n_draws)),
        "brier": asdict(mean_with_interval(squares, subjects, n_draws)),
    }


def _with_offset(logits: Array, positives: Truth, others: Array) -> Array:
    """Probabilities of the ``others`` by Platt's line through ``logits`` (n,); a weak penalty keeps it finite."""
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(C=1e3).fit(logits[:, None], positives)
    return line.predict_proba(others[:, None])[:, 1]


def _bins(probabilities: Array, positives: Truth, subjects: Sequence[str], n_draws: int) -> list[dict[str, Any]]:
    numbers, bins = bin_of(probabilities), []
    for number in range(N_BINS):
        chosen = np.flatnonzero(numbers == number)
        if len(chosen):
            share = rate_with_interval(positives[chosen], [subjects[i] for i in chosen], n_draws)
            probability = float(probabilities[chosen].mean())
            bins.append({"from": number / N_BINS, "mean_probability": probability, "share_positive": asdict(share)})
    return bins
