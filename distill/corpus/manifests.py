"""Decides which recording plays which role, so that no subject crosses a split."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from core.errors import DataError
from core.files import kind_of, write_atomically
from distill.corpus.labels import EVENT_LABELS, parse_labels, words_of
from distill.corpus.subjects import names_nobody, one_spelling
from distill.corpus.tables import OtherColumnsError, Row, listed, read_table, remark, shown, table_text

N_FOLDS = 5
VALIDATION_FOLD = N_FOLDS
TEST_PACKS = frozenset({"esc50_part"})
AUGMENT_PACKS = frozenset({"rir_webaudio"})
SKIPPED_FLAGS = frozenset({"near_silent"})
Role = Literal["train", "validation", "test", "augment"]
ROLES: tuple[Role, ...] = get_args(Role)
PACK_COLUMNS = ("path", "dataset", "source_id", "subject_id", "licence")  # of every pack
_LABEL_COLUMNS = ("labels", "group_fold", "flags")  # of a labelled one


@dataclass(frozen=True)
class ManifestRow:
    """One recording of a pack and the role it plays.

    ``path`` is relative to the data folder. ``subject_id`` is a person or a freesound id. Where neither is known it is
    the pack itself, so that the whole pack stays on one side. ``fold`` is 1-5 by subject, None where unlabelled.
    """

    path: str
    pack: str
    source_id: str
    subject_id: str
    duration_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    labels: tuple[str, ...]
    fold: int | None
    licence: str
    role: Role
    labelled: bool


_COLUMNS = tuple(field.name for field in fields(ManifestRow))


def build_manifest(data_root: Path) -> list[ManifestRow]:
    """Read every pack's ``manifest.csv`` below `data_root` and give each recording a role.

    A subject or source that is in validation or test is never in train, the unlabelled recordings included.

    Raises
    ------
    DataError
        If `data_root` holds no pack, or a pack's manifest lacks a column or has a cell that cannot be meant.
    """
    manifests = sorted(data_root.glob("*/manifest.csv"))
    if not manifests:
        raise DataError(f"no pack (a folder with a manifest.csv) was found in {data_root}")
    rows = [row for manifest in manifests for row in _read_pack(manifest)]
    return _keep_splits_disjoint(_one_spelling_each(rows, data_root))


def _read_pack(manifest: Path) -> list[ManifestRow]:
    records = list(read_table(manifest, (*PACK_COLUMNS, "duration_s"), _LABEL_COLUMNS))
    _refuse_repeats(records)
    if words := [record["subject_id"] for record in records if _names_nobody_in_words(record["subject_id"])]:
        remark(manifest, f"{len(words)} recordings name nobody ({listed(words)}); all such stay on one side of a split")
    records = [record for record in records if not SKIPPED_FLAGS & set(words_of(record.get("flags", "")))]
    rows = [_to_row(manifest.parent.name, record) for record in records]
    _remark_other_labels(manifest, records, rows)
    return rows


def _to_row(pack: str, record: Row) -> ManifestRow:
    labels, fold, dataset = _labels(record), _fold(record, "group_fold"), record.text("dataset")
    subject_id = record.text("subject_id")
    is_known = not names_nobody(subject_id)
    return ManifestRow(
        path=f"{pack}/{record.relative_path('path')}",
        pack=pack,
        source_id=f"{dataset.removesuffix('_part')}:{record.text('source_id')}",
        subject_id=subject_id if is_known else f"{dataset}:unknown",
        duration_s=record.number("duration_s", lowest=0),
        labels=labels,
        fold=fold,
        licence=record.text("licence"),
        role=_role(pack, is_known, fold),
        labelled=bool(labels),
    )


def _labels(record: Row) -> tuple[str, ...]:
    try:
        return parse_labels(record.text("labels"))
    except ValueError as error:
        events = ", ".join(EVENT_LABELS)
        expected = f"{events}, or a kind of noise as 'noise;rain', but {shown(str(error))} is none"
        raise record.refused("labels", expected) from error


def _fold(record: Row, column: str) -> int | None:
    return record.whole(column, 1, N_FOLDS) if record.get(column) else None


def _refuse_repeats(records: Iterable[Row]) -> None:
    """DataError where a recording stands twice: it would count twice."""
    places: dict[str, str] = {}
    for record in records:
        path = record.relative_path("path")
        if (first := places.setdefault(path, record.place)) is not record.place:
            raise DataError(f"{record.place}, column path names {shown(path)} again, as {first} does")


def _names_nobody_in_words(subject_id: str) -> bool:
    return bool(subject_id) and names_nobody(subject_id)


def _remark_other_labels(path: Path, records: Sequence[Row], rows: Sequence[ManifestRow]) -> None:
    """Say which labels are taken for others."""
    taken: dict[str, set[str]] = defaultdict(set)
    for record, row in zip(records, rows, strict=True):
        if (labels := ";".join(row.labels)) != (text := record.get("labels", "")):
            taken[labels].add(text)
    for labels, texts in sorted(taken.items()):
        remark(path, f"the labels {listed(texts)} are taken as {shown(labels) if labels else 'unlabelled'}")


def _one_spelling_each(rows: Sequence[ManifestRow], path: Path) -> list[ManifestRow]:
    """The rows with one spelling of each subject, the first."""
    first = one_spelling(row.subject_id for row in rows)
    spellings: dict[str, list[str]] = defaultdict(list)
    for spelling, subject_id in first.items():
        spellings[subject_id].append(spelling)
    for subject_id, alike in spellings.items():
        if len(alike) > 1:
            remark(path, f"the subjects {listed(alike)} are taken as one person, {shown(subject_id)}")
    return [replace(row, subject_id=first[row.subject_id]) for row in rows]


def _role(pack: str, is_subject_known: bool, fold: int | None) -> Role:
    if pack in TEST_PACKS:
        return "test"
    if pack in AUGMENT_PACKS:
        return "augment"
    return "validation" if fold == VALIDATION_FOLD and is_subject_known else "train"


def _keep_splits_disjoint(rows: list[ManifestRow]) -> list[ManifestRow]:
    """Drop the training recordings whose subject or source is held out, and validation ones that are in the test."""
    tested = {key for row in rows if row.role == "test" for key in (row.subject_id, row.source_id)}
    validated = {key for row in rows if row.role == "validation" for key in (row.subject_id, row.source_id)}
    held_out = {"train": tested | validated, "validation": tested}
    return [row for row in rows if not {row.subject_id, row.source_id} & held_out.get(row.role, set())]


def with_fewer_train_subjects(rows: list[ManifestRow], fraction: float) -> list[ManifestRow]:
    """Keep about `fraction` (0 to 1) of the training subjects, all of their recordings, and every other role.

    The subjects of a smaller fraction are among those of a larger one, so that a curve over corpus size only adds.
    """
    return [row for row in rows if row.role != "train" or _place(row.subject_id) < fraction]


def without_packs(rows: list[ManifestRow], packs: Collection[str]) -> list[ManifestRow]:
    """Give the packs' recordings, and all others of their subjects and sources, the role of a test.

    Raises
    ------
    DataError
        If no recording is of one of the packs.
    """
    if unknown := sorted(set(packs) - {row.pack for row in rows}):
        raise DataError(f"no recording is of the pack {shown(unknown[0])}")
    left_out = {key for row in rows if row.pack in packs for key in (row.subject_id, row.source_id)}
    return [replace(row, role="test") if {row.subject_id, row.source_id} & left_out else row for row in rows]


def _place(subject_id: str) -> float:
    """A subject's place in [0, 1), the same in every run and as good as random."""
    return int.from_bytes(hashlib.sha256(subject_id.encode()).digest()[:6]) / 2**48


