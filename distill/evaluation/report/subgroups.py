"""Measures a question in subgroups (sex, age band, site, device and others), and tests the gap between them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import numpy as np

from core.errors import DataError
from distill.corpus.subjects import SEXES, names_nobody
from distill.corpus.tables import parsed_number, shown
from distill.evaluation.metrics import (
    auroc_gap_p_value,
    auroc_gap_with_interval,
    auroc_with_interval,
    rate_with_interval,
)
from distill.evaluation.report.items import Item, Question, ScoredItems

# What people call a column; the first that a table has is taken.
COLUMNS = {
    "sex": ("sex", "gender"),
    "age": ("age_years", "age"),
    "site": ("site", "centre", "center", "country"),
    "device": ("device", "phone", "microphone"),
    "HIV": ("hiv", "hiv_status"),
}
AGE_BANDS = (18, 30, 45, 60)  # each begins a band
UNKNOWN = "unknown"
MIN_EACH = 5  # positives and negatives of a group, for its AUROC and for the gap
MAX_GROUPS = 12
_SEXES = {**SEXES, "1": "male", "0": "female"}
_NOT_A_NUMBER = re.compile(r"[+-]?(nan|inf(inity)?)", re.IGNORECASE)


def measure_subgroups(question: Question, by: Sequence[str], n_draws: int, seed: int) -> dict[str, Any]:
    """Each covariate's groups with their counts and intervals, and the gap between the highest and lowest AUROC.

    Parameters
    ----------
    question : Question
    by : names of covariates beside those of `COLUMNS`

    Raises
    ------
    DataError
        If an age is not a number, a covariate holds "nan", or no item has a covariate that `by` names.
    """
    columns = find_columns(question.items, by)
    measured = {}
    for name, column in columns.items():
        groups = [group_of(item, name, column) for item in question.items]
        if len(set(groups) - {UNKNOWN}) > 1:
            measured[name] = _measure_covariate(question, groups, n_draws, seed)
    return measured


def find_columns(items: Iterable[Item], by: Sequence[str]) -> dict[str, str]:
    """The covariates that are there, by the names that the report gives them."""
    present = {column.casefold(): column for item in items for column in item.covariates}
    for column in by:
        if column.casefold() not in present:
            known = ", ".join(sorted(present)) or "none"
            raise DataError(f"there is no covariate {shown(column)}; the covariates are {known}")
    columns = {}
    for name, spellings in COLUMNS.items():
        if found := [present[spelling] for spelling in spellings if spelling in present]:
            columns[name] = found[0]
    others = {column: present[column.casefold()] for column in by}
    return columns | {name: column for name, column in others.items() if column not in columns.values()}


def group_of(item: Item, name: str, column: str) -> str:
    """The group of an item: an age's band, or what the cell says; `UNKNOWN` where nobody knows."""
    cell = item.covariates.get(column, "").strip()
    if _NOT_A_NUMBER.fullmatch(cell):
        raise DataError(f"{item.path}, column {column} holds {shown(cell)}; leave a cell empty where nobody knows")
    if names_nobody(cell):
        return UNKNOWN
    if name != "age":
        return _SEXES.get(cell.casefold(), cell.casefold()) if name == "sex" else cell
    age = parsed_number(cell)
    if not 0 <= age <= 130:
        raise DataError(f"{item.path}, column {column} holds {shown(cell)}; expected an age in years, at most 130")
    bands = [f"under {AGE_BANDS[0]}"]
    bands += [f"{low} to {high - 1}" for low, high in pairwise(AGE_BANDS)]
    return [*bands, f"{AGE_BANDS[-1]} and over"][sum(age >= start for start in AGE_BANDS)]


