"""Reads a table of labelled recordings and pools their embeddings, for a probe to be fitted on."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.files import sha256_of_file
from core.probes import ClipSelection
from distill.probes.embed import EmbeddedRecording, EmbeddingModel, embed_all, pool_clips, read_embeddings

MIN_SUBJECTS = 10
MIN_SUBJECTS_PER_CLASS = 5
COLUMNS = ("path", "subject_id", "label")


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

    ``features`` (n, 512) pooled embeddings; ``labels`` (n,); ``subjects``, ``covariates``, ``sha256s`` of length n.
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

    @property
    def n_subjects(self) -> int:
        """Distinct subjects."""
        return len(set(self.subjects))


def read_table(path: Path, kind: str) -> list[LabelledRecording]:
    """Read a CSV with the columns path (relative to the CSV), subject_id, label and any others.

    A column ``synthetic`` of 1 marks sound that was made, not recorded.

    Raises
    ------
    DataError
        If a column or file is missing, a subject is unnamed, or a label is not 0 or 1 (``kind`` "classification")
        or not a finite number ("regression"); the sentence names the row.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path} lacks the column {', '.join(missing)}; expected {', '.join(COLUMNS)}")
            rows = [_parse_row(path, number, row, kind) for number, row in enumerate(reader, start=2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV table: {error}") from error
    if not rows:
        raise DataError(f"{path} has no rows")
    return rows


def load_cohort(
    path: Path, kind: str, selection: ClipSelection, model: EmbeddingModel, embeddings: Path | None = None
) -> Cohort:
    """Embed and pool the recordings of a table as core would.

    Parameters
    ----------
    path : Path
        The table, see `read_table`.
    kind : "classification" or "regression"
    selection : ClipSelection
        Which clips the probe will listen to.
    model : EmbeddingModel
    embeddings : Path, optional
        What ``tussis-embed`` wrote for these recordings and this model; recordings are matched by their SHA-256.

    Raises
    ------
    DataError
        As `read_table`, and if one and the same recording stands under two subjects or two labels.
    """
    rows = read_table(path, kind)
    embedded = _embed(rows, model, embeddings)
    _refuse_repeats(rows, embedded, path)
    pooled = [pool_clips(recording, selection, model.event_labels) for recording in embedded]
    kept = [i for i, embedding in enumerate(pooled) if embedding is not None]
    if not kept:
        raise DataError(f"none of the {len(rows)} recordings of {path} has an acceptable clip that the probe selects")
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
    """Refuse an external test cohort that shares a subject or a recording with the training cohort."""
    subjects = sorted(set(training.subjects) & set(test.subjects))
    if subjects:
        raise DataError(
            f"{test.table} shares {len(subjects)} subjects with {training.table} ({subjects[0]!r} is one); "
            "a subject may stand in one of them only"
        )
    if set(training.sha256s) & set(test.sha256s):
        raise DataError(f"{test.table} holds a recording that is also in {training.table}, under another subject")


def _parse_row(table: Path, number: int, row: dict[str, str], kind: str) -> LabelledRecording:
    place = f"{table}, row {number}"
    if None in row or None in row.values():
        raise DataError(f"{place} does not have as many cells as the header")
    subject_id = row["subject_id"].strip()
    if not subject_id:
        raise DataError(f"{place} has no subject_id; without it one person could sit in two folds")
    recording = table.parent / row["path"]
    if not recording.is_file():
        raise DataError(f"{place}: there is no recording {recording}")
    covariates = {name: value for name, value in row.items() if name not in (*COLUMNS, "synthetic")}
    label = _parse_label(place, row["label"], kind)
    return LabelledRecording(recording, subject_id, label, row.get("synthetic", "") not in ("", "0"), covariates)


def _parse_label(place: str, text: str, kind: str) -> float:
    try:
        label = float(text)
    except ValueError:
        label = math.nan
    if kind == "classification" and label not in (0.0, 1.0):
        raise DataError(f"{place} has the label {text!r}; expected 0 or 1")
    if not math.isfinite(label):
        raise DataError(f"{place} has the label {text!r}; expected a finite number")
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


def _refuse_repeats(rows: Sequence[LabelledRecording], embedded: Sequence[EmbeddedRecording], table: Path) -> None:
    seen: dict[str, LabelledRecording] = {}
    for row, recording in zip(rows, embedded, strict=True):
        first = seen.setdefault(recording.sha256, row)
        if (first.subject_id, first.label) != (row.subject_id, row.label):
            raise DataError(
                f"{table} gives one and the same recording, {first.path.name} and {row.path.name}, "
                "to two subjects or labels"
            )