def write_manifest(rows: list[ManifestRow], path: Path) -> None:
    """Write `rows` as CSV; labels are joined by ``;``."""
    records = ({**asdict(row), "labels": ";".join(row.labels), "fold": row.fold or ""} for row in rows)
    write_atomically(path, table_text(_COLUMNS, records))


def manifest_kind() -> str | None:
    """What `core.files.kind_of` says of such a file."""
    return kind_of(",".join(field.name for field in fields(ManifestRow)).encode() + b"\n")


def read_manifest(path: Path) -> list[ManifestRow]:
    """Read what `write_manifest` wrote.

    Raises
    ------
    DataError
        If it is another table, or has a subject on two sides of a split.
    """
    try:
        records = list(read_table(path, _COLUMNS))
    except OtherColumnsError as error:
        raise DataError(f"{path} is not a manifest: {error}") from error
    _refuse_repeats(records)
    rows = _one_spelling_each([_from_record(record) for record in records], path)
    _remark_other_labels(path, records, rows)
    sides: dict[str, Role] = {}
    for row in rows:
        if row.role != "augment" and (side := sides.setdefault(row.subject_id, row.role)) != row.role:
            raise DataError(f"{path} has the subject {shown(row.subject_id)} in {side} and in {row.role}")
    return rows


def _from_record(record: Row) -> ManifestRow:
    role = record.text("role")
    if role not in ROLES:
        raise record.refused("role", " or ".join(ROLES))
    if names_nobody(record.text("subject_id")):
        raise record.refused("subject_id", "a person, or what stands for an unknown one")
    return ManifestRow(
        path=record.relative_path("path"),
        pack=record.text("pack"),
        source_id=record.text("source_id"),
        subject_id=record.text("subject_id"),
        duration_s=record.number("duration_s", lowest=0),
        labels=_labels(record),
        fold=_fold(record, "fold"),
        licence=record.text("licence"),
        role=role,
        labelled=record.truth("labelled"),
    )


def summarize(rows: list[ManifestRow]) -> str:
    """One line a role: recordings, hours, subjects."""
    lines = []
    for role in ROLES:
        chosen = [row for row in rows if row.role == role]
        hours = sum(row.duration_s for row in chosen) / 3600
        subjects = len({row.subject_id for row in chosen})
        packs = Counter(row.pack for row in chosen)
        lines.append(f"{role}: {len(chosen)} recordings, {hours:.2f} h, {subjects} subjects, {len(packs)} packs")
    return "\n".join(lines)


def packs_used(rows: Iterable[ManifestRow], role: str) -> list[dict[str, Any]]:
    """List the packs that have rows of `role`: name, recordings, hours, licences."""
    packs: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.role == role:
            pack = packs.setdefault(row.pack, {"name": row.pack, "recordings": 0, "hours": 0.0, "licences": set()})
            pack["recordings"] += 1
            pack["hours"] += row.duration_s / 3600
            pack["licences"].add(row.licence)
    return [{**pack, "hours": round(pack["hours"], 3), "licences": sorted(pack["licences"])} for pack in packs.values()]
