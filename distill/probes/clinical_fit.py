"""Takes clinical columns of a table into a probe's features, beside the embedding."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.interpreter import EMBEDDING_SIZE
from core.probing.clinical import COLUMN_PATTERN, ClinicalColumn, standard_values
from distill.corpus.subjects import SEXES
from distill.corpus.tables import FALSE_WORDS, TRUE_WORDS, listed, parsed_number, remark
from distill.evaluation.metrics import mean_with_interval
from distill.probes.cohort import Cohort
from distill.probes.linear_fit import (
    FittedProbe,
    LinearModel,
    fit_with_best_regularizer,
    mean_absolute_error,
    out_of_fold_scores,
    participant_means,
    ridge_path,
)

SEX_NUMBERS = {word: float(sex == "male") for word, sex in SEXES.items()}
YES_NUMBERS = {**dict.fromkeys(sorted(TRUE_WORDS), 1.0), **dict.fromkeys(sorted(FALSE_WORDS - {""}), 0.0)}
_MISSING = {"", "nan", "na", "n/a", "none", "null", "unknown", "-"}

Array = NDArray[np.float64]


def learn_columns(cohort: Cohort, names: Sequence[str]) -> tuple[ClinicalColumn, ...]:
    """How each named column of the cohort's table becomes a standardized number.

    Numbers stay numbers; yes and no, male and female, or two other words become 0 and 1.

    Raises
    ------
    DataError
        If the table lacks a column, it is empty or the same for everybody, or holds more than two words.
    """
    return tuple(_learn_column(cohort, name) for name in names)


def with_columns(cohort: Cohort, columns: Sequence[ClinicalColumn]) -> Cohort:
    """The recordings that have every value, their features (n, 512 + copies of the columns).

    A penalty treats k copies of a standardized column as one of sqrt(k) times the size; a few columns beside 512 would
    otherwise be penalized away.
    """
    if not columns:
        return cohort
    values = np.array([standard_values(columns, covariates) for covariates in cohort.covariates])
    is_whole = np.isfinite(values).all(axis=1)
    names = ", ".join(column.name for column in columns)
    if not is_whole.all():
        n_lacking = int((~is_whole).sum())
        remark(cohort.table, f"{n_lacking} recordings lack a usable value of {names}, and are left out")
    if not is_whole.any():
        raise DataError(f"{cohort.table} has no recording with a usable value of each of {names}")
    kept = cohort.only(is_whole)
    return replace(kept, features=np.hstack([kept.features, np.tile(values[is_whole], _n_copies(columns))]))


def only_sound(cohort: Cohort) -> Cohort:
    """The same recordings without what `with_columns` put beside the embedding."""
    return replace(cohort, features=cohort.features[:, :EMBEDDING_SIZE])


def beside_columns(fitted: FittedProbe, cohort: Cohort, external: Cohort | None, seed: int) -> FittedProbe:
    """A regression of sound alone, with the model of sound and columns in its place, and that one's error.

    The metrics of a regression compare sound with what is known without it, so they stay those of sound alone.
    """
    fit = (cohort.labels, cohort.subjects, ridge_path, mean_absolute_error, seed)
    model = fit_with_best_regularizer(cohort.features, *fit)
    out_of_fold = out_of_fold_scores(cohort.features, *fit)
    fitted.metrics["with_columns"] = _error_object(out_of_fold, cohort)
    if external is not None:
        fitted.metrics["external_test"]["with_columns"] = _error_object(model.scores(external.features), external)
    return replace(fitted, model=model)


def _error_object(scores: Array, cohort: Cohort) -> dict[str, Any]:
    values, targets, people = participant_means(scores, cohort.labels, cohort.subjects)
    error = mean_with_interval(np.abs(values - targets), people)
    return {"n_participants": len(targets), "mean_absolute_error": asdict(error)}


def split_weights(model: LinearModel, columns: Sequence[ClinicalColumn]) -> tuple[Array, Array, float]:
    """Weights of the embedding (512,) and of the columns (n_columns,), standardized by `learn_columns`; intercept."""
    weights, mean, scale = (values[EMBEDDING_SIZE:] for values in (model.weights, model.mean, model.scale))
    intercept = model.intercept - float(np.sum(weights / scale * mean))
    column_weights = (weights / scale).reshape(-1, len(columns)).sum(axis=0) if columns else np.zeros(0)
    return model.weights[:EMBEDDING_SIZE], column_weights, intercept


def _n_copies(columns: Sequence[ClinicalColumn]) -> int:
    return EMBEDDING_SIZE // len(columns)


def _learn_column(cohort: Cohort, name: str) -> ClinicalColumn:
    if not COLUMN_PATTERN.match(name):
        raise DataError(f"the column {name!r} cannot stand in a probe; expected letters, digits and _ . - between them")
    if any(name not in covariates for covariates in cohort.covariates):
        known = listed({column for covariates in cohort.covariates for column in covariates} or {"path"})
        raise DataError(f"{cohort.table} lacks the column {name}; its others are {known}")
    cells = [covariates[name].strip().casefold() for covariates in cohort.covariates]
    present = [cell for cell in cells if cell not in _MISSING]
    if len(set(present)) < 2:
        held = "is empty" if not present else f"holds nothing but {present[0]!r}"
        raise DataError(f"{cohort.table}, column {name} {held}; expected values that differ")
    codes = _codes(cohort, name, set(present))
    values = np.array([parsed_number(cell) if codes is None else codes[cell] for cell in present])
    lowest, highest = float(values.min()), float(values.max())
    return ClinicalColumn(name, codes, lowest, highest, float(values.mean()), float(values.std()))


def _codes(cohort: Cohort, name: str, words: set[str]) -> dict[str, float] | None:
    if all(np.isfinite(parsed_number(word)) for word in words):
        return None
    for known in (SEX_NUMBERS, YES_NUMBERS):
        if words <= known.keys():
            return dict(known)
    if len(words) == 2:
        return {word: float(number) for number, word in enumerate(sorted(words))}
    raise DataError(
        f"{cohort.table}, column {name} holds {len(words)} different words, as {listed(words)}; "
        "expected numbers, yes or no, or two words"
    )
