"""Estimates FEV1, FVC, FEV1/FVC or PEF from forced blows, always beside the mean and age, sex and height alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from distill.corpus.subjects import SEXES
from distill.corpus.tables import parsed_number
from distill.probes.cohort import Cohort, check_enough
from distill.probes.linear_fit import FittedProbe, fit_with_best_regularizer, mean_absolute_error, ridge_path
from distill.probes.spirometry.agreement import (
    MEASURES,
    LungTable,
    compare_estimates,
    estimates_elsewhere,
    is_one_left_out,
    left_out_estimates,
)

DEMOGRAPHICS = ("age_years", "sex", "height_cm")
SEX_CODES = {"female": 0.0, "male": 1.0}
HOW_LEFT_OUT = {
    True: "leave one subject out on the training cohort",
    False: "out of fold on the training cohort: 5 folds by subject",
}
HOW_MEASURED = (
    ", the regularizer chosen by 5 folds inside each training part; a participant's value is the mean over the "
    "recordings; intervals are the central 95 % over 1000 draws of subjects"
)
HOW_TESTED = (
    "external test cohort, no subject of which was in training; all estimates fitted on the training cohort; a "
    "participant's value is the mean over the recordings; intervals are the central 95 % over 1000 draws of subjects"
)

Array = NDArray[np.float64]


def fit_spirometry(cohort: Cohort, seed: int = 0, measure: str = "fev1_l") -> FittedProbe:
    """Ridge regression of one of `MEASURES`; the probe hears only, the metrics say what the others give alone.

    Raises
    ------
    DataError
        If there are fewer than 10 subjects, a value is out of range, or a demographic column is missing or unreadable.
    """
    check_enough(cohort, "regression")
    table = lung_table(cohort, cohort.labels, measure)
    compared = compare_estimates(left_out_estimates(table, seed), table, MEASURES[measure])
    data = (cohort.features, cohort.labels, cohort.subjects, ridge_path, mean_absolute_error, seed)
    return FittedProbe(fit_with_best_regularizer(*data), 1.0, None, None, {"how": how_measured(cohort), **compared})


def evaluate_spirometry(
    probe: FittedProbe, training: Cohort, cohort: Cohort, seed: int = 0, measure: str = "fev1_l"
) -> dict[str, Any]:
    """Measure a fitted probe, and the others fitted on its training cohort, on another cohort."""
    ours = lung_table(training, training.labels, measure)
    theirs = lung_table(cohort, cohort.labels, measure)
    estimates = {**estimates_elsewhere(ours, theirs, seed), "audio": probe.model.scores(cohort.features)}
    return {
        "how": HOW_TESTED,
        "table_sha256": cohort.table_sha256,
        "n_unscored": cohort.n_unscored,
        **compare_estimates(estimates, theirs, MEASURES[measure]),
    }


def how_measured(cohort: Cohort) -> str:
    """The protocol of `fit_spirometry`'s metrics in words."""
    return HOW_LEFT_OUT[is_one_left_out(cohort.subjects)] + HOW_MEASURED


def lung_table(cohort: Cohort, values: Array, measure: str) -> LungTable:
    """The cohort with the values (n,) of one measure, which are checked."""
    highest, unit, title = MEASURES[measure].highest, MEASURES[measure].unit, MEASURES[measure].title
    unit = "" if unit == "ratio" else f" {unit}"
    for value in (values.min(), values.max()):
        if not 0 < value <= highest:
            expected = f"expected values above 0{unit}, at most {highest:g}{unit}"
            raise DataError(f"{cohort.table} has an {title} of {value:g}{unit}; {expected}")
    return LungTable(cohort.features, read_demographics(cohort), values, cohort.subjects)


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
        value, expected = SEX_CODES.get(SEXES.get(text.strip().lower(), ""), np.nan), "F or M"
    else:
        lowest, highest = (4.0, 110.0) if name == "age_years" else (80.0, 230.0)
        expected = f"{lowest:g} to {highest:g} {'years' if name == 'age_years' else 'cm'}"
        value = parsed_number(text)
        value = value if lowest <= value <= highest else np.nan
    if np.isnan(value):
        raise DataError(f"{cohort.table}: subject {subject!r} has the {name} {text!r}; expected {expected}")
    return value
