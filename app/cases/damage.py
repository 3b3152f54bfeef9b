"""Tells which records were altered, saved from a damaged file, or are not there any more."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.records import Record, Records
from core.errors import TussisError


@dataclass(frozen=True)
class NumberedRecord:
    """A row of the records' file; ``record`` is None where it cannot be read here."""

    id: str
    kind: str
    sequence: int
    is_altered: bool
    record: Record | None


@dataclass(frozen=True)
class Damage:
    """All rows in their order, and the numbers without a row: what was erased is among them, and what was lost."""

    rows: tuple[NumberedRecord, ...]
    missing: tuple[tuple[int, int], ...]
    """First and last number of each run of them."""

    @property
    def altered(self) -> tuple[NumberedRecord, ...]:
        """Those that were altered."""
        return tuple(row for row in self.rows if row.is_altered)


def damage_of(records: Records) -> Damage:
    """Look through all rows, on a thread; raises `LockedError`, and `RecordsError` where the disk cannot be read."""
    altered, rows = set(records.altered), []
    for row in records.sealed_rows():
        is_altered = row.id in altered
        rows.append(
            NumberedRecord(row.id, row.kind, row.sequence, is_altered, None if is_altered else _read(records, row.id))
        )
    return Damage(tuple(rows), tuple(_missing(row.sequence for row in rows)))


def _read(records: Records, record_id: str) -> Record | None:
    try:
        return records.get(record_id)
    except TussisError:  # sealed before the passcode was set anew
        return None


def _missing(sequences: Iterable[int]) -> Iterable[tuple[int, int]]:
    expected = 1
    for sequence in sequences:
        if sequence > expected:
            yield expected, sequence - 1
        expected = max(expected, sequence + 1)
