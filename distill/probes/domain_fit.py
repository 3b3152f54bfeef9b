"""Fits where a probe's training embeddings lie, and measures what the distance from them tells apart."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.interpreter import EMBEDDING_SIZE
from core.probing.domain import MAX_DIRECTIONS, Domain
from distill.evaluation.metrics import auroc
from distill.probes.linear_fit import subject_folds
from distill.probes.probe_file import DIRECTION_DIGITS, rounded

REJECTED_FRACTION = 0.025
MIN_UNLIKE = 5
HOW = (
    "distances of the training recordings are out of fold, 5 folds by subject; the threshold leaves the farthest "
    f"{REJECTED_FRACTION:.1%} of them unscored; AUROC tells the other sound from these"
)

Array = NDArray[np.float64]


def fit_domain(
    features: Array, subjects: Sequence[str], unlike: Mapping[str, Array | None] | None = None, seed: int = 0
) -> Domain:
    """One Gaussian over embeddings (n, 512) of all classes, its covariance shrunk as Ledoit and Wolf do.

    The directions beside the `MAX_DIRECTIONS` of the largest variance share the mean of theirs.

    Parameters
    ----------
    features : array, shape (n, 512)
    subjects : n subject ids; the threshold is the distance that few held-out subjects exceed
    unlike : by its name, other sound's embeddings (m, 512), None where there was none to measure
    """
    distances, folds = np.empty(len(features)), subject_folds(subjects, np.zeros(len(features)), seed)
    for fold in np.unique(folds):
        held_out = folds == fold
        distances[held_out] = _fit(features[~held_out]).distance(features[held_out])
    threshold = float(f"{np.quantile(distances, 1 - REJECTED_FRACTION):.6g}")
    domain = replace(_fit(features), threshold=threshold)
    told = {name: _told_apart(domain, distances, other) for name, other in (unlike or {}).items()}
    measured = {"how": HOW, "n_training": len(features), "rejected_fraction": REJECTED_FRACTION, "unlike": told}
    return replace(domain, measured=measured)


def _fit(features: Array) -> Domain:
    from sklearn.covariance import ledoit_wolf

    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    covariance, _ = ledoit_wolf((features - mean) / scale, assume_centered=True)
    variances, axes = np.linalg.eigh(covariance)
    directions = np.reshape(rounded(axes[:, : -MAX_DIRECTIONS - 1 : -1].T, DIRECTION_DIGITS), (-1, EMBEDDING_SIZE))
    rest = max(float(variances[:-MAX_DIRECTIONS].mean()), 1e-6)
    return Domain(mean, scale, directions, np.maximum(variances[: -MAX_DIRECTIONS - 1 : -1], 1e-6), rest, 0.0, {})


def _told_apart(domain: Domain, own: Array, other: Array | None) -> dict[str, float | int | None]:
    """How well the distance tells other sound from the training recordings, and how much of it is left unscored."""
    if other is None or len(other) < MIN_UNLIKE:
        return {"n": 0 if other is None else len(other), "auroc": None, "unscored_fraction": None}
    distances = domain.distance(other)
    is_other = np.concatenate([np.zeros(len(own), bool), np.ones(len(other), bool)])
    told = auroc(np.concatenate([own, distances]), is_other)
    return {
        "n": len(other),
        "auroc": round(told, 4),
        "unscored_fraction": round(float(np.mean(distances > domain.threshold)), 4),
    }
