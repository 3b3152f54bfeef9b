"""Chooses where a probe refers, for a target sensitivity, with split-conformal prediction's guarantee where it can."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import DataError
from distill.evaluation.metrics import threshold_at_sensitivity

Array = NDArray[np.float64]
Band = tuple[float, float]

ABSTAINED_FRACTION = 0.10
SPLIT_CONFORMAL, OUT_OF_FOLD = "split_conformal", "out_of_fold"


@dataclass(frozen=True)
class Target:
    """What a triage test must reach; sensitivity and specificity are rates in (0, 1)."""

    source: str
    sensitivity: float
    specificity: float


# WHO 2014: high-priority target product profiles for new tuberculosis diagnostics, the community-based triage test.
# WHO renewed its profiles in August 2025; a target's name carries its year, so that neither is taken for the other.
TARGETS = {
    "who_2014_triage_minimum": Target("WHO 2014 triage minimum", 0.90, 0.70),
    "who_2014_triage_optimal": Target("WHO 2014 triage optimal", 0.95, 0.80),
    "coda_2022": Target("CODA TB DREAM Challenge 2022", 0.80, 0.60),
}
WHO_2014_TRIAGE_MINIMUM = TARGETS["who_2014_triage_minimum"]


@dataclass(frozen=True)
class OperatingPoint:
    """A participant is referred at or above ``threshold``, and unscored from ``lower`` to ``upper``, both included.

    ``method`` is `SPLIT_CONFORMAL`, whose chance to miss a new positive is at most 1 - ``target_sensitivity``, or
    `OUT_OF_FOLD`, which promises nothing. ``n`` counts the positives that it rests on. Without an abstention band
    ``lower`` and ``upper`` are None.
    """

    threshold: float
    lower: float | None
    upper: float | None
    target_sensitivity: float
    method: str
    n: int

    @property
    def band(self) -> Band | None:
        """The abstention band; None where there is none."""
        return None if self.lower is None or self.upper is None else (self.lower, self.upper)


def positives_needed(target_sensitivity: float) -> int:
    """How many positives a conformal point needs: the fewest n with ``(1 - target) · (n + 1) >= 1``.

    9 for a sensitivity of 90 %, 19 for 95 %.
    """
    return math.ceil(1 / _missed(target_sensitivity) - 1 - 1e-9)


def conformal_point(
    scores: ArrayLike, positives: ArrayLike, target_sensitivity: float, abstained: float = ABSTAINED_FRACTION
) -> OperatingPoint:
    """The highest threshold that misses a new positive with a chance of at most ``1 - target_sensitivity``.

    It is the k-th lowest score of the n positives with ``k = floor((1 - target) · (n + 1))``: a new positive that is
    exchangeable with them lies below it with a chance of at most ``k / (n + 1)``. The chance is over the draw of these
    positives too. None of the participants may have been used to fit the scores.

    Parameters
    ----------
    scores : array, shape (n,)
        One a participant, higher where positive.
    positives : bool array, shape (n,)
    target_sensitivity : float in (0, 1)
    abstained : float in [0, 1)
        Share of the participants that the abstention band around the threshold holds.

    Raises
    ------
    DataError
        If there are fewer positives than `positives_needed`.
    """
    scores, positives = np.asarray(scores, dtype=np.float64), np.asarray(positives, dtype=bool)
    n, needed = int(positives.sum()), positives_needed(target_sensitivity)
    if n < needed:
        raise DataError(
            f"a sensitivity of {target_sensitivity:g} with a conformal guarantee needs {needed} positives "
            f"that the probe was not fitted on, got {n}"
        )
    k = math.floor(_missed(target_sensitivity) * (n + 1) + 1e-9)
    threshold = float(np.sort(scores[positives])[k - 1])
    return _point(scores, threshold, target_sensitivity, SPLIT_CONFORMAL, n, abstained)


def empirical_point(
    scores: ArrayLike, positives: ArrayLike, target_sensitivity: float, abstained: float = ABSTAINED_FRACTION
) -> OperatingPoint:
    """The highest threshold that reaches the target on these very scores; for new participants it promises nothing."""
    scores, positives = np.asarray(scores, dtype=np.float64), np.asarray(positives, dtype=bool)
    threshold = threshold_at_sensitivity(scores, positives, target_sensitivity)
    return _point(scores, threshold, target_sensitivity, OUT_OF_FOLD, int(positives.sum()), abstained)


def abstention_band(scores: Array, point: float, abstained: float = ABSTAINED_FRACTION) -> Band | None:
    """The band around ``point`` that holds half of ``abstained`` on each side; None where that is nobody."""
    n_each = round(abstained / 2 * len(scores))
    if n_each == 0:
        return None
    below = np.sort(scores[scores < point])[-n_each:]
    above = np.sort(scores[scores >= point])[:n_each]
    return float(below[0]) if len(below) else point, float(above[-1]) if len(above) else point


def _point(
    scores: Array, threshold: float, target_sensitivity: float, method: str, n: int, abstained: float
) -> OperatingPoint:
    lower, upper = abstention_band(scores, threshold, abstained) or (None, None)
    return OperatingPoint(threshold, lower, upper, target_sensitivity, method, n)


def _missed(target_sensitivity: float) -> float:
    if not 0 < target_sensitivity < 1:
        raise DataError(f"a target sensitivity lies above 0 and below 1, got {target_sensitivity:g}")
    return 1 - target_sensitivity
