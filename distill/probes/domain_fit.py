"""Fits where a probe's training embeddings lie, and measures what the distance from them tells apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.interpreter import EMBEDDING_SIZE
from core.probing.domain import MAX_DIRECTIONS, Domain
from distill.evaluation.metrics import auroc
from distill.probes.probe_file import DIRECTION_DIGITS, rounded

REJECTED_FRACTION = 0.025
N_FOLDS = 10  # with fewer, the fits without a fold are too unlike the fit of all
MIN_UNLIKE = 5
HOW = (
    "distances of the training recordings are out of fold, 10 folds by subject; the threshold leaves the farthest "
    f"{REJECTED_FRACTION:.1%} of them unscored; auroc tells n recordings of other sound from these; where too few "
    "(n_selected) hold clips that the probe takes, all of their clips were heard"
)

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OtherSound:
    """Embeddings (m, 512) of sound that is not the training sound.

    ``n_selected`` recordings hold clips that the probe would take; where they are too few to measure, the embeddings
    are of all clips. ``subjects`` are not None where it is training sound that was altered; then each is compared with
    what was fitted without that subject.
    """

    embeddings: Array
    n_selected: int
    subjects: Sequence[str] | None = None


def fit_domain(
    features: Array, subjects: Sequence[str], unlike: Mapping[str, OtherSound | None] | None = None, seed: int = 0
) -> Domain:
    """One Gaussian over embeddings (n, 512) of all classes, its covariance shrunk as Ledoit and Wolf do.

    The directions beside the `MAX_DIRECTIONS` of the largest variance share the mean of theirs.

    Parameters
    ----------
    features : array, shape (n, 512)
    subjects : n subject ids; the threshold is the distance that few held-out subjects exceed
    unlike : other sound by its name, None where there was none to measure
    """
    folds = _folds(subjects, seed)
    fold_of = dict(zip(map(str, subjects), folds, strict=True))
    without = {fold: _fit(features[folds != fold]) for fold in np.unique(folds)}
    distances = np.array([without[fold].distance(each) for fold, each in zip(folds, features, strict=True)])
    threshold = float(f"{np.quantile(distances, 1 - REJECTED_FRACTION):.6g}")
    domain = replace(_fit(features), threshold=threshold)

    def distances_of(other: OtherSound) -> Array:
        if other.subjects is None:
            return domain.distance(other.embeddings)
        pairs = zip(other.subjects, other.embeddings, strict=True)
        return np.array([without[fold_of[str(subject)]].distance(each) for subject, each in pairs])

    told = {
        name: None
        if other is None
        else _told_apart(distances, distances_of(other), threshold) | {"n_selected": other.n_selected}
        for name, other in (unlike or {}).items()
    }
    measured = {"how": HOW, "n_training": len(features), "rejected_fraction": REJECTED_FRACTION, "unlike": told}
    return replace(domain, measured=measured)


def _folds(subjects: Sequence[str], seed: int) -> NDArray[np.int64]:
    from sklearn.model_selection import GroupKFold

    folds = np.empty(len(subjects), np.int64)
    splitter = GroupKFold(min(N_FOLDS, len(set(subjects))), shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(folds, groups=np.asarray(subjects, dtype=str))):
        folds[held_out] = fold
    return folds


def _fit(features: Array) -> Domain:
    from sklearn.covariance import ledoit_wolf

    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    covariance, _ = ledoit_wolf((features - mean) / scale, assume_centered=True)
    variances, axes = np.linalg.eigh(covariance)
    directions = np.reshape(rounded(axes[:, : -MAX_DIRECTIONS - 1 : -1].T, DIRECTION_DIGITS), (-1, EMBEDDING_SIZE))
    rest = max(float(variances[:-MAX_DIRECTIONS].mean()), 1e-6)
    return Domain(mean, scale, directions, np.maximum(variances[: -MAX_DIRECTIONS - 1 : -1], 1e-6), rest, 0.0, {})


def _told_apart(own: Array, other: Array, threshold: float) -> dict[str, float | int | None]:
    """How well the distance tells other sound from the training recordings, and how much of it is left unscored."""
    if len(other) < MIN_UNLIKE:
        return {"n": len(other), "auroc": None, "unscored_fraction": None}
    is_other = np.concatenate([np.zeros(len(own), bool), np.ones(len(other), bool)])
    told, far = auroc(np.concatenate([own, other]), is_other), float(np.mean(other > threshold))
    return {"n": len(other), "auroc": round(told, 4), "unscored_fraction": round(far, 4)}
