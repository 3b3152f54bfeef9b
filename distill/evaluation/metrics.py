"""Computes the numbers that judge a detector or a probe, each with its interval over resampled subjects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import DataError

N_DRAWS = 1000
INTERVAL = (2.5, 97.5)
N_BINS = 10  # of equal width, of probabilities from 0 to 1
_DRAWS_AT_ONCE = 100
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A number, its 95 % interval over resampled subjects, and what it was measured on.

    ``low`` and ``high`` are None where fewer than two subjects, or one class in every draw, leave no interval.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    n_subjects: int


@dataclass(frozen=True)
class Agreement:
    """Bland-Altman: mean of predicted minus reference and the limits that hold 95 % of the differences."""

    bias: float
    low: float
    high: float
    n: int


def auroc(scores: ArrayLike, positives: ArrayLike, weights: NDArray[np.float64] | None = None) -> float:
    """Chance that a positive scores above a negative, ties counted half (Mann-Whitney U).

    Parameters
    ----------
    scores : array, shape (n,)
        Any finite numbers; -inf is allowed for "below everything".
    positives : bool array, shape (n,)
    weights : array, shape (n,), optional
        How often each item counts; all once when left out.

    Raises
    ------
    DataError
        If a score is NaN or one of the classes is empty.
    """
    scores, positives = _checked(scores, positives)
    weights = np.ones((1, len(scores))) if weights is None else np.atleast_2d(weights)
    return float(_weighted_aurocs(scores, positives, weights)[0])


def auroc_with_interval(
    scores: ArrayLike, positives: ArrayLike, subjects: Sequence[str], n_draws: int = N_DRAWS, seed: int = 0
) -> Estimate:
    """`auroc` with its interval over resampled subjects; draws that lost one class are left out."""
    scores, positives = _checked(scores, positives)
    return _with_interval(
        lambda weights: _weighted_aurocs(scores, positives, weights), subjects, len(scores), n_draws, seed
    )


def auroc_difference_with_interval(
    scores: ArrayLike,
    others: ArrayLike,
    positives: ArrayLike,
    subjects: Sequence[str],
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Estimate:
    """AUROC of `scores` minus that of `others`, both of the same items, with its interval over resampled subjects."""
    scores, positives = _checked(scores, positives)
    others, _ = _checked(others, positives)

    def difference(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return _weighted_aurocs(scores, positives, weights) - _weighted_aurocs(others, positives, weights)

    return _with_interval(difference, subjects, len(scores), n_draws, seed)


def auroc_gap_with_interval(
    scores: ArrayLike,
    positives: ArrayLike,
    groups: ArrayLike,
    subjects: Sequence[str],
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Estimate:
    """Highest less lowest AUROC among ``groups`` (n,), each of both classes, with its interval over resampled subjects.

    A gap is never below 0, nor is its interval: `auroc_gap_p_value` says whether chance would make it.
    """
    scores, positives = _checked(scores, positives)
    members = _members(groups)
    return _with_interval(
        lambda weights: _weighted_gaps(scores, positives, [weights * member for member in members]),
        subjects,
        len(scores),
        n_draws,
        seed,
    )


def auroc_gap_p_value(
    scores: ArrayLike,
    positives: ArrayLike,
    groups: ArrayLike,
    subjects: Sequence[str],
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> float:
    """How often the gap is as large where subjects of one class change groups at random, the real one counted too.

    Each subject is in one group. Subjects of whom every recording is positive change places among themselves, and so do
    those of whom none is, and the others.
    """
    scores, positives = _checked(scores, positives)
    members = _members(groups)
    _, first, index = np.unique(np.asarray(subjects, dtype=str), return_index=True, return_inverse=True)
    group_of_subject = members.argmax(axis=0)[first]
    shares = np.bincount(index, weights=positives) / np.bincount(index)
    strata = [np.flatnonzero(stratum) for stratum in (shares == 0, shares == 1, (shares > 0) & (shares < 1))]
    generator, gaps = np.random.default_rng(seed), []
    for first_draw in range(0, n_draws, _DRAWS_AT_ONCE):
        drawn = np.tile(group_of_subject, (min(_DRAWS_AT_ONCE, n_draws - first_draw), 1))
        for row in drawn:
            for stratum in strata:
                row[stratum] = generator.permutation(row[stratum])
        chosen = [(drawn == number)[:, index].astype(np.float64) for number in range(len(members))]
        gaps.append(_weighted_gaps(scores, positives, chosen))
    real = _weighted_gaps(scores, positives, [member[None, :].astype(np.float64) for member in members])[0]
    drawn_gaps = np.concatenate(gaps)
    return float((1 + np.sum(drawn_gaps >= real - _ROUNDING)) / (1 + np.isfinite(drawn_gaps).sum()))


def mean_with_interval(values: ArrayLike, subjects: Sequence[str], n_draws: int = N_DRAWS, seed: int = 0) -> Estimate:
    """Mean of ``values`` (n,), such as errors, with its interval over resampled subjects."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 0 or not np.isfinite(values).all():
        raise DataError(f"a mean needs at least one value and finite ones, got {len(values)} values")
    return _with_interval(lambda weights: weights @ values / weights.sum(axis=1), subjects, len(values), n_draws, seed)


