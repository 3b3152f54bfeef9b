"""Decides which recording plays which role, so that no subject crosses a split."""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from io import StringIO
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.files import kind_of, write_atomically

VALIDATION_FOLD = 5
TEST_PACKS = frozenset({"esc50_part"})
AUGMENT_PACKS = frozenset({"rir_webaudio"})
SKIPPED_FLAGS = frozenset({"near_silent"})
ROLES = ("train", "validation", "test", "augment")


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
    duration_s: float
    labels: tuple[str, ...]
    fold: int | None
    licence: str
    role: str
    labelled: bool


def build_manifest(data_root: Path) -> list[ManifestRow]:
    """Read every pack's ``manifest.csv`` below `data_root` and give each recording a role.

    A subject or source that is in validation or test is never in train, the unlabelled recordings included.

    Raises
    ------
    DataError
        If `data_root` holds no pack, or a pack's manifest lacks a column.
    """
    manifests = sorted(data_root.glob("*/manifest.csv"))
    if not manifests:
        raise DataError(f"no pack (a folder with a manifest.csv) was found in {data_root}")
    rows = [row for manifest in manifests for row in _read_pack(manifest)]
    return _keep_splits_disjoint(rows)


def _read_pack(manifest: Path) -> Iterable[ManifestRow]:
    pack = manifest.parent.name
    with manifest.open(newline="", encoding="utf-8") as file:
        for record in csv.DictReader(file):
            if SKIPPED_FLAGS & set((record.get("flags") or "").split(";")):
                continue
            try:
                yield _to_row(pack, record)
            except (KeyError, ValueError) as error:
                raise DataError(f"{manifest} has a row without a usable column {error}") from error


def _to_row(pack: str, record: dict[str, str]) -> ManifestRow:
    labels = tuple(label for label in (record.get("labels") or "").split(";") if label)
    fold = int(record["group_fold"]) if record.get("group_fold") else None
    dataset = record["dataset"]
    return ManifestRow(
        path=f"{pack}/{record['path']}",
        pack=pack,
        source_id=f"{dataset.removesuffix('_part')}:{record['source_id']}",
        subject_id=record["subject_id"] or f"{dataset}:unknown",
        duration_s=float(record["duration_s"]),
        labels=labels,
        fold=fold,
        licence=record["licence"],
        role=_role(pack, record["subject_id"], fold),
        labelled=bool(labels),
    )


def _role(pack: str, subject_id: str, fold: int | None) -> str:
    if pack in TEST_PACKS:
        return "test"
    if pack in AUGMENT_PACKS:
        return "augment"
    return "validation" if fold == VALIDATION_FOLD and subject_id else "train"


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


def _place(subject_id: str) -> float:
    """A subject's place in [0, 1), the same in every run and as good as random."""
    return int.from_bytes(hashlib.sha256(subject_id.encode()).digest()[:6]) / 2**48


def write_manifest(rows: list[ManifestRow], path: Path) -> None:
    """Write `rows` as CSV; labels are joined by ``;``."""
    text = StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(ManifestRow)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({**asdict(row), "labels": ";".join(row.labels), "fold": row.fold or ""})
    write_atomically(path, text.getvalue())


def manifest_kind() -> str | None:
    """What `core.files.kind_of` says of such a file."""
    return kind_of(",".join(field.name for field in fields(ManifestRow)).encode() + b"\n")


def read_manifest(path: Path) -> list[ManifestRow]:
    """Read what `write_manifest` wrote; a file of another shape raises `DataError`."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_from_record(record) for record in csv.DictReader(file)]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is not a manifest: {error}") from error


def _from_record(record: dict[str, str]) -> ManifestRow:
    return ManifestRow(
        path=record["path"],
        pack=record["pack"],
        source_id=record["source_id"],
        subject_id=record["subject_id"],
        duration_s=float(record["duration_s"]),
        labels=tuple(label for label in record["labels"].split(";") if label),
        fold=int(record["fold"]) if record["fold"] else None,
        licence=record["licence"],
        role=record["role"],
        labelled=record["labelled"] == "True",
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
