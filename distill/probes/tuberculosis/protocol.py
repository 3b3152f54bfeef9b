"""Runs the protocols of CODA TB DREAM and of CIDRZ on the cohorts as they are published."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from core.errors import DataError
from distill.corpus.cohorts.read_cohort import read_cohort, with_label
from distill.corpus.subjects import subject_key
from distill.evaluation.metrics import auroc_with_interval, average_precision
from distill.probes.cohort import MIN_SUBJECTS, MIN_SUBJECTS_PER_CLASS, Cohort
from distill.probes.embed import EmbeddingModel
from distill.probes.linear_fit import (
    balanced_cross_entropy,
    logistic_path,
    out_of_fold_scores,
    participant_means,
    subject_folds,
)
from distill.probes.operating_points import OperatingPoint, Target, conformal_point, empirical_point
from distill.probes.tasks import embed_cohort
from distill.probes.triage import calibration_part, fit_logistic, rates_at
from distill.shown_text import PlainConsole

SCHEMA = "tussis.tuberculosis/1"
LABEL = "tb"
STATUS = "demonstration"  # of what this can show: no external cohort is in it, and no probe file comes out of it
HOW = (
    "linear probe on the mean embedding of each recording; a participant's score is the mean over the recordings of "
    "the part that is tested; 5 folds by subject, and in each the probe, the operating point and the abstention band "
    "are fixed on the other folds before the fold is scored; in a test by site or device nobody who is tested was "
    "trained on, whatever the site or device; intervals are the central 95 % over 1000 draws of subjects"
)
REFERRED, ABSTENTION = 0.5, (0.3, 0.7)  # of `_decided`

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Protocol:
    """Which cohort it reads, and which covariates are held out in turn beside the subjects."""

    cohort: str
    held_out: tuple[str, ...]


PROTOCOLS = {
    # Solicited coughs of seven countries; each country is a site with phones of its own.
    "coda": Protocol("coda", ("site",)),
    # One cough session a person, recorded by three phones and a recorder at once, at three sites.
    "cidrz": Protocol("cidrz", ("site", "device")),
}


def run_protocol(name: str, folder: Path, model: EmbeddingModel, target: Target, seed: int = 0) -> dict[str, Any]:
    """Read a cohort, leave out what is wrong with it, embed it, and test by subject and by each held-out covariate.

    Returns
    -------
    dict
        The content of the JSON file, schema ``tussis.tuberculosis/1``.

    Raises
    ------
    DataError
        If the folder is not of this cohort, or has too few people.
    """
    if name not in PROTOCOLS:
        raise DataError(f"a protocol is {' or '.join(PROTOCOLS)}, not {name!r}")
    rows = with_label(read_cohort(PROTOCOLS[name].cohort, folder), LABEL)
    embedded = embed_cohort(rows, model)
    cohort = Cohort(
        table=folder,
        table_sha256="",
        features=embedded.features,
        labels=np.array([row.labels[LABEL] for row in embedded.rows]),
        subjects=tuple(row.subject_id for row in embedded.rows),
        covariates=tuple(dict(row.covariates) for row in embedded.rows),
        sha256s=(),
        n_clips=len(embedded.rows),
        n_unscored=embedded.left_out.get("unscored", 0),
        is_synthetic=False,
    )
    about = {"schema": SCHEMA, "protocol": name, "status": STATUS, "how": HOW, "model_sha256": model.sha256}
    about["target"] = asdict(target)
    left_out = {"left_out": dict(embedded.left_out)}
    return {**about, **left_out, **measure_protocol(cohort, PROTOCOLS[name].held_out, target, seed)}


def measure_protocol(cohort: Cohort, held_out: Sequence[str], target: Target, seed: int = 0) -> dict[str, Any]:
    """Test by subject, and with each value of each held-out covariate tested on its own.

    A value with too few people of a class, or whose training part has too few, has a ``reason`` and no ``result``.

    Raises
    ------
    DataError
        If the cohort has too few people, or too few of one class.
    """
    _check_people(cohort.labels, cohort.subjects, "the cohort", MIN_SUBJECTS_PER_CLASS)
    if cohort.n_subjects < MIN_SUBJECTS:
        raise DataError(f"the cohort has {cohort.n_subjects} people; a protocol needs at least {MIN_SUBJECTS}")
    everybody = np.ones(len(cohort.labels), dtype=bool)
    values = [(name, value) for name in held_out for value in _values(cohort, name)]
    console = PlainConsole(stderr=True)
    groups = []
    for name, value in track(values, "held out", console=console, disable=not console.is_terminal):
        is_tested = np.array([covariates.get(name, "") == value for covariates in cohort.covariates])
        about = {"covariate": name, "value": value}
        try:
            groups.append({**about, "result": _tested(cohort, ~is_tested, is_tested, target, seed), "reason": None})
        except DataError as error:
            groups.append({**about, "result": None, "reason": str(error)})
    return {"by_subject": _tested(cohort, everybody, everybody, target, seed), "held_out": groups}


def _tested(cohort: Cohort, may_train: Mask, is_tested: Mask, target: Target, seed: int) -> dict[str, Any]:
    """Score every tested recording by a probe of other people's recordings, and measure the participants."""
    people = np.array([subject_key(subject) for subject in cohort.subjects])
    folds = subject_folds(people, cohort.labels, seed=seed)
    _check_people(cohort.labels[is_tested], people[is_tested], "the test part", 1)
    parts, methods = [], []
    for fold in np.unique(folds[is_tested]):
        test = is_tested & (folds == fold)
        scores, point = _fixed(cohort, people, may_train & (folds != fold), test, target, seed)
        values, targets, names = participant_means(scores, cohort.labels[test], people[test].tolist())
        parts.append((values, targets, np.array(names), _decided(values, point)))
        methods.append(point.method)
    values, targets, names, decided = (np.concatenate(column) for column in zip(*parts, strict=True))
    rates = rates_at(REFERRED, ABSTENTION, decided, targets, names.tolist())
    return {
        "n_participants": len(targets),
        "n_positive": int(targets.sum()),
        "auroc": asdict(auroc_with_interval(values, targets == 1, names.tolist())),
        "average_precision": average_precision(values, targets == 1),
        "operating_points": {method: methods.count(method) for method in sorted(set(methods))},
        **rates,
        "reaches_target": {name: _reaches(part, target) for name, part in rates.items()},
    }


