"""Opens the SQLite file of the records, brings earlier versions up to date, and leaves nothing of what was deleted."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from app.data_folder import FolderInUseError
from core.errors import TussisError, one_line

# What each version adds to the one before. A step that was released is never changed; a new one follows the last.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE records (sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
        "kind TEXT NOT NULL, sealed BLOB NOT NULL)",
    ),
    ("CREATE TABLE erasing (id TEXT PRIMARY KEY)",),  # records that are gone, while their files may still be there
)
VERSION = len(MIGRATIONS)
_SETTINGS = (
    *("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"),
    *("temp_store = MEMORY", "trusted_schema = OFF", "cell_size_check = ON"),
)
_OWN_TABLES = "type IN ('table', 'index', 'view', 'trigger') AND name NOT LIKE 'sqlite_%'"


class RecordsError(TussisError):
    """Records that cannot be read or written as they are."""


class DamagedError(RecordsError):
    """A file of records that somebody altered, or that a disk damaged: `app.storage.rescue` saves what reads."""


class Database:
    """The SQLite file; one process at a time, any thread.

    Raises
    ------
    DamagedError
        If it was altered or damaged; it is left as it is.
    RecordsError
        If it cannot be opened, or is of a later version; it is left as it is.
    FolderInUseError
        If another window has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = threading.RLock()
        with self._sentences("opened"):
            self._connection = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
            self._connection.text_factory = lambda text: text.decode(errors="replace")
            try:
                for setting in _SETTINGS:
                    self._connection.execute(f"PRAGMA {setting}")
                self._bring_up_to_date()
                self._check()
            except BaseException:
                self._connection.close()
                raise

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is executed inside happens, on the disk, or nothing of it; raises `RecordsError`."""
        with self._mutex, self._sentences("written"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, *values: object) -> list[tuple]:
        """What a SELECT finds; raises `RecordsError`."""
        with self._mutex, self._sentences("read"):
            return self._connection.execute(query, values).fetchall()

    def rewrite(self) -> None:
        """Write all rows anew, so that nothing stays between them; raises `RecordsError`.

        ``secure_delete`` overwrites what is deleted already; this does not depend on how SQLite moves rows about.
        """
        with self._mutex, self._sentences("written"):
            self._connection.execute("VACUUM")
            self.empty_log()

    def empty_log(self) -> None:
        """Bring what was written into the file itself, and empty SQLite's log of writes; raises `RecordsError`."""
        with self._mutex, self._sentences("written"):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file; may be called twice."""
        with self._mutex, contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _bring_up_to_date(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise RecordsError(f"The records are of version {version}; this Tussis knows versions up to {VERSION}.")
        if version < VERSION:
            with self.transaction() as connection:
                for step in MIGRATIONS[version:]:
                    for statement in step:
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")

    def _check(self) -> None:
        tables = f"SELECT sql FROM sqlite_master WHERE {_OWN_TABLES}"
        found = {sql for (sql,) in self._connection.execute(tables)}
        sound = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if sound != ("ok",) or found != {statement for step in MIGRATIONS for statement in step}:
            raise DamagedError(f"{self.path.name} was altered or damaged; it is left as it is.")

    @contextlib.contextmanager
    def _sentences(self, done: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as reason:
            code = (getattr(reason, "sqlite_errorcode", 0) or 0) & 0xFF
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise DamagedError(f"{self.path.name} was altered or damaged: {one_line(reason)}.") from reason
            if code == sqlite3.SQLITE_BUSY:
                raise FolderInUseError("Tussis is open in another window already; close that one first.") from reason
            raise RecordsError(f"The records cannot be {done}: {one_line(reason)}.") from reason