def rate_with_interval(outcomes: ArrayLike, subjects: Sequence[str], n_draws: int = N_DRAWS, seed: int = 0) -> Estimate:
    """Share of ``outcomes`` (n,) that are true, with its interval over resampled subjects.

    Where all are true, or none, every draw is the same; the interval is then Clopper and Pearson's for as many
    independent outcomes as there are subjects.
    """
    estimate = mean_with_interval(np.asarray(outcomes, dtype=bool), subjects, n_draws, seed)
    if estimate.low is None or estimate.value not in (0.0, 1.0):
        return estimate
    margin = 1 - (INTERVAL[0] / 100) ** (1 / estimate.n_subjects)
    low, high = (1 - margin, 1.0) if estimate.value == 1.0 else (0.0, margin)
    return replace(estimate, low=low, high=high)


def average_precision(scores: ArrayLike, positives: ArrayLike) -> float:
    """Area under the precision-recall steps, equal scores taken as one step."""
    scores, positives = _checked(scores, positives)
    return float(_weighted_average_precisions(scores, positives, np.ones((1, len(scores))))[0])


def average_precision_with_interval(
    scores: ArrayLike, positives: ArrayLike, subjects: Sequence[str], n_draws: int = N_DRAWS, seed: int = 0
) -> Estimate:
    """`average_precision` with its interval over resampled subjects; draws without a positive are left out."""
    scores, positives = _checked(scores, positives)
    return _with_interval(
        lambda weights: _weighted_average_precisions(scores, positives, weights), subjects, len(scores), n_draws, seed
    )


