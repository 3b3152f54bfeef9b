"""Estimates FEV1 from a forced blow, and always compares with age, sex and height alone."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from distill.corpus.tables import parsed_number
from distill.evaluation.metrics import bland_altman, mean_with_interval, percentage_errors
from distill.probes.cohort import Cohort, check_enough
from distill.probes.linear_fit import (
    FittedProbe,
    fit_with_best_regularizer,
    mean_absolute_error,
    out_of_fold_scores,
    participant_means,
    ridge_path,
)

DEMOGRAPHICS = ("age_years", "sex", "height_cm")
MAX_FEV1_L = 12.0  # nobody has more; 3200 is in millilitres, 99 a code for a missing value
SEX_CODES = {"f": 0.0, "m": 1.0, "female": 0.0, "male": 1.0}
HOW_MEASURED = (
    "out of fold on the training cohort: 5 folds by subject, the regularizer chosen by 5 folds inside each training "
    "part; a participant's value is the mean over the recordings; intervals are the central 95 % over 1000 draws of "
    "subjects"
)
HOW_TESTED = (
    "external test cohort, no subject of which was in training; all three estimates fitted on the training cohort; a "
    "participant's value is the mean over the recordings; intervals are the central 95 % over 1000 draws of subjects"
)

Array = NDArray[np.float64]


def fit_spirometry(cohort: Cohort, seed: int = 0) -> FittedProbe:
    """Ridge regression of FEV1 in litres; the probe hears only, the metrics say what age, sex and height give alone.

    Raises
    ------
    DataError
        If there are fewer than 10 subjects, a value is not above 0 L, or a demographic column is missing or unreadable.
    """
    check_enough(cohort, "regression")
    demographics = read_demographics(cohort)
    for label in (cohort.labels.min(), cohort.labels.max()):
        if not 0 < label <= MAX_FEV1_L:
            expected = f"expected values above 0 L, at most {MAX_FEV1_L:g} L"
            raise DataError(f"{cohort.table} has an FEV1 of {label:g} L; {expected}")
    audio = _out_of_fold(cohort.features, cohort, seed)
    baseline = _out_of_fold(demographics, cohort, seed)
    both = _out_of_fold(_joined(cohort.features, demographics), cohort, seed)
    predictions = {"audio": audio, "demographics": baseline, "audio_and_demographics": both}
    metrics = {"how": HOW_MEASURED, **_compare(predictions, cohort)}
    data = (cohort.features, cohort.labels, cohort.subjects, ridge_path, mean_absolute_error, seed)
    return FittedProbe(fit_with_best_regularizer(*data), 1.0, None, None, metrics)


def evaluate_spirometry(probe: FittedProbe, training: Cohort, cohort: Cohort, seed: int = 0) -> dict[str, Any]:
    """Measure a fitted probe, and the demographics fitted on its training cohort, on another cohort."""
    fit = (training.labels, training.subjects, ridge_path, mean_absolute_error, seed)
    ours, theirs = read_demographics(training), read_demographics(cohort)
    both = fit_with_best_regularizer(_joined(training.features, ours), *fit)
    predictions = {
        "audio": probe.model.scores(cohort.features),
        "demographics": fit_with_best_regularizer(ours, *fit).scores(theirs),
        "audio_and_demographics": both.scores(_joined(cohort.features, theirs)),
    }
    return {
        "how": HOW_TESTED,
        "table_sha256": cohort.table_sha256,
        "n_unscored": cohort.n_unscored,
        **_compare(predictions, cohort),
    }


def read_demographics(cohort: Cohort) -> Array:
    """Age in years, sex (0 female, 1 male) and height in centimetres of each recording, (n, 3)."""
    rows = []
    for subject, covariates in zip(cohort.subjects, cohort.covariates, strict=True):
        missing = [name for name in DEMOGRAPHICS if name not in covariates]
        if missing:
            raise DataError(
                f"{cohort.table} lacks the column {', '.join(missing)}: spirometry is always compared with age, sex "
                "and height alone"
            )
        rows.append([_read_demographic(cohort, subject, name, covariates[name]) for name in DEMOGRAPHICS])
    return np.array(rows)


def _read_demographic(cohort: Cohort, subject: str, name: str, text: str) -> float:
    if name == "sex":
        value, expected = SEX_CODES.get(text.strip().lower(), np.nan), "F or M"
    else:
        lowest, highest = (4.0, 110.0) if name == "age_years" else (80.0, 230.0)
        expected = f"{lowest:g} to {highest:g} {'years' if name == 'age_years' else 'cm'}"
        value = parsed_number(text)
        value = value if lowest <= value <= highest else np.nan
    if np.isnan(value):
        raise DataError(f"{cohort.table}: subject {subject!r} has the {name} {text!r}; expected {expected}")
    return value


def _out_of_fold(features: Array, cohort: Cohort, seed: int) -> Array:
    return out_of_fold_scores(features, cohort.labels, cohort.subjects, ridge_path, mean_absolute_error, seed)


def _joined(features: Array, demographics: Array) -> Array:
    """Embedding and demographics side by side, (n, about 1024), each block with the same share of the variance.

    A penalty treats k copies of a standardized column as one of sqrt(k) times the size; three columns beside 512 would
    otherwise be penalized away.
    """
    n_copies = max(1, features.shape[1] // demographics.shape[1])
    return np.hstack([features, np.tile(demographics, n_copies)])


def _compare(predictions: dict[str, Array], cohort: Cohort) -> dict[str, Any]:
    measured = {name: _measure(predicted, cohort) for name, predicted in predictions.items()}
    audio, baseline = (measured[name]["mean_percentage_error"]["value"] for name in ("audio", "demographics"))
    return {**measured, "audio_beats_demographics": bool(audio < baseline)}


def _measure(predicted: Array, cohort: Cohort) -> dict[str, Any]:
    values, targets, subjects = participant_means(predicted, cohort.labels, cohort.subjects)
    return {
        "n_participants": len(targets),
        "mean_percentage_error": asdict(mean_with_interval(percentage_errors(values, targets), subjects)),
        "mean_absolute_error_l": asdict(mean_with_interval(np.abs(values - targets), subjects)),
        "bland_altman_l": asdict(bland_altman(values, targets)),
    }
