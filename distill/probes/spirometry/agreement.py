"""Compares estimates of lung function from sound, from age, sex and height, from both, and the plain mean."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.evaluation.metrics import Estimate, bland_altman, mean_with_interval, percentage_errors
from distill.probes.linear_fit import (
    fit_with_best_regularizer,
    mean_absolute_error,
    out_of_fold_scores,
    participant_means,
    ridge_path,
    subject_folds,
)

MAX_LEFT_OUT_SUBJECTS, MAX_LEFT_OUT_RECORDINGS = 100, 400  # one at a time; the fits of more would take minutes
GAINS = (("audio", "mean"), ("audio", "demographics"), ("audio_and_demographics", "demographics"))

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """One measure of lung function: its name, its unit, the suffix of metrics in that unit, and the highest value."""

    name: str
    title: str
    unit: str
    suffix: str
    highest: float


# Nobody has more; 3200 is in millilitres or per minute, 99 a code for a missing value.
MEASURES = {
    measure.name: measure
    for measure in (
        Measure("fev1_l", "FEV1", "L", "_l", 12.0),
        Measure("fvc_l", "FVC", "L", "_l", 12.0),
        Measure("fev1_fvc", "FEV1/FVC", "ratio", "", 1.0),
        Measure("pef_l_per_s", "PEF", "L/s", "_l_per_s", 20.0),
    )
}


@dataclass(frozen=True, eq=False)
class LungTable:
    """What is known of n recordings: embeddings (n, 512), demographics (n, 3), subjects, and one measure (n,)."""

    features: Array
    demographics: Array
    targets: Array
    subjects: Sequence[str]


def left_out_estimates(table: LungTable, seed: int = 0) -> dict[str, Array]:
    """Estimate (n,) of each recording by fits that never saw its subject: ``mean``, ``demographics``, ``audio``, both.

    One subject is left out at a time, or a fifth of them where `is_one_left_out` says no.
    """
    folds = left_out_folds(table, seed)
    fit = (table.targets, table.subjects, ridge_path, mean_absolute_error, seed, folds)
    return {
        "mean": _left_out_means(table, folds),
        "demographics": out_of_fold_scores(table.demographics, *fit),
        "audio": out_of_fold_scores(table.features, *fit),
        "audio_and_demographics": out_of_fold_scores(joined(table), *fit),
    }


def left_out_folds(table: LungTable, seed: int = 0) -> NDArray[np.int64]:
    """Which recordings are left out together, (n,)."""
    if not is_one_left_out(table.subjects):
        return subject_folds(table.subjects, table.targets, seed=seed)
    return np.unique(np.asarray(table.subjects, dtype=str), return_inverse=True)[1]


def is_one_left_out(subjects: Sequence[str]) -> bool:
    """Whether recordings of these subjects are few enough for one subject to be left out at a time."""
    return len(set(subjects)) <= MAX_LEFT_OUT_SUBJECTS and len(subjects) <= MAX_LEFT_OUT_RECORDINGS


def estimates_elsewhere(training: LungTable, test: LungTable, seed: int = 0) -> dict[str, Array]:
    """The same estimates of another cohort, fitted on the training cohort."""
    fit = (training.targets, training.subjects, ridge_path, mean_absolute_error, seed)
    mean = participant_means(training.targets, training.targets, training.subjects)[0].mean()
    return {
        "mean": np.full(len(test.targets), mean),
        "demographics": fit_with_best_regularizer(training.demographics, *fit).scores(test.demographics),
        "audio": fit_with_best_regularizer(training.features, *fit).scores(test.features),
        "audio_and_demographics": fit_with_best_regularizer(joined(training), *fit).scores(joined(test)),
    }


def joined(table: LungTable) -> Array:
    """Embedding and demographics side by side, (n, about 1024), each block with the same share of the variance.

    A penalty treats k copies of a standardized column as one of sqrt(k) times the size; three columns beside 512 would
    otherwise be penalized away.
    """
    n_copies = max(1, table.features.shape[1] // table.demographics.shape[1])
    return np.hstack([table.features, np.tile(table.demographics, n_copies)])


def compare_estimates(estimates: dict[str, Array], table: LungTable, measure: Measure) -> dict[str, Any]:
    """Errors and Bland-Altman limits of each estimate, what sound gains, and the verdict in words."""
    measured = {name: _measured(estimate, table, measure) for name, estimate in estimates.items()}
    gains = {f"{one}_over_{other}": _gain(estimates[one], estimates[other], table) for one, other in GAINS}
    audio, baseline = (measured[name]["mean_percentage_error"]["value"] for name in ("audio", "demographics"))
    return {
        **measured,
        "gains": {name: asdict(gain) for name, gain in gains.items()},
        "audio_beats_demographics": bool(audio < baseline),
        "verdict": verdict(gains, measure),
    }


def verdict(gains: dict[str, Estimate], measure: Measure) -> str:
    """What the gains of `compare_estimates` show, in two sentences; a gain whose interval holds 0 shows nothing."""
    n = gains["audio_over_mean"].n_subjects
    alone, added = gains["audio_over_mean"], gains["audio_and_demographics_over_demographics"]
    if _is_above_0(alone):
        first = (
            f"Sound alone is closer to the {measure.title} than the mean of the others, by {_amount(alone, measure)}."
        )
    else:
        first = f"Sound alone tells nothing of the {measure.title} that these {n} participants show."
    if _is_above_0(added):
        return f"{first} It adds to age, sex and height: the error falls by {_amount(added, measure)}."
    return f"{first} Beside age, sex and height it adds nothing that these {n} participants show."


def _is_above_0(gain: Estimate) -> bool:
    return gain.low is not None and gain.low > 0


def _amount(gain: Estimate, measure: Measure) -> str:
    unit = "" if measure.unit == "ratio" else f" {measure.unit}"
    return f"{gain.value:.2g}{unit} ({gain.low:.2g} to {gain.high:.2g})"


def _left_out_means(table: LungTable, folds: NDArray[np.int64]) -> Array:
    """The mean over the other folds' participants."""
    means, subjects = np.empty(len(table.targets)), np.asarray(table.subjects, dtype=str)
    for fold in np.unique(folds):
        others = table.targets[folds != fold]
        means[folds == fold] = participant_means(others, others, subjects[folds != fold])[0].mean()
    return means


def _measured(estimate: Array, table: LungTable, measure: Measure) -> dict[str, Any]:
    values, targets, subjects = participant_means(estimate, table.targets, table.subjects)
    return {
        "n_participants": len(targets),
        "mean_percentage_error": asdict(mean_with_interval(percentage_errors(values, targets), subjects)),
        f"mean_absolute_error{measure.suffix}": asdict(mean_with_interval(np.abs(values - targets), subjects)),
        f"bland_altman{measure.suffix}": asdict(bland_altman(values, targets)),
    }


def _gain(one: Array, other: Array, table: LungTable) -> Estimate:
    """By how much the absolute error of `one` is less than that of `other`, participant by participant."""
    ours, targets, subjects = participant_means(one, table.targets, table.subjects)
    theirs, _, _ = participant_means(other, table.targets, table.subjects)
    return mean_with_interval(np.abs(theirs - targets) - np.abs(ours - targets), subjects)