def sensitivity_at_specificity(
    scores: ArrayLike,
    positives: ArrayLike,
    subjects: Sequence[str],
    specificity: float,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Estimate:
    """Highest sensitivity of a threshold that keeps at least ``specificity``; each draw has a threshold of its own."""
    scores, positives = _checked(scores, positives)

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        sensitivities, false_alarms = _weighted_rates(scores, positives, weights)
        return _highest(sensitivities, false_alarms <= 1 - specificity + _ROUNDING)

    return _with_interval(statistic, subjects, len(scores), n_draws, seed)


def specificity_at_sensitivity(
    scores: ArrayLike,
    positives: ArrayLike,
    subjects: Sequence[str],
    sensitivity: float,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Estimate:
    """Highest specificity of a threshold that keeps at least ``sensitivity``; each draw has a threshold of its own."""
    scores, positives = _checked(scores, positives)

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        sensitivities, false_alarms = _weighted_rates(scores, positives, weights)
        return _highest(1 - false_alarms, sensitivities >= sensitivity - _ROUNDING)

    return _with_interval(statistic, subjects, len(scores), n_draws, seed)


def predictive_values(sensitivity: float, specificity: float, prevalence: float) -> tuple[float | None, float | None]:
    """Positive and negative predictive value by Bayes' rule, all 0 to 1; None where nobody would have that result."""
    found, missed = sensitivity * prevalence, (1 - sensitivity) * prevalence
    cleared, alarmed = specificity * (1 - prevalence), (1 - specificity) * (1 - prevalence)
    ppv = found / (found + alarmed) if found + alarmed > 0 else None
    return ppv, cleared / (cleared + missed) if cleared + missed > 0 else None


def net_benefit(probabilities: ArrayLike, positives: ArrayLike, thresholds: ArrayLike) -> NDArray[np.float64]:
    """Net benefit of referring at or above each threshold in (0, 1), in true positives an item (Vickers 2006)."""
    probabilities, positives = _checked(probabilities, positives)
    thresholds = np.asarray(thresholds, dtype=np.float64)
    referred = probabilities[:, None] >= thresholds
    n_true, n_false = referred[positives].sum(axis=0), referred[~positives].sum(axis=0)
    return (n_true - n_false * thresholds / (1 - thresholds)) / len(probabilities)


def bin_of(probabilities: ArrayLike) -> NDArray[np.int64]:
    """Which of `N_BINS` equal bins each probability is in, (n,); one at the border of two is in the higher."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise DataError("a probability is not from 0 to 1")
    return np.minimum((probabilities * N_BINS).astype(np.int64), N_BINS - 1)


def calibration_error_with_interval(
    probabilities: ArrayLike, positives: ArrayLike, subjects: Sequence[str], n_draws: int = N_DRAWS, seed: int = 0
) -> Estimate:
    """Expected calibration error over `N_BINS` equal bins: mean distance of a bin's probability from its share.

    Few items in a bin lie away from its probability by chance, so the error is above 0 even of perfect probabilities.
    """
    probabilities, positives = np.asarray(probabilities, dtype=np.float64), np.asarray(positives, dtype=bool)
    is_in_bin = bin_of(probabilities)[:, None] == np.arange(N_BINS)
    surplus = is_in_bin * (probabilities - positives)[:, None]
    return _with_interval(
        lambda weights: np.abs(weights @ surplus).sum(axis=1) / weights.sum(axis=1),
        subjects,
        len(probabilities),
        n_draws,
        seed,
    )


def threshold_at_sensitivity(scores: ArrayLike, positives: ArrayLike, sensitivity: float) -> float:
    """Highest threshold (refer where score >= threshold) that reaches at least ``sensitivity``, 0 to 1."""
    scores, positives = _checked(scores, positives)
    thresholds = np.append(np.inf, np.unique(scores)[::-1])
    reached = 1 - np.searchsorted(np.sort(scores[positives]), thresholds, side="left") / np.count_nonzero(positives)
    return float(thresholds[np.argmax(reached >= sensitivity - 1e-12)])


def percentage_errors(predicted: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]:
    """Absolute error of each prediction in per cent of its reference, which must be above zero."""
    predicted, reference = np.asarray(predicted, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if not (reference > 0).all():
        raise DataError(f"a percentage error needs reference values above 0, got {reference.min():g}")
    return 100 * np.abs(predicted - reference) / reference


def bland_altman(predicted: ArrayLike, reference: ArrayLike) -> Agreement:
    """Bias and limits of agreement (bias ± 1.96 sample standard deviations), Bland and Altman 1986."""
    difference = np.asarray(predicted, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    if len(difference) < 2:
        raise DataError(f"limits of agreement need at least 2 pairs, got {len(difference)}")
    bias, spread = float(difference.mean()), 1.96 * float(difference.std(ddof=1))
    return Agreement(bias, bias - spread, bias + spread, len(difference))


def _checked(scores: ArrayLike, positives: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    scores, positives = np.asarray(scores, dtype=np.float64), np.asarray(positives, dtype=bool)
    if scores.shape != positives.shape or scores.ndim != 1:
        raise DataError(f"scores {scores.shape} and classes {positives.shape} must be two lists of one length")
    if np.isnan(scores).any():
        raise DataError(f"{int(np.isnan(scores).sum())} of {len(scores)} scores are not a number")
    if not positives.any() or positives.all():
        raise DataError(f"both classes are needed, got {int(positives.sum())} positives among {len(positives)}")
    return scores, positives


def _steps(ordered: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where a sorted list changes, (n - 1,); a difference would call two infinities unequal."""
    return ordered[1:] != ordered[:-1]


def _weighted_aurocs(
    scores: NDArray[np.float64], positives: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """AUROC under each row of ``weights`` (n_draws, n); NaN where a row leaves one class empty."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.append(True, _steps(scores[order])))
    positive = np.add.reduceat(weights[:, order] * positives[order], starts, axis=1)
    negative = np.add.reduceat(weights[:, order] * ~positives[order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    wins = np.sum(positive * (below + 0.5 * negative), axis=1)
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return np.divide(wins, pairs, out=np.full(len(wins), np.nan), where=pairs > 0)


def _members(groups: ArrayLike) -> NDArray[np.bool_]:
    """Who is in each group, (n_groups, n), groups in order of their names."""
    groups = np.asarray(groups)
    return groups == np.unique(groups)[:, None]


def _weighted_gaps(
    scores: NDArray[np.float64], positives: NDArray[np.bool_], weights: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Highest less lowest AUROC of groups, each with weights (n_draws, n); NaN where a group lost a class."""
    return np.ptp(np.array([_weighted_aurocs(scores, positives, each) for each in weights]), axis=0)


def _weighted_counts(
    scores: NDArray[np.float64], positives: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight of the positives and of the negatives at or above each distinct score, highest first, by row."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(_steps(scores[order]), True))
    positive, negative = weights[:, order] * positives[order], weights[:, order] * ~positives[order]
    return np.cumsum(positive, axis=1)[:, ends], np.cumsum(negative, axis=1)[:, ends]


def _weighted_rates(
    scores: NDArray[np.float64], positives: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sensitivity and false alarm rate at each distinct score, highest first; NaN where a row leaves a class empty."""
    positive, negative = _weighted_counts(scores, positives, weights)
    is_whole = (positive[:, -1:] > 0) & (negative[:, -1:] > 0)
    empty = np.full(positive.shape, np.nan)
    return tuple(np.divide(count, count[:, -1:], out=empty.copy(), where=is_whole) for count in (positive, negative))


def _highest(rates: NDArray[np.float64], is_allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The highest allowed rate of each row, 0 where none is; NaN where the row has no rates."""
    highest = np.where(is_allowed, rates, 0.0).max(axis=1)
    return np.where(np.isnan(rates[:, -1]), np.nan, highest)


def _weighted_average_precisions(
    scores: NDArray[np.float64], positives: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Average precision under each row of ``weights`` (n_draws, n); NaN where a row has no positive."""
    positive, negative = _weighted_counts(scores, positives, weights)
    referred = positive + negative
    precision = np.divide(positive, referred, out=np.zeros_like(positive), where=referred > 0)
    gained = np.sum(np.diff(positive, axis=1, prepend=0.0) * precision, axis=1)
    n_positive = positive[:, -1]
    return np.divide(gained, n_positive, out=np.full(len(gained), np.nan), where=n_positive > 0)


def _with_interval(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    subjects: Sequence[str],
    n: int,
    n_draws: int,
    seed: int,
) -> Estimate:
    """``statistic`` maps weights (n_draws, n) to values (n_draws,); whole subjects are drawn with replacement."""
    if len(subjects) != n:
        raise DataError(f"{n} items need {n} subject ids, got {len(subjects)}")
    names, index = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    value = float(statistic(np.ones((1, n)))[0])
    if len(names) < 2:
        return Estimate(value, None, None, n, len(names))
    generator = np.random.default_rng(seed)
    values = []
    for first in range(0, n_draws, _DRAWS_AT_ONCE):
        n_now = min(_DRAWS_AT_ONCE, n_draws - first)
        counts = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n_now)
        values.append(statistic(counts[:, index].astype(np.float64)))
    drawn = np.concatenate(values)
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.percentile(drawn, INTERVAL) if len(drawn) else (None, None)
    return Estimate(value, None if low is None else float(low), None if high is None else float(high), n, len(names))
