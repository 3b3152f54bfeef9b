"""Tests a probe on sites and devices whose recordings it was not fitted on, and on no subject that it knows."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from distill.corpus.subjects import names_nobody, subject_key
from distill.evaluation.metrics import auroc_with_interval, mean_with_interval
from distill.probes.cohort import DEVICE, SITE, Cohort
from distill.probes.linear_fit import (
    N_FOLDS,
    balanced_cross_entropy,
    logistic_path,
    mean_absolute_error,
    out_of_fold_scores,
    participant_means,
    ridge_path,
)

HOW = (
    "each fold holds recordings of some {column}s, and the probe is fitted on the other {column}s without their "
    "subjects; a participant's score is the mean over the recordings; intervals are the central 95 % over 1000 draws "
    "of subjects"
)


def disjoint_tests(cohort: Cohort, output: str, seed: int = 0) -> dict[str, Any]:
    """The site- and the device-disjoint test, by column; each an object, or a sentence that says why there is none."""
    return {column: _disjoint_test(cohort, column, output, seed) for column in (SITE, DEVICE)}


def _disjoint_test(cohort: Cohort, column: str, output: str, seed: int) -> dict[str, Any] | str:
    named = [covariates.get(column, "") for covariates in cohort.covariates]
    is_known = np.array([not names_nobody(name) for name in named])
    groups = np.array([subject_key(name) for name in named])[is_known]
    if (n_groups := len(set(groups))) < 2:
        return f"the table names {n_groups} {column}s; two are needed"
    known = cohort.only(is_known)
    folds = _folds_of_groups(groups, seed)
    fit = (logistic_path, balanced_cross_entropy) if output == "classification" else (ridge_path, mean_absolute_error)
    try:
        scores = out_of_fold_scores(known.features, known.labels, known.subjects, *fit, seed, folds)
    except DataError as error:
        return f"no test: {error}"
    about = {"how": HOW.format(column=column), f"n_{column}s": n_groups, "n_recordings": len(groups)}
    return {**about, **_measured(known, scores, output)}


def _folds_of_groups(groups: NDArray[np.str_], seed: int) -> NDArray[np.int64]:
    """The fold of each recording, (n,): one group a fold, or `N_FOLDS` folds of groups where there are more."""
    from sklearn.model_selection import GroupKFold

    folds = np.empty(len(groups), np.int64)
    n_groups = len(set(groups))
    splitter = GroupKFold(min(N_FOLDS, n_groups), shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(groups, groups=groups)):
        folds[held_out] = fold
    return folds


def _measured(cohort: Cohort, scores: NDArray[np.float64], output: str) -> dict[str, Any]:
    values, targets, people = participant_means(scores, cohort.labels, cohort.subjects)
    counts: dict[str, Any] = {"n_participants": len(targets)}
    if output == "classification":
        estimate = asdict(auroc_with_interval(values, targets == 1, people))
        return counts | {"n_positive": int(targets.sum()), "auroc": estimate}
    return counts | {"mean_absolute_error": asdict(mean_with_interval(np.abs(values - targets), people))}
