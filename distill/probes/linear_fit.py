"""Fits linear probes: standardizes, fits with an L2 penalty, and chooses the penalty across subjects."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.probes import sigmoid
from distill.evaluation.temperature import balanced_weights

REGULARIZERS = np.logspace(-5, 5, 50)
N_FOLDS = 5
_NEWTON_STEPS = 50

Array = NDArray[np.float64]
PathFit = Callable[[Array, Array, Array], tuple[Array, Array]]
Loss = Callable[[Array, Array], float]


@dataclass(frozen=True, eq=False)
class LinearModel:
    """``intercept + weights · (x - mean) / scale``; all vectors (n_features,), float64."""

    mean: Array
    scale: Array
    weights: Array
    intercept: float
    regularizer: float

    def scores(self, features: Array) -> Array:
        """Scores (n,) of ``features`` (n, n_features)."""
        return self.intercept + (features - self.mean) / self.scale @ self.weights


@dataclass(frozen=True, eq=False)
class FittedProbe:
    """A linear model with what core needs to turn its score into an output, and how well that was seen to work."""

    model: LinearModel
    temperature: float
    operating_point: float | None
    abstention_band: tuple[float, float] | None
    metrics: dict[str, Any]


def subject_folds(subjects: Sequence[str], targets: Array, seed: int = 0) -> NDArray[np.int64]:
    """Fold 0 to `N_FOLDS` - 1 of each item, (n,): every subject in exactly one fold, targets spread over the folds.

    Subjects are shuffled, sorted by their mean target and dealt out in rounds, each round in a random order.
    scikit-learn's ``StratifiedGroupKFold`` spreads classes alone; a measured value has to be spread, too.
    """
    names, index = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    generator = np.random.default_rng(seed)
    mean_target = np.bincount(index, weights=targets) / np.bincount(index)
    shuffled = generator.permutation(len(names))
    ordered = shuffled[np.argsort(mean_target[shuffled], kind="stable")]
    n_rounds = -(-len(names) // N_FOLDS)
    dealt = np.concatenate([generator.permutation(N_FOLDS) for _ in range(n_rounds)])[: len(names)]
    fold_of_subject = np.empty(len(names), dtype=np.int64)
    fold_of_subject[ordered] = dealt
    return fold_of_subject[index]


def participant_means(values: Array, targets: Array, subjects: Sequence[str]) -> tuple[Array, Array, list[str]]:
    """Mean of ``values`` (n,) over the recordings that share a subject and a target.

    A subject recorded in both classes, or at two values, counts once for each: there is no mean diagnosis.

    Returns
    -------
    values, targets, subjects
        One each per subject and target.
    """
    index, unit_targets, unit_subjects = _participants(targets, subjects)
    return np.bincount(index, weights=values) / np.bincount(index), unit_targets, unit_subjects


def ridge_path(features: Array, targets: Array, regularizers: Array) -> tuple[Array, Array]:
    """Least squares with penalty ``regularizer · |weights|²`` for every regularizer.

    The figures are those of scikit-learn's ``Ridge`` (a test compares them). It takes four times as long for a path,
    and leaving one subject out takes hundreds of paths.

    Returns
    -------
    weights (n_regularizers, n_features), intercepts (n_regularizers,)
    """
    center = features.mean(axis=0)
    centred, errors = features - center, targets - targets.mean()
    if len(centred) >= centred.shape[1]:
        eigenvalues, basis = np.linalg.eigh(centred.T @ centred)
        weights = _shrunk(eigenvalues, basis.T @ (centred.T @ errors), regularizers) @ basis.T
    else:
        eigenvalues, basis = np.linalg.eigh(centred @ centred.T)
        weights = _shrunk(eigenvalues, basis.T @ errors, regularizers) @ (centred.T @ basis).T
    return weights, targets.mean() - weights @ center


def _shrunk(eigenvalues: Array, values: Array, regularizers: Array) -> Array:
    return values / (np.maximum(eigenvalues, 0.0) + regularizers[:, None])


def logistic_path(features: Array, targets: Array, regularizers: Array) -> tuple[Array, Array]:
    """Logistic regression on 0/1 targets, both classes weighing the same, for every regularizer.

    Minimizes ``Σ weight · cross-entropy + regularizer / 2 · |weights|²`` by Newton's method in the space that the
    items span (which holds the minimum), from the strongest penalty to the weakest, each starting at the last.

    The figures are those of scikit-learn's ``LogisticRegression`` (a test compares them). It computes the curvature
    anew at every step of every penalty, and takes about three times as long for a path.

    Returns
    -------
    weights (n_regularizers, n_features), intercepts (n_regularizers,)
    """
    left, singular, right = np.linalg.svd(features, full_matrices=False)
    spanned = singular > 1e-9 * singular[0]
    left, singular, right = left[:, spanned], singular[spanned], right[spanned]
    design = np.column_stack([left * singular, np.ones(len(features))])
    problem = _Logistic(design, targets, balanced_weights(targets))
    solution, solutions = np.zeros(design.shape[1]), np.empty((len(regularizers), design.shape[1]))
    for position in np.argsort(-regularizers):
        penalty = np.append(np.full(design.shape[1] - 1, regularizers[position]), 0.0)
        solution = problem.minimize(penalty, solution)
        solutions[position] = solution
    return solutions[:, :-1] @ right, solutions[:, -1]


def fit_with_best_regularizer(
    features: Array, targets: Array, subjects: Sequence[str], fit_path: PathFit, loss: Loss, seed: int = 0
) -> LinearModel:
    """Choose the regularizer by subject-grouped cross-validation and refit on everything.

    Parameters
    ----------
    features : array, shape (n, n_features)
    targets : array, shape (n,)
    subjects : n subject ids; `participant_means` of the scores are what ``loss`` sees
    fit_path : `ridge_path` or `logistic_path`
    loss : (participants' scores, targets) -> number to make small; equal losses go to the stronger penalty
    """
    from threadpoolctl import threadpool_limits

    scores = np.empty((len(REGULARIZERS), len(targets)))
    folds = subject_folds(subjects, targets, seed=seed)

    def score_fold(fold: int) -> None:
        held_out = folds == fold
        mean, scale, weights, intercepts = _standardized_path(features[~held_out], targets[~held_out], fit_path)
        scores[:, held_out] = weights @ ((features[held_out] - mean) / scale).T + intercepts[:, None]

    # The products of one fold are too small for threads of their own: these burn the cores' time waiting.
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(score_fold, np.unique(folds).tolist()))
        index, unit_targets, _ = _participants(targets, subjects)
        counts = np.bincount(index)
        losses = np.array([loss(np.bincount(index, weights=row) / counts, unit_targets) for row in scores])
        best = int(np.flatnonzero(losses <= losses.min() + 1e-12)[-1])
        mean, scale, weights, intercepts = _standardized_path(
            features, targets, fit_path, REGULARIZERS[best : best + 1]
        )
    return LinearModel(mean, scale, weights[0], float(intercepts[0]), float(REGULARIZERS[best]))


def out_of_fold_scores(
    features: Array,
    targets: Array,
    subjects: Sequence[str],
    fit_path: PathFit,
    loss: Loss,
    seed: int = 0,
    folds: NDArray[np.int64] | None = None,
) -> Array:
    """Score (n,) of every item by a model whose weights AND regularizer never saw the item's subject.

    ``folds`` (n,) are `subject_folds` when left out. Where a subject has items of several folds, none of them is
    fitted on for another of them.
    """
    scores = np.empty(len(targets))
    folds = subject_folds(subjects, targets, seed=seed) if folds is None else folds
    subjects = np.asarray(subjects, dtype=str)
    for fold in np.unique(folds):
        held_out = folds == fold
        kept = ~np.isin(subjects, subjects[held_out])
        model = fit_with_best_regularizer(features[kept], targets[kept], subjects[kept], fit_path, loss, seed + 1)
        scores[held_out] = model.scores(features[held_out])
    return scores


def balanced_cross_entropy(scores: Array, targets: Array) -> float:
    """Mean cross-entropy of ``sigmoid(scores)`` with 0/1 targets, both classes weighing the same."""
    losses = np.logaddexp(0, scores) - targets * scores
    return float(losses[targets == 1].mean() + losses[targets == 0].mean()) / 2


def mean_absolute_error(scores: Array, targets: Array) -> float:
    """Mean of |score - target|, in the target's unit."""
    return float(np.abs(scores - targets).mean())


def _participants(targets: Array, subjects: Sequence[str]) -> tuple[NDArray[np.int64], Array, list[str]]:
    """Index (n,) of each item's participant, and each participant's target and subject."""
    pairs = [(str(subject), float(target)) for subject, target in zip(subjects, targets, strict=True)]
    units = sorted(set(pairs))
    position = {unit: i for i, unit in enumerate(units)}
    index = np.array([position[pair] for pair in pairs])
    return index, np.array([target for _, target in units]), [subject for subject, _ in units]


def _standardized_path(
    features: Array, targets: Array, fit_path: PathFit, regularizers: Array = REGULARIZERS
) -> tuple[Array, Array, Array, Array]:
    """Mean, scale (1 where a feature is constant), weights and intercepts for standardized features."""
    if fit_path is logistic_path and len(np.unique(targets)) < 2:
        raise DataError("one class sits in so few subjects that a fold is left without it; more subjects are needed")
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    weights, intercepts = fit_path((features - mean) / scale, targets, regularizers)
    return mean, scale, weights, intercepts


class _Logistic:
    """Weighted logistic regression of 0/1 targets (n,) on a design (n, k), minimized for one penalty (k,) at a time."""

    def __init__(self, design: Array, targets: Array, item_weights: Array) -> None:
        self._design, self._targets, self._item_weights = design, targets, item_weights
        self._curvature = np.zeros((0, 0))  # the loss's own second derivative where it was last computed

    def minimize(self, penalty: Array, start: Array) -> Array:
        """Newton's method with step halving; converged when a step promises less than 1e-9 of the loss.

        The curvature is by far the dearest part. It is computed anew where a step with the last one, of a neighbouring
        penalty or an earlier step, does not halve the promise.
        """
        from scipy.linalg import cho_factor, cho_solve

        solution, loss, promised, factor = start, self._loss(penalty, start), np.inf, None
        for _ in range(_NEWTON_STEPS):
            probabilities = sigmoid(self._design @ solution)
            gradient = self._design.T @ (self._item_weights * (probabilities - self._targets)) + penalty * solution
            is_fresh = not self._curvature.size
            while True:
                if is_fresh:
                    self._curvature, factor = self._curvature_at(probabilities), None
                factor = factor or cho_factor(self._curvature + np.diag(penalty + 1e-9))
                step = cho_solve(factor, gradient)
                new_promise, size = float(gradient @ step), 1.0
                if new_promise < 1e-9 * max(loss, 1e-9):
                    return solution
                new_loss = self._loss(penalty, solution - step)
                if is_fresh or (new_loss <= loss and new_promise <= promised / 2):
                    break
                is_fresh = True
            while new_loss > loss:
                size /= 2
                if size < 1e-6:
                    return solution
                new_loss = self._loss(penalty, solution - size * step)
            solution, loss, promised = solution - size * step, new_loss, new_promise
        return solution

    def _curvature_at(self, probabilities: Array) -> Array:
        curvature = self._item_weights * np.maximum(probabilities * (1 - probabilities), 1e-12)
        return self._design.T @ (self._design * curvature[:, None])

    def _loss(self, penalty: Array, solution: Array) -> float:
        logits = self._design @ solution
        cross_entropy = self._item_weights @ (np.logaddexp(0, logits) - self._targets * logits)
        return float(cross_entropy + 0.5 * penalty @ solution**2)
