"""Reads a table of labelled recordings and pools their embeddings, for a probe to be fitted on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.files import sha256_of_file
from core.probes import ClipSelection
from distill.corpus.subjects import names_nobody, one_spelling, subject_key
from distill.corpus.tables import FALSE_WORDS, TRUE_WORDS, Row, listed, parsed_number, read_table, remark, shown
from distill.probes.embed import EmbeddedRecording, EmbeddingModel, pool_clips, read_embeddings, with_progress
from distill.probes.embedding_cache import EmbeddingCache

MIN_SUBJECTS = 10
MIN_SUBJECTS_PER_CLASS = 5
LABEL = "label"
COLUMNS = ("path", "subject_id", LABEL)
WHOLE_RECORDING = ClipSelection(event=None, min_probability=0.0, min_clips=1, pooling="mean")
SYNTHETIC, SITE, DEVICE = "synthetic", "site", "device"
MAX_ROWS = 200_000  # recordings of a probe; a table with more is another file, or a mistake


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
    ``sounds`` (hashes of their samples) and ``paths`` of length n.
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
    paths: tuple[Path, ...] = ()

    @property
    def n_subjects(self) -> int:
        """Distinct subjects."""
        return len(set(self.subjects))

    def only(self, chosen: NDArray[np.bool_]) -> "Cohort":
        """The recordings that `chosen` (n,) names."""
        rows = np.flatnonzero(chosen)
        lists = {
            name: tuple(getattr(self, name)[i] for i in rows)
            for name in ("subjects", "covariates", "sha256s", "sounds", "paths")
            if getattr(self, name)
        }
        return replace(self, features=self.features[rows], labels=self.labels[rows], **lists)


def read_cohort_table(path: Path, kind: str | None) -> list[LabelledRecording]:
    """Read a table with the columns path (relative to it), subject_id, label and any others.

    A column ``synthetic`` of 1 (true, yes) marks sound that was made, not recorded. Spellings of one subject become
    the first one. With ``kind`` None the labels are in other columns (`labelled_by`), and here all are 0.

    Raises
    ------
    DataError
        If a column or file is missing, a subject is unnamed, or a label is not 0 or 1 (``kind`` "classification")
        or not a finite number ("regression"); the sentence names the line and the column. If there are no rows, or
        more than `MAX_ROWS`.
    """
    required = COLUMNS if kind is not None else COLUMNS[:2]
    rows: list[LabelledRecording] = []
    for row in read_table(path, required, (SYNTHETIC, SITE, DEVICE), others=True):
        if len(rows) == MAX_ROWS:
            raise DataError(f"{path} has more than {MAX_ROWS} rows; a probe is fitted on {MAX_ROWS} recordings at most")
        rows.append(_parse_row(path.parent, row, kind))
    if not rows:
        raise DataError(f"{path} has no rows")
    first = one_spelling(row.subject_id for row in rows)
    for subject_id in dict.fromkeys(first.values()):
        if len(alike := [spelling for spelling, known in first.items() if known == subject_id]) > 1:
            _check_one_person(path, kind, alike, rows)
            remark(path, f"the subjects {listed(alike)} are taken as one person, {shown(subject_id)}")
    return [replace(row, subject_id=first[row.subject_id]) for row in rows]


def _check_one_person(path: Path, kind: str | None, alike: Sequence[str], rows: Sequence[LabelledRecording]) -> None:
    """DataError where spellings of one subject id are of both classes, and so may well be two people."""
    labels = {row.subject_id: row.label for row in rows if row.subject_id in alike}
    if kind == "classification" and len(set(labels.values())) > 1:
        raise DataError(
            f"{path} has the subjects {listed(alike)}, spelled alike but of both classes: rename one of them"
        )


def load_cohort(
    path: Path,
    kind: str | None,
    selection: ClipSelection,
    model: EmbeddingModel,
    embeddings: Path | None = None,
    cache: Path | None = None,
) -> Cohort:
    """Embed and pool the recordings of a table as core would.

    Parameters
    ----------
    path : Path
        The table, see `read_cohort_table`.
    kind : "classification" or "regression", or None where `labelled_by` gives the labels
    selection : ClipSelection
        Which clips the probe will listen to.
    model : EmbeddingModel
    embeddings : Path, optional
        What ``tussis-embed`` wrote for these recordings and this model; recordings are matched by their SHA-256.
    cache : Path, optional
        Folder of an `EmbeddingCache`, for what is embedded here.

    Raises
    ------
    DataError
        As `read_cohort_table`, and if one and the same recording stands under two subjects or two labels.
    """
    rows = read_cohort_table(path, kind)
    pooled, heard, n_clips = {}, {}, 0
    for i, recording in enumerate(_embed(rows, model, embeddings, cache)):
        if (embedding := pool_clips(recording, selection, model.event_labels)) is not None:
            pooled[i], heard[i] = embedding, recording
            n_clips += len(recording.start_s)
    kept = list(pooled)
    if not kept:
        raise DataError(f"none of the {len(rows)} recordings of {path} has an acceptable clip that the probe selects")
    sounds = tuple(recording.sound_sha256 for recording in heard.values())
    _refuse_repeats([rows[i] for i in kept], sounds, path)
    return Cohort(
        table=path,
        table_sha256=sha256_of_file(path),
        features=np.array(list(pooled.values())),
        labels=np.array([rows[i].label for i in kept]),
        subjects=tuple(rows[i].subject_id for i in kept),
        covariates=tuple(rows[i].covariates for i in kept),
        sha256s=tuple(recording.sha256 for recording in heard.values()),
        n_clips=n_clips,
        n_unscored=len(rows) - len(kept),
        is_synthetic=any(row.is_synthetic for row in rows),
        sounds=sounds,
        paths=tuple(rows[i].path for i in kept),
    )


def labelled_by(cohort: Cohort, column: str, output: str) -> Cohort:
    """The recordings that have a value in `column` of the table, with it as their label.

    DataError where the table lacks the column or a value is none that a classification or a regression can have.
    """
    if any(column not in covariates for covariates in cohort.covariates):
        raise DataError(f"{cohort.table} lacks the column {column}, which a head is fitted on")
    cells = [covariates[column].strip() for covariates in cohort.covariates]
    is_labelled = np.array([not names_nobody(cell) for cell in cells])
    if not is_labelled.any():
        raise DataError(f"{cohort.table}, column {column} is empty; expected labels")
    chosen = cohort.only(is_labelled)
    present = zip(chosen.subjects, (cell for cell in cells if not names_nobody(cell)), strict=True)
    labels = [_label_of(cohort, column, subject, cell, output) for subject, cell in present]
    return replace(chosen, labels=np.array(labels))


def _label_of(cohort: Cohort, column: str, subject: str, cell: str, output: str) -> float:
    value = parsed_number(cell)
    if output == "classification":
        value = 1.0 if cell.casefold() in TRUE_WORDS else 0.0 if cell.casefold() in FALSE_WORDS else np.nan
    if not np.isfinite(value):
        expected = "0 or 1" if output == "classification" else "a number"
        raise DataError(f"{cohort.table}: subject {subject!r} has the {column} {shown(cell)}; expected {expected}")
    return value


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


def check_sites_known(training: Cohort, test: Cohort) -> None:
    """Refuse two cohorts of which nobody can say that their sites differ: a recording has no known site."""
    for cohort in (training, test):
        if n_unknown := sum(names_nobody(covariates.get(SITE, "")) for covariates in cohort.covariates):
            raise DataError(
                f"{cohort.table} names no site of {n_unknown} recordings: a probe is validated only where the column "
                "site shows that both cohorts are of different sites"
            )


def _sites(cohort: Cohort) -> set[str]:
    """The sites that a cohort's table names, as they are compared."""
    named = {covariates.get(SITE, "") for covariates in cohort.covariates}
    return {subject_key(site) for site in named if not names_nobody(site)}


