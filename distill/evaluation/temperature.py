"""Fits the temperature that makes a classifier's probabilities what they say (Guo et al. 2017, section 4.2)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.probes import sigmoid

TEMPERATURE_RANGE = (0.05, 20.0)

Array = NDArray[np.float64]


def fit_temperature(logits: Array, positives: ArrayLike, weights: Array | float = 1.0) -> float:
    """The temperature T > 0 for which ``sigmoid(logit / T)`` has the lowest cross-entropy.

    The cross-entropy is convex in 1 / T, so its slope has one zero; T is kept within `TEMPERATURE_RANGE`. ``weights``
    (n,) say how much each item counts; all the same when left out.
    """
    from scipy.optimize import brentq

    def slope(inverse: float) -> float:
        return float(np.sum(weights * logits * (sigmoid(inverse * logits) - positives)))

    low, high = 1 / TEMPERATURE_RANGE[1], 1 / TEMPERATURE_RANGE[0]
    if slope(low) >= 0:
        return TEMPERATURE_RANGE[1]
    return TEMPERATURE_RANGE[0] if slope(high) <= 0 else 1 / float(brentq(slope, low, high, xtol=1e-14))


def balanced_weights(positives: ArrayLike) -> Array:
    """Weights (n,) with which both classes count the same, and all items together n; both must be there."""
    of_item = np.asarray(positives).astype(np.int64)
    return (len(of_item) / (2 * np.bincount(of_item, minlength=2)))[of_item]