def _fixed(
    cohort: Cohort, people: NDArray[np.str_], train: Mask, test: Mask, target: Target, seed: int
) -> tuple[Array, OperatingPoint]:
    """Scores of the test part's recordings, and the point that was fixed before they were looked at."""
    labels, names = cohort.labels[train], people[train]
    _check_people(labels, names, "the training part", MIN_SUBJECTS_PER_CLASS)
    features = cohort.features[train]
    held_out = calibration_part(names.tolist(), labels, target.sensitivity, seed)
    if held_out is None:
        model, choose = fit_logistic(features, labels, names.tolist(), seed), empirical_point
        scores = out_of_fold_scores(features, labels, names.tolist(), logistic_path, balanced_cross_entropy, seed)
    else:
        model = fit_logistic(features[~held_out], labels[~held_out], names[~held_out].tolist(), seed)
        choose, labels, names = conformal_point, labels[held_out], names[held_out]
        scores = model.scores(features[held_out])
    values, targets, _ = participant_means(scores, labels, names.tolist())
    return model.scores(cohort.features[test]), choose(values, targets == 1, target.sensitivity)


def _decided(values: Array, point: OperatingPoint) -> Array:
    """Each participant's decision as a number: at least `REFERRED` where referred, within `ABSTENTION` if unscored.

    Folds have points of their own, so scores of two folds cannot be compared with one point.
    """
    low, high = point.band or (np.inf, -np.inf)
    is_unscored = (values >= low) & (values <= high)
    return REFERRED + np.where(values >= point.threshold, 1, -1) * np.where(is_unscored, 0.1, 0.5)


def _reaches(rates: Mapping[str, Any], target: Target) -> bool | None:
    """Whether both rates are at least the target's; None where one is unknown."""
    if rates["sensitivity"] is None or rates["specificity"] is None:
        return None
    return all(rates[name]["value"] >= getattr(target, name) for name in ("sensitivity", "specificity"))


def _values(cohort: Cohort, name: str) -> list[str]:
    return sorted({covariates.get(name, "") for covariates in cohort.covariates} - {""})


def _check_people(labels: Array, people: Sequence[str], part: str, needed: int) -> None:
    """DataError where a part has fewer people of a class than are needed."""
    names = np.asarray(people, dtype=str)
    for value in (0.0, 1.0):
        if (n := len(set(names[labels == value]))) < needed:
            raise DataError(f"{part} has {n} people with {LABEL} {value:.0f}; {needed} are needed")