def _parse_row(folder: Path, row: Row, kind: str | None) -> LabelledRecording:
    subject_id = row.text("subject_id")
    if names_nobody(subject_id):
        word = f" ({shown(subject_id)} names nobody)" if subject_id else ""
        raise DataError(f"{row.place} has no subject_id{word}; without it one person could sit in two folds")
    recording = folder / row.relative_path("path")
    if not recording.is_file():
        raise DataError(f"{row.place}, column path: there is no recording {recording}")
    own = COLUMNS if kind is not None else COLUMNS[:2]
    covariates = {name: value for name, value in row.items() if name not in (*own, SYNTHETIC)}
    return LabelledRecording(recording, subject_id, _parse_label(row, kind), row.truth(SYNTHETIC), covariates)


def _parse_label(row: Row, kind: str | None) -> float:
    if kind is None:
        return 0.0
    if kind == "regression":
        return row.number("label")
    label = parsed_number(row["label"])
    if label not in (0.0, 1.0):
        raise row.refused("label", "0 or 1")
    return label


def _embed(
    rows: Sequence[LabelledRecording], model: EmbeddingModel, embeddings: Path | None, cache: Path | None
) -> Iterator[EmbeddedRecording]:
    """Each row's embeddings, one recording at a time."""
    if embeddings is None:
        kept = EmbeddingCache(cache, model)
        yield from (kept.embed(path) for path in with_progress([row.path for row in rows]))
        return
    known = read_embeddings(embeddings, model.sha256)
    hashes = [sha256_of_file(row.path) for row in rows]
    for row, sha256 in zip(rows, hashes, strict=True):
        if sha256 not in known:
            raise DataError(f"{embeddings} has no embedding of {row.path}")
    yield from (known[sha256] for sha256 in hashes)


def _refuse_repeats(rows: Sequence[LabelledRecording], sha256s: Sequence[str], table: Path) -> None:
    seen: dict[str, LabelledRecording] = {}
    for row, sha256 in zip(rows, sha256s, strict=True):
        first = seen.setdefault(sha256, row)
        if (first.subject_id, first.label) != (row.subject_id, row.label):
            raise DataError(
                f"{table} gives one and the same recording, {first.path.name} and {row.path.name}, "
                "to two subjects or labels"
            )
