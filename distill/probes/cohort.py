"""Reads a table of labelled recordings and pools their embeddings, for a probe to be fitted on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.files import sha256_of_file
from core.probes import ClipSelection
from distill.corpus.cohorts.problems import sha256_of_sound
from distill.corpus.subjects import names_nobody, one_spelling, subject_key
from distill.corpus.tables import Row, listed, parsed_number, read_table, remark, shown
from distill.probes.embed import (
    EmbeddedRecording,
    EmbeddingModel,
    embed_all,
    pool_clips,
    read_embeddings,
)

MIN_SUBJECTS = 10
MIN_SUBJECTS_PER_CLASS = 5
COLUMNS = ("path", "subject_id", "label")
WHOLE_RECORDING = ClipSelection(event=None, min_probability=0.0, min_clips=1, pooling="mean")
SYNTHETIC, SITE = "synthetic", "site"


@dataclass(frozen=True)
class LabelledRecording:
    """One row of the table; ``covariates`` are its other columns, as text."""

    path: Path
    subject_id: str
    label: float
    is_synthetic: bool
    covariates: dict[str, str]


@dataclass(frozen=True, eq=False)
class Cohort:
    """Recordings that a probe can be fitted or tested on: those that core would score.

    ``features`` (n, 512) pooled embeddings; ``labels`` (n,); ``subjects``, ``covariates``, ``sha256s`` (of the files)
    and ``sounds`` (hashes of their samples) of length n.
    ``n_clips`` counts the pooled recordings' clips, ``n_unscored`` the recordings left out.
    """

    table: Path
    table_sha256: str
    features: NDArray[np.float64]
    labels: NDArray[np.float64]
    subjects: tuple[str, ...]
    covariates: tuple[dict[str, str], ...]
    sha256s: tuple[str, ...]
    n_clips: int
    n_unscored: int
    is_synthetic: bool
    sounds: tuple[str, ...] = ()

    @property
    def n_subjects(self) -> int:
        """Distinct subjects."""
        return len(set(self.subjects))


def read_cohort_table(path: Path, kind: str) -> list[LabelledRecording]:
    """Read a table with the columns path (relative to it), subject_id, label and any others.

    A column ``synthetic`` of 1 (true, yes) marks sound that was made, not recorded. Spellings of one subject become
    the first one.

    Raises
    ------
    DataError
        If a column or file is missing, a subject is unnamed, or a label is not 0 or 1 (``kind`` "classification")
        or not a finite number ("regression"); the sentence names the line and the column.
    """
    rows = [_parse_row(path.parent, row, kind) for row in read_table(path, COLUMNS, (SYNTHETIC, SITE), others=True)]
    if not rows:
        raise DataError(f"{path} has no rows")
    first = one_spelling(row.subject_id for row in rows)
    for subject_id in dict.fromkeys(first.values()):
        if len(alike := [spelling for spelling, known in first.items() if known == subject_id]) > 1:
            _check_one_person(path, kind, alike, rows)
            remark(path, f"the subjects {listed(alike)} are taken as one person, {shown(subject_id)}")
    return [replace(row, subject_id=first[row.subject_id]) for row in rows]


def _check_one_person(path: Path, kind: str, alike: Sequence[str], rows: Sequence[LabelledRecording]) -> None:
    """DataError where spellings of one subject id are of both classes, and so may well be two people."""
    labels = {row.subject_id: row.label for row in rows if row.subject_id in alike}
    if kind == "classification" and len(set(labels.values())) > 1:
        raise DataError(
            f"{path} has the subjects {listed(alike)}, spelled alike but of both classes: rename one of them"
        )


def load_cohort(
    path: Path, kind: str, selection: ClipSelection, model: EmbeddingModel, embeddings: Path | None = None
) -> Cohort:
    """Embed and pool the recordings of a table as core would.

    Parameters
    ----------
    path : Path
        The table, see `read_cohort_table`.
    kind : "classification" or "regression"
    selection : ClipSelection
        Which clips the probe will listen to.
    model : EmbeddingModel
    embeddings : Path, optional
        What ``tussis-embed`` wrote for these recordings and this model; recordings are matched by their SHA-256.

    Raises
    ------
    DataError
        As `read_cohort_table`, and if one and the same recording stands under two subjects or two labels.
    """
    rows = read_cohort_table(path, kind)
    embedded = _embed(rows, model, embeddings)
    pooled = [pool_clips(recording, selection, model.event_labels) for recording in embedded]
    kept = [i for i, embedding in enumerate(pooled) if embedding is not None]
    if not kept:
        raise DataError(f"none of the {len(rows)} recordings of {path} has an acceptable clip that the probe selects")
    sounds = tuple(sha256_of_sound(rows[i].path) for i in kept)
    _refuse_repeats([rows[i] for i in kept], sounds, path)
    return Cohort(
        table=path,
        table_sha256=sha256_of_file(path),
        features=np.array([pooled[i] for i in kept]),
        labels=np.array([rows[i].label for i in kept]),
        subjects=tuple(rows[i].subject_id for i in kept),
        covariates=tuple(rows[i].covariates for i in kept),
        sha256s=tuple(embedded[i].sha256 for i in kept),
        n_clips=sum(len(embedded[i].start_s) for i in kept),
        n_unscored=len(rows) - len(kept),
        is_synthetic=any(row.is_synthetic for row in rows),
        sounds=sounds,
    )


def check_enough(cohort: Cohort, kind: str) -> None:
    """Refuse a cohort too small to be split by subject, or with one class only."""
    if cohort.n_subjects < MIN_SUBJECTS:
        raise DataError(
            f"{cohort.table} has {cohort.n_subjects} subjects with a usable recording; "
            f"a probe needs at least {MIN_SUBJECTS}"
        )
    if kind == "regression":
        return
    for label in (0.0, 1.0):
        n = len({cohort.subjects[i] for i in np.flatnonzero(cohort.labels == label)})
        if n < MIN_SUBJECTS_PER_CLASS:
            raise DataError(
                f"{cohort.table} has {n} subjects of class {label:.0f} with a usable recording; "
                f"a probe needs at least {MIN_SUBJECTS_PER_CLASS} of each class"
            )


def check_disjoint(training: Cohort, test: Cohort) -> None:
    """Refuse an external test cohort that shares a person, a site, a file or a sound with the training cohort."""
    ours = {subject_key(subject): subject for subject in training.subjects}
    if subjects := sorted({subject for subject in test.subjects if subject_key(subject) in ours}):
        theirs, known = subjects[0], ours[subject_key(subjects[0])]
        spelled = "" if known == theirs else f", there as {known!r}"
        raise DataError(
            f"{test.table} shares {len(subjects)} subjects with {training.table} ({theirs!r} is one{spelled}); "
            "a subject may stand in one of them only"
        )
    for one, other in ((training.sha256s, test.sha256s), (training.sounds, test.sounds)):
        if shared := [subject for subject, sha256 in zip(test.subjects, other, strict=False) if sha256 in set(one)]:
            raise DataError(
                f"{test.table} holds a recording that is also in {training.table}, under another subject: "
                f"one of {shared[0]!r}"
            )
    if sites := _sites(training) & _sites(test):
        raise DataError(
            f"{test.table} is of the site {min(sites)!r}, and so is {training.table}: that is no external test"
        )


def _sites(cohort: Cohort) -> set[str]:
    """The sites that a cohort's table names, as they are compared."""
    named = {covariates.get(SITE, "") for covariates in cohort.covariates}
    return {subject_key(site) for site in named if not names_nobody(site)}


