"""Reads any cohort by the name of its data set, and writes the table that a probe is fitted on."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from core.errors import DataError
from core.files import write_atomically
from distill.corpus.cohorts.annotated import read_flusense, read_fsd50k, read_icbhi
from distill.corpus.cohorts.crowd_sourced import read_coswara, read_coughvid
from distill.corpus.cohorts.lung_function import read_spirometry
from distill.corpus.cohorts.rows import CohortRow
from distill.corpus.cohorts.tuberculosis import read_cidrz, read_coda
from distill.corpus.labels import EVENT_LABELS, event_labels_of
from distill.corpus.manifests import build_manifest
from distill.corpus.tables import table_text


def read_pack(folder: Path) -> Iterator[CohortRow]:
    """One of our packs of recordings: its labelled rows, a label for each event."""
    for row in build_manifest(folder.parent):
        if row.labelled and row.pack == folder.name:
            events = event_labels_of(row.labels)
            labels = {label: float(label in events) for label in EVENT_LABELS}
            yield CohortRow(folder.parent / row.path, row.subject_id, labels, {"role": row.role}, row.path)


READERS: dict[str, Callable[[Path], Iterator[CohortRow]]] = {
    "cidrz": read_cidrz,
    "coda": read_coda,
    "coswara": read_coswara,
    "coughvid": read_coughvid,
    "flusense": read_flusense,
    "fsd50k": read_fsd50k,
    "icbhi": read_icbhi,
    "pack": read_pack,
    "spirometry": read_spirometry,
}


def read_cohort(kind: str, folder: Path) -> list[CohortRow]:
    """The recordings of a data set.

    Raises
    ------
    DataError
        If the kind is unknown, the folder is not of this data set, or a cell cannot be meant; with line and column.
    """
    if kind not in READERS:
        raise DataError(f"a cohort is of kind {', '.join(READERS)}, not {kind!r}")
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    rows = list(READERS[kind](folder.resolve()))
    if not rows:
        raise DataError(f"{folder} holds no recording that the {kind} layout names")
    return rows


def with_label(rows: Sequence[CohortRow], label: str) -> list[CohortRow]:
    """The rows that have a value of a label.

    Raises
    ------
    DataError
        If none has.
    """
    if chosen := [row for row in rows if label in row.labels]:
        return chosen
    names = ", ".join(sorted({name for row in rows for name in row.labels}))
    raise DataError(f"no recording has the label {label!r}; the labels are {names}")


def write_probe_table(rows: Sequence[CohortRow], label: str, out: Path) -> None:
    """Write path (relative to the table), subject_id, label and the covariates, as ``tussis-probe fit`` takes them.

    Raises
    ------
    DataError
        If a recording does not lie below the table's folder.
    """
    folder = out.resolve().parent
    records = []
    for row in rows:
        path = row.path.resolve()
        if not path.is_relative_to(folder):
            raise DataError(f"{path} does not lie below {folder}; write the table to the data set's folder")
        covariates = {name: cell for name, cell in row.covariates.items() if name not in ("path", "label")}
        value = row.labels[label]
        text = f"{value:.0f}" if value in (0.0, 1.0) else f"{value:g}"
        relative = path.relative_to(folder).as_posix()
        records.append({**covariates, "path": relative, "subject_id": row.subject_id, "label": text})
    columns = dict.fromkeys(["path", "subject_id", "label", *(name for record in records for name in record)])
    write_atomically(out, table_text(list(columns), records))