def _measure_covariate(question: Question, groups: Sequence[str], n_draws: int, seed: int) -> dict[str, Any]:
    """The groups of one covariate, the most frequent ones first where there are too many to show."""
    counts = {value: groups.count(value) for value in dict.fromkeys(groups)}
    shown_groups = sorted(sorted(counts, key=lambda value: -counts[value])[:MAX_GROUPS])
    members = {
        value: [item for item, group in zip(question.items, groups, strict=True) if group == value]
        for value in shown_groups
    }
    measured = [_measure_group(value, replace(question, items=members[value]), n_draws) for value in shown_groups]
    tested = {group["group"] for group in measured if group["auroc"] and group["group"] != UNKNOWN}
    chosen = [
        (item, group)
        for item, group in zip(question.items, groups, strict=True)
        if group in tested and item.score is not None
    ]
    n_hidden = len(counts) - len(shown_groups)
    return {"groups": measured, "n_groups_not_shown": n_hidden, "gap": _measure_gap(chosen, tested, n_draws, seed)}


def _measure_group(value: str, question: Question, n_draws: int) -> dict[str, Any]:
    scored = question.scored
    scores, positives, subjects = scored.scores, scored.positives, scored.subjects
    n_positive = int(positives.sum())
    facts = {
        "group": value,
        "n": len(question.items),
        "n_positive": sum(item.is_positive for item in question.items),
        "n_subjects": len({item.subject_id for item in question.items}),
        "n_unscored": sum(question.unscored.values()),
        "auroc": None,
        "sensitivity": None,
        "specificity": None,
    }
    if min(n_positive, len(positives) - n_positive) >= MIN_EACH:
        facts["auroc"] = asdict(auroc_with_interval(scores, positives, subjects, n_draws))
    if question.threshold is not None:
        facts |= _rates(scored, question.threshold, n_draws)
    return facts


def _rates(scored: ScoredItems, threshold: float, n_draws: int) -> dict[str, Any]:
    """Sensitivity and specificity at the shipped operating point, of the classes that have at least `MIN_EACH`."""
    rates: dict[str, Any] = {}
    positives = scored.positives
    for name, chosen in (("sensitivity", positives), ("specificity", ~positives)):
        if chosen.sum() < MIN_EACH:
            continue
        rows = np.flatnonzero(chosen)
        referred = scored.scores[rows] >= threshold
        is_right = referred if name == "sensitivity" else ~referred
        rates[name] = asdict(rate_with_interval(is_right, [scored.subjects[i] for i in rows], n_draws))
    return rates


def _measure_gap(chosen: Sequence[tuple[Item, str]], tested: Iterable[str], n_draws: int, seed: int) -> dict[str, Any]:
    """The gap between the groups with the highest and the lowest AUROC, and how often chance makes one as large."""
    names = sorted(tested)
    if len(names) < 2:
        return {"reason": f"fewer than two groups have {MIN_EACH} positives and {MIN_EACH} negatives"}
    scored = ScoredItems(tuple(item for item, _ in chosen))
    groups = np.array([group for _, group in chosen])
    data = (scored.scores, scored.positives, groups, scored.subjects)
    groups_of_subject: dict[str, set[str]] = {}
    for item, group in chosen:
        groups_of_subject.setdefault(item.subject_id, set()).add(group)
    result = {"groups": names, "gap": asdict(auroc_gap_with_interval(*data, n_draws)), "p_value": None}
    if any(len(each) > 1 for each in groups_of_subject.values()):
        return result | {"reason": "a subject is in several groups, so they cannot change places"}
    return result | {"p_value": auroc_gap_p_value(*data, n_draws, seed), "n_draws": n_draws}


def gaps_in_words(covariates: Mapping[str, Any]) -> list[str]:
    """A sentence for each covariate whose gap chance makes in fewer than 5 of 100 shuffles."""
    return [
        f"AUROC differs by {name}: a gap of {found['gap']['gap']['value']:.3f} (p = {found['gap']['p_value']:.3f})."
        for name, found in covariates.items()
        if (found["gap"].get("p_value") or 1) < 0.05
    ]
