"""Saves the rows of a damaged file of records to a new one, and keeps the damaged file beside it."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from app.data_folder import sync_folder
from app.storage.database import MIGRATIONS, VERSION, RecordsError
from core.errors import OutputError, one_line
from core.files import write_atomically

ASIDE_PREFIX = "damaged-records-"
_READY, _UNREADY, _LOG, _SHARED = ".rescued", ".part", "-wal", "-shm"
_ROWS = "SELECT sequence, CAST(id AS TEXT), CAST(kind AS TEXT), CAST(sealed AS BLOB) FROM records NOT INDEXED WHERE"


def rescue(path: Path) -> int:
    """Put a new file in the place of a damaged one, with every row that can be read; returns their number.

    Rows are read from both ends up to the first page that does not read. The damaged file stays in the folder under
    another name. A kill at any moment leaves the damaged file, or the new one with the damaged one aside.

    Raises
    ------
    RecordsError
        If the disk takes nothing; then the damaged file is as it was.
    """
    try:
        rows = _readable_rows(path)
        _write_new(_beside(path, _UNREADY), rows)
        _beside(path, _UNREADY).replace(_beside(path, _READY))
        finish(path)
    except (OSError, OutputError, sqlite3.Error) as reason:
        raise RecordsError(f"The records cannot be saved from their damaged file: {one_line(reason)}.") from reason
    return len(rows)


def finish(path: Path) -> None:
    """Put the damaged file aside and a finished new one in its place, which a kill may have cut short.

    Raises OSError and `OutputError`; a new file that is not finished is passed over.
    """
    ready = _beside(path, _READY)
    if not ready.exists():
        return
    sync_folder(path.parent)
    for suffix in ("", _LOG):
        damaged = _beside(path, suffix)
        aside = path.with_name(f"{ASIDE_PREFIX}{_number(ready)}{path.suffix}{suffix}")
        if damaged.exists() and not aside.exists():
            write_atomically(aside, damaged.read_bytes(), replaces_any=True)
    sync_folder(path.parent)
    for suffix in (_LOG, _SHARED):  # a log of the damaged file must not be taken for one of the new file
        _beside(path, suffix).unlink(missing_ok=True)
    ready.replace(path)
    sync_folder(path.parent)


def forget_damaged(folder: Path) -> None:
    """Remove the damaged files, which hold keys of records that are erased now; raises OSError."""
    for path in folder.glob(f"{ASIDE_PREFIX}*"):
        path.unlink(missing_ok=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _number(ready: Path) -> str:
    """The same at each try for one rescue, and another for the next."""
    return f"{ready.stat().st_ino:x}-{ready.stat().st_mtime_ns:x}"


def _readable_rows(path: Path) -> list[tuple[int, str, str, bytes]]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.text_factory = lambda text: text.decode(errors="replace")
    try:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA trusted_schema = OFF")
        found = {}
        for order, comparison in (("", ">"), ("DESC", "<")):
            for row in _rows_up_to_damage(connection, order, comparison):
                found.setdefault(row[0], row)
    finally:
        connection.close()
    return sorted(found.values())


def _rows_up_to_damage(connection: sqlite3.Connection, order: str, comparison: str) -> Iterator[tuple]:
    """Rows one by one from one end, up to the first that does not read."""
    after = -(2**63) if comparison == ">" else 2**63 - 1
    with contextlib.suppress(sqlite3.Error):
        while True:
            query = f"{_ROWS} sequence {comparison} ? ORDER BY sequence {order} LIMIT 1"
            row = connection.execute(query, (after,)).fetchone()
            if row is None:
                return
            after = row[0]
            yield row


def _write_new(path: Path, rows: list[tuple[int, str, str, bytes]]) -> None:
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("BEGIN")
        for step in MIGRATIONS:
            for statement in step:
                connection.execute(statement)
        connection.executemany("INSERT OR IGNORE INTO records (sequence, id, kind, sealed) VALUES (?, ?, ?, ?)", rows)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    finally:
        connection.close()
