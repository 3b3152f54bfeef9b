"""Runs the tasks of a recipe, such as HeAR's 33, on those of its data sets that a user has."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError, TussisError
from distill.corpus.cohorts.problems import drop, find_problems
from distill.corpus.cohorts.read_cohort import READERS, read_cohort
from distill.corpus.cohorts.rows import CohortRow
from distill.corpus.tables import Row, read_table
from distill.evaluation.metrics import auroc_with_interval, average_precision, mean_with_interval
from distill.probes.cohort import MIN_SUBJECTS, MIN_SUBJECTS_PER_CLASS, WHOLE_RECORDING
from distill.probes.embed import EmbeddingModel, embed_all, pool_clips
from distill.probes.linear_fit import (
    balanced_cross_entropy,
    fit_with_best_regularizer,
    logistic_path,
    mean_absolute_error,
    participant_means,
    ridge_path,
    subject_folds,
)

# Baur et al. 2024, HeAR (arXiv:2403.02522). Its model card has the counts (13 tasks of events, 14 of coughs, 6 of
# spirometry), the six data sets, and the tasks whose column `checked` says so; the names of the others are unchecked.
# Of CIDRZ's 9 tasks 7 are not named: the label * stands for every yes-or-no column of that data set beside tb and sex.
HEAR_TASKS = Path(__file__).with_name("hear_tasks.csv")
SCHEMA = "tussis.tasks/1"
COLUMNS = ("group", "data_set", "label", "answer", "where", "split")
ANSWERS, SPLITS, EVERY_OTHER = ("classification", "regression"), ("official", "subject"), "*"
TEST_FOLD = 0  # of five by subject
HOW = (
    "a linear probe on the mean embedding of each recording, its regularizer chosen by 5 folds of the training "
    "subjects; tested on the data set's own test part, or on a fifth of the subjects; intervals are the central 95 % "
    "over 1000 draws of subjects"
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """One question to one data set; ``where`` (name to values) chooses recordings by their covariates."""

    group: str
    data_set: str
    label: str
    answer: str
    where: Mapping[str, tuple[str, ...]]
    split: str


@dataclass(frozen=True, eq=False)
class EmbeddedCohort:
    """The usable recordings of a data set, their pooled embeddings (n, 512), and how many were left out and why."""

    rows: Sequence[CohortRow]
    features: Array
    left_out: Mapping[str, int]


def read_tasks(path: Path = HEAR_TASKS) -> list[Task]:
    """Read a recipe: group, data_set, label, answer, where (``name=value|value``) and split.

    Raises
    ------
    DataError
        If a data set, an answer or a split is unknown, or where cannot be meant; with line and column.
    """
    tasks = [_task(row) for row in read_table(path, COLUMNS)]
    if not tasks:
        raise DataError(f"{path} has no tasks")
    return tasks


def run_tasks(
    tasks: Sequence[Task], folders: Mapping[str, Path], model: EmbeddingModel, seed: int = 0
) -> dict[str, Any]:
    """Run every task whose data set has a folder; each data set is embedded once.

    Returns
    -------
    dict
        ``tasks``: one object each, with ``result`` or, where it was not run, ``reason``.

    Raises
    ------
    DataError
        If a folder is of no data set of the recipe, or cannot be read as what it is said to be.
    """
    if unknown := sorted(folders.keys() - {task.data_set for task in tasks}):
        raise DataError(f"no task is about {unknown[0]!r}; the data sets are {', '.join(_data_sets(tasks))}")
    cohorts = {kind: embed_cohort(read_cohort(kind, folder), model) for kind, folder in folders.items()}
    done = [_task_object(task, cohorts.get(task.data_set), seed) for task in _expanded(tasks, cohorts)]
    left_out = {kind: dict(cohort.left_out) for kind, cohort in cohorts.items()}
    return {"schema": SCHEMA, "how": HOW, "model_sha256": model.sha256, "left_out": left_out, "tasks": done}


def embed_cohort(rows: Sequence[CohortRow], model: EmbeddingModel) -> EmbeddedCohort:
    """Embed what is right with a cohort; what is wrong, or unscored by core, is counted."""
    problems = find_problems(rows)
    kept = drop(rows, problems)
    pooled = [
        pool_clips(each, WHOLE_RECORDING, model.event_labels) for each in embed_all([r.path for r in kept], model)
    ]
    usable = [i for i, embedding in enumerate(pooled) if embedding is not None]
    left_out = {problem.kind: 0 for problem in problems if problem.dropped}
    for problem in problems:
        if problem.dropped:
            left_out[problem.kind] += len(problem.dropped)
    if len(usable) < len(kept):
        left_out["unscored"] = len(kept) - len(usable)
    features = np.array([pooled[i] for i in usable]).reshape(len(usable), -1)
    return EmbeddedCohort([kept[i] for i in usable], features, left_out)


def measure_task(task: Task, cohort: EmbeddedCohort, seed: int = 0) -> dict[str, Any]:
    """Fit on the training subjects, and measure on the test subjects, who are others.

    Raises
    ------
    DataError
        If too few recordings, subjects or classes are on one side.
    """
    chosen = [i for i, row in enumerate(cohort.rows) if task.label in row.labels and _is_where(row, task)]
    targets = np.array([cohort.rows[i].labels[task.label] for i in chosen])
    subjects = np.array([cohort.rows[i].subject_id for i in chosen], dtype=str)
    if len(set(subjects)) < MIN_SUBJECTS:
        raise DataError(f"{len(set(subjects))} subjects have {task.label}; at least {MIN_SUBJECTS} are needed")
    is_test = _test_part(task, [cohort.rows[i] for i in chosen], targets, subjects, seed)
    for name, part in (("training", ~is_test), ("test", is_test)):
        _check_part(task, name, targets[part], subjects[part])
    fit_path, loss = (
        (logistic_path, balanced_cross_entropy)
        if task.answer == "classification"
        else (ridge_path, mean_absolute_error)
    )
    features = cohort.features[chosen]
    model = fit_with_best_regularizer(features[~is_test], targets[~is_test], subjects[~is_test], fit_path, loss, seed)
    values, truths, people = participant_means(model.scores(features[is_test]), targets[is_test], subjects[is_test])
    counts = {"n_training": int((~is_test).sum()), "n_test": int(is_test.sum()), "n_test_participants": len(truths)}
    return {**counts, **_measured(task, values, truths, people)}


def _measured(task: Task, values: Array, truths: Array, people: list[str]) -> dict[str, Any]:
    if task.answer == "classification":
        return {
            "n_positive": int(truths.sum()),
            "auroc": asdict(auroc_with_interval(values, truths == 1, people)),
            "average_precision": average_precision(values, truths == 1),
        }
    varies = values.std() > 0 and truths.std() > 0
    return {
        "mean_absolute_error": asdict(mean_with_interval(np.abs(values - truths), people)),
        "pearson": float(np.corrcoef(values, truths)[0, 1]) if varies else None,
    }


def _test_part(
    task: Task, rows: Sequence[CohortRow], targets: Array, subjects: NDArray[np.str_], seed: int
) -> NDArray[np.bool_]:
    if task.split == "subject":
        return subject_folds(subjects, targets, seed=seed) == TEST_FOLD
    is_test = np.array([row.covariates.get("split", "").casefold() == "test" for row in rows])
    if shared := set(subjects[is_test]) & set(subjects[~is_test]):
        raise DataError(f"the data set's own split has {str(min(shared))!r} on both sides")
    return is_test


def _check_part(task: Task, name: str, targets: Array, subjects: NDArray[np.str_]) -> None:
    if task.answer == "regression":
        if len(set(subjects)) < 2:
            raise DataError(f"the {name} part has {len(set(subjects))} subjects with {task.label}; 2 are needed")
        return
    for value in (0.0, 1.0):
        n = len(set(subjects[targets == value]))
        needed = MIN_SUBJECTS_PER_CLASS if name == "training" else 1
        if n < needed:
            raise DataError(f"the {name} part has {n} subjects with {task.label} {value:.0f}; {needed} are needed")


def _task_object(task: Task, cohort: EmbeddedCohort | None, seed: int) -> dict[str, Any]:
    about = {"group": task.group, "data_set": task.data_set, "label": task.label, "answer": task.answer}
    if cohort is None:
        return {**about, "result": None, "reason": "no folder was given"}
    try:
        return {**about, "result": measure_task(task, cohort, seed), "reason": None}
    except TussisError as error:
        return {**about, "result": None, "reason": str(error)}


def _expanded(tasks: Sequence[Task], cohorts: Mapping[str, EmbeddedCohort]) -> list[Task]:
    """The tasks, those of every other label one by one where the data set is there."""
    expanded = []
    for task in tasks:
        if task.label != EVERY_OTHER or task.data_set not in cohorts:
            expanded.append(task)
            continue
        named = {other.label for other in tasks if other.data_set == task.data_set}
        others = sorted({label for row in cohorts[task.data_set].rows for label in row.labels} - named)
        expanded += [Task(task.group, task.data_set, label, task.answer, task.where, task.split) for label in others]
    return expanded


def _is_where(row: CohortRow, task: Task) -> bool:
    return all(row.covariates.get(name) in values for name, values in task.where.items())


def _data_sets(tasks: Sequence[Task]) -> list[str]:
    return sorted({task.data_set for task in tasks})


def _task(row: Row) -> Task:
    for column, allowed in (("data_set", tuple(READERS)), ("answer", ANSWERS), ("split", SPLITS)):
        if row[column] not in allowed:
            raise row.refused(column, f"one of {', '.join(allowed)}")
    if not row.text("label"):
        raise row.refused("label", "a label of the data set")
    where = {}
    for condition in filter(None, row["where"].split(";")):
        name, is_given, values = condition.partition("=")
        if not (is_given and name.strip() and values.strip()):
            raise row.refused("where", "name=value|value, or nothing")
        where[name.strip()] = tuple(value.strip() for value in values.split("|"))
    return Task(row.text("group"), row["data_set"], row.text("label"), row["answer"], where, row["split"])