def _parse_row(folder: Path, row: Row, kind: str) -> LabelledRecording:
    subject_id = row.text("subject_id")
    if names_nobody(subject_id):
        word = f" ({shown(subject_id)} names nobody)" if subject_id else ""
        raise DataError(f"{row.place} has no subject_id{word}; without it one person could sit in two folds")
    recording = folder / row.relative_path("path")
    if not recording.is_file():
        raise DataError(f"{row.place}, column path: there is no recording {recording}")
    covariates = {name: value for name, value in row.items() if name not in (*COLUMNS, SYNTHETIC)}
    return LabelledRecording(recording, subject_id, _parse_label(row, kind), row.truth(SYNTHETIC), covariates)


def _parse_label(row: Row, kind: str) -> float:
    if kind == "regression":
        return row.number("label")
    label = parsed_number(row["label"])
    if label not in (0.0, 1.0):
        raise row.refused("label", "0 or 1")
    return label


def _embed(
    rows: Sequence[LabelledRecording], model: EmbeddingModel, embeddings: Path | None
) -> list[EmbeddedRecording]:
    if embeddings is None:
        return embed_all([row.path for row in rows], model)
    known = read_embeddings(embeddings, model.sha256)
    hashes = [sha256_of_file(row.path) for row in rows]
    for row, sha256 in zip(rows, hashes, strict=True):
        if sha256 not in known:
            raise DataError(f"{embeddings} has no embedding of {row.path}")
    return [known[sha256] for sha256 in hashes]


def _refuse_repeats(rows: Sequence[LabelledRecording], sha256s: Sequence[str], table: Path) -> None:
    seen: dict[str, LabelledRecording] = {}
    for row, sha256 in zip(rows, sha256s, strict=True):
        first = seen.setdefault(sha256, row)
        if (first.subject_id, first.label) != (row.subject_id, row.label):
            raise DataError(
                f"{table} gives one and the same recording, {first.path.name} and {row.path.name}, "
                "to two subjects or labels"
            )
