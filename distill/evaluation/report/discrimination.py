"""Measures how well scores tell positives from negatives, and what happens at each operating point."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.evaluation.metrics import (
    Estimate,
    auroc_with_interval,
    average_precision_with_interval,
    predictive_values,
    rate_with_interval,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)

TARGETS = (0.90, 0.95)
MAX_POINTS = 120  # of a curve in the report

Array = NDArray[np.float64]
Truth = NDArray[np.bool_]


def measure_discrimination(
    scores: Array, positives: Truth, subjects: Sequence[str], threshold: float | None, prevalence: float, n_draws: int
) -> dict[str, Any]:
    """AUROC, average precision, the curves, and the operating points, with 95 % intervals over resampled subjects.

    Parameters
    ----------
    scores : array, shape (n,)
    positives : bool array, shape (n,), of both classes
    subjects : n ids
    threshold : float or None
        The operating point that is shipped.
    prevalence : float in (0, 1)
        At which predictive values are given.
    n_draws : int

    Returns
    -------
    dict
        ``auroc`` and ``average_precision`` (estimates), ``roc``, ``precision_recall`` (points of the curves) and
        ``operating_points``.
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    false_alarms, sensitivities, thresholds = roc_curve(positives, scores, drop_intermediate=False)
    precision, recall, _ = precision_recall_curve(positives, scores)
    points = [] if threshold is None else [_at("the shipped operating point", threshold, None)]
    for target in TARGETS:
        last = int(np.flatnonzero(false_alarms <= 1 - target + 1e-12)[-1])
        estimate = sensitivity_at_specificity(scores, positives, subjects, target, n_draws)
        points.append(_at(f"specificity {target:.0%}", thresholds[last], {"sensitivity": asdict(estimate)}))
    for target in TARGETS:
        first = int(np.argmax(sensitivities >= target - 1e-12))
        estimate = specificity_at_sensitivity(scores, positives, subjects, target, n_draws)
        points.append(_at(f"sensitivity {target:.0%}", thresholds[first], {"specificity": asdict(estimate)}))
    return {
        "auroc": asdict(auroc_with_interval(scores, positives, subjects, n_draws)),
        "average_precision": asdict(average_precision_with_interval(scores, positives, subjects, n_draws)),
        "roc": _points(false_alarm_rate=false_alarms, sensitivity=sensitivities),
        "precision_recall": _points(recall=recall[::-1], precision=precision[::-1]),
        "operating_points": [
            point | measure_at(scores, positives, subjects, point["threshold"], prevalence, n_draws) for point in points
        ],
    }


def measure_at(
    scores: Array, positives: Truth, subjects: Sequence[str], threshold: float | None, prevalence: float, n_draws: int
) -> dict[str, Any]:
    """Sensitivity, specificity and the predictive values where who scores at or above `threshold` is referred.

    The limits of a predictive value are those of both rates taken together, so they hold at least 95 %. A threshold of
    None refers nobody.
    """
    referred = scores >= (np.inf if threshold is None else threshold)
    sensitivity, specificity = (
        rate_with_interval(referred[chosen] == is_positive, [subjects[i] for i in np.flatnonzero(chosen)], n_draws)
        for is_positive, chosen in ((True, positives), (False, ~positives))
    )
    values = {
        "value": (sensitivity.value, specificity.value),
        "low": (sensitivity.low, specificity.low),
        "high": (sensitivity.high, specificity.high),
    }
    ppv, npv = {}, {}
    for limit, rates in values.items():
        both = (None, None) if None in rates else predictive_values(*rates, prevalence)
        ppv[limit], npv[limit] = both
    return {
        "sensitivity_at_threshold": asdict(sensitivity),
        "specificity_at_threshold": asdict(specificity),
        "ppv": ppv,
        "npv": npv,
    }


def estimate_in_words(estimate: dict[str, Any] | Estimate | None, digits: int = 3) -> str:
    """A number with its interval in brackets, a dash where there is none."""
    content = asdict(estimate) if isinstance(estimate, Estimate) else estimate
    if content is None or content["value"] is None:
        return "-"
    value = f"{content['value']:.{digits}f}"
    if content["low"] is None or content["high"] is None:
        return value
    return f"{value} ({content['low']:.{digits}f}-{content['high']:.{digits}f})"


def _at(rule: str, threshold: float, estimate: dict[str, Any] | None) -> dict[str, Any]:
    return {"rule": rule, "threshold": float(threshold) if np.isfinite(threshold) else None, **(estimate or {})}


def _points(**curves: Array) -> dict[str, list[float]]:
    """At most `MAX_POINTS` points of a curve, its ends among them, without those in the middle of a straight piece."""
    x, y = (np.asarray(curve, dtype=np.float64) for curve in curves.values())
    steps = np.abs(np.diff(x, 2)) + np.abs(np.diff(y, 2)) > 1e-12
    kept = np.flatnonzero(np.concatenate([[True], steps, [True]])) if len(x) > 2 else np.arange(len(x))
    if len(kept) > MAX_POINTS:
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, MAX_POINTS).round().astype(int))]
    return {name: [round(float(value), 5) for value in np.asarray(curve)[kept]] for name, curve in curves.items()}
