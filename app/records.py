"""Keeps all records sealed on the disk and, once unlocked, open in memory, in the order in which they were made."""

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.crypto.sealing import SealError, random_bytes
from app.data_folder import FolderLock, sync_folder
from app.sealed_audio import SealedAudioReader, SealedAudioWriter
from app.storage import rescue
from app.storage.database import DamagedError, Database, RecordsError
from app.storage.sealed_rows import SealedRow, open_row, reseal_row, seal_row
from app.vault import EarlierMasterKeyError, Vault
from core.files import make_folder

FILE_NAME, AUDIO_FOLDER, AUDIO_SUFFIX = "records.sqlite", "audio", ".sealed"
LOG_KIND = "log"
_ROWS = "SELECT CAST(id AS TEXT), CAST(kind AS TEXT), sequence, CAST(sealed AS BLOB) FROM records"


@dataclass(frozen=True)
class Record:
    """A record as it is in memory; nobody changes ``content``: `Records.amend` takes a new one."""

    id: str
    kind: str
    sequence: int
    content: dict[str, Any]
    sealed_sha256: str  # `SealedRow.sha256`


class Records:
    """The records of a data folder, for one window at a time; any thread may call.

    Parameters
    ----------
    folder : Path
    vault : Vault
        May be locked: then rows can be counted, handed over and erased, and nothing can be read or added.
    study_public_key : bytes, 32
        For which new records are sealed besides.
    clock : function
        Seconds since 1970, for the log; nothing is ordered by it.

    Attributes
    ----------
    n_rescued : int or None
        How many rows were saved where the file was damaged when it was opened; None where it was whole. The damaged
        file stays in the folder until something is erased.

    Raises
    ------
    RecordsError, FolderInUseError, OutputError
        With one sentence; nothing on the disk was changed then.
    """

    def __init__(
        self, folder: Path, vault: Vault, study_public_key: bytes, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder, self.study_public_key = folder, study_public_key
        self.n_changes = 0  # another number: what was read from here before may be different now
        self._vault, self._clock = vault, clock
        self._mutex = threading.RLock()
        self.n_rescued: int | None = None
        self._lock = FolderLock(folder)
        try:
            make_folder(folder / AUDIO_FOLDER)
            self._database = self._opened_database(folder / FILE_NAME)
        except BaseException:
            self._lock.release()
            raise
        self.forget()
        vault.when_locked.append(self.forget)
        with contextlib.suppress(RecordsError):  # a full disk: the next erasing or start tries again
            self._finish_erasing()

    def _opened_database(self, path: Path) -> Database:
        try:
            rescue.finish(path)
            return Database(path)
        except OSError as error:
            raise RecordsError(f"The records cannot be opened: {error.strerror or error}.") from error
        except DamagedError:
            self.n_rescued = rescue.rescue(path)
            return Database(path)

    def add(
        self, kind: str, content: dict[str, Any], record_id: str | None = None, event: str = "", **facts: Any
    ) -> Record:
        """Keep a new record; it is on the disk when this returns, and with it the log's entry for `event`.

        Raises
        ------
        LockedError
        RecordsError
            If the disk takes nothing, or the id is taken; then nothing was changed.
        """
        with self._mutex:
            with self._database.transaction() as connection:
                made = self._insert(connection, kind, content, record_id)
                entries = self._insert_event(connection, event, {"record_id": made.id, **facts})
            return self._remember(*entries, made)

    def amend(self, record_id: str, content: dict[str, Any], event: str = "", **facts: Any) -> Record:
        """Give a record other content; its id, kind, key and place stay. Raises as `add` and `get` do."""
        with self._mutex:
            row = self._row(record_id)
            self._open(row)
            new = reseal_row(row, self._key(row), content)
            with self._database.transaction() as connection:
                connection.execute("UPDATE records SET sealed = ? WHERE id = ?", (new.sealed, record_id))
                entries = self._insert_event(connection, event, {"record_id": record_id, **facts})
            return self._remember(*entries, _record(new, _as_read(content)))

    def erase(self, *record_ids: str, event: str = "", **facts: Any) -> None:
        """Remove records for good: key, row and sound. Ids that are not there are passed over.

        Without an `event` for the log it works while locked. Call it from a thread: all rows are written anew.

        Raises
        ------
        LockedError
        RecordsError
            If the disk takes nothing. What had begun is finished by the next erasing or start.
        """
        with self._mutex:
            ids = [(record_id,) for record_id in record_ids]
            with self._database.transaction() as connection:
                connection.executemany("INSERT OR IGNORE INTO erasing SELECT id FROM records WHERE id = ?", ids)
                connection.executemany("DELETE FROM records WHERE id = ?", ids)
                entries = self._insert_event(connection, event, facts)
            for record_id in record_ids:
                self._cache.pop(record_id, None)
            self._remember(*entries)
            self._finish_erasing()

    def get(self, record_id: str) -> Record:
        """One record.

        Raises
        ------
        LockedError
        EarlierMasterKeyError
            If it was sealed before the passcode was set anew.
        RecordsError
            If there is none, or it was altered.
        """
        self._load()
        return self._cache.get(record_id) or self._open(self._row(record_id))

    def all(self, kind: str | None = None) -> list[Record]:
        """The records of one kind, or of all but the log, that can be read, in the order in which they were made."""
        self._load()
        records = (record for record in list(self._cache.values()) if (record.kind == kind if kind else True))
        return sorted((record for record in records if kind or record.kind != LOG_KIND), key=lambda one: one.sequence)

    @property
    def unreadable(self) -> int:
        """How many records were sealed before the passcode was set anew: the study can read them."""
        self._load()
        return self._n_unreadable

    @property
    def altered(self) -> tuple[str, ...]:
        """Ids of the records that somebody altered, or exchanged with others."""
        self._load()
        return self._altered

    def sealed_rows(self) -> Iterator[SealedRow]:
        """All rows as they lie on the disk, the log's too, in their order; works while locked."""
        after = -(2**63)
        while found := self._database.rows(f"{_ROWS} WHERE sequence > ? ORDER BY sequence LIMIT 200", after):
            yield from (SealedRow(*row) for row in found)
            after = found[-1][2]

    def audio_path(self, record_id: str) -> Path:
        """Where a record's sealed sound lies, if it has any."""
        return self.folder / AUDIO_FOLDER / f"{record_id}{AUDIO_SUFFIX}"

    def audio_writer(self, record_id: str, sample_rate_hz: int) -> SealedAudioWriter:
        """A new file of sound for a record; raises as `get` does, and `SealedAudioError`."""
        key = self._key(self._row(record_id))
        return SealedAudioWriter(self.audio_path(record_id), key, record_id, sample_rate_hz)

    def audio_reader(self, record_id: str) -> SealedAudioReader:
        """A record's sound; raises as `get` does, and `SealedAudioError`."""
        return SealedAudioReader(self.audio_path(record_id), self._key(self._row(record_id)), record_id)

    def log(self, event: str, **facts: Any) -> Record:
        """Note what was done, with the hash of the entry before; raises as `add` does."""
        with self._mutex:
            with self._database.transaction() as connection:
                entries = self._insert_event(connection, event, facts)
            return self._remember(*entries)

    def check_log(self) -> int:
        """The number of entries in the log.

        Raises
        ------
        RecordsError
            If an entry was altered, exchanged or taken out.
        """
        self._load()
        previous, n_entries = "", 0
        for row in (row for row in self.sealed_rows() if row.kind == LOG_KIND):
            entry = self._cache.get(row.id)
            if row.id in self._altered or (entry is not None and entry.content["previous"] != previous):
                raise RecordsError("The log of what was done was altered.")
            previous, n_entries = row.sha256, n_entries + 1
        return n_entries

    def forget(self) -> None:
        """Drop what is open in memory; the vault does so where it is locked."""
        with self._mutex:
            self._cache: dict[str, Record] = {}
            self._n_unreadable, self._altered = 0, ()
            self._loaded_with: bytes | None = None
            self.n_changes += 1

    def close(self) -> None:
        """Let another window use the folder; may be called twice."""
        if self.forget in self._vault.when_locked:
            self._vault.when_locked.remove(self.forget)
        self.forget()
        self._database.close()
        self._lock.release()

    def _insert(
        self, connection: sqlite3.Connection, kind: str, content: dict[str, Any], record_id: str | None = None
    ) -> Record:
        record_id = record_id or random_bytes(16).hex()
        key = self._vault.new_record_key(record_id, self.study_public_key)
        found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'records'").fetchone()
        row = seal_row(key, record_id, kind, (found[0] if found else 0) + 1, content)
        values = (row.sequence, row.id, row.kind, row.sealed)
        connection.execute("INSERT INTO records (sequence, id, kind, sealed) VALUES (?, ?, ?, ?)", values)
        return _record(row, _as_read(content))

    def _insert_event(self, connection: sqlite3.Connection, event: str, facts: dict[str, Any]) -> list[Record]:
        """The log's entry, with the hash of the one before, which it chains to; none without an event."""
        if not event:
            return []
        query = f"{_ROWS} WHERE kind = ? ORDER BY sequence DESC LIMIT 1"
        last = connection.execute(query, (LOG_KIND,)).fetchone()
        previous = SealedRow(*last).sha256 if last else ""
        entry = {"event": event, "at_s": self._clock(), "facts": facts, "previous": previous}
        return [self._insert(connection, LOG_KIND, entry)]

    def _remember(self, *records: Record) -> Record | None:
        """Take over what is on the disk now; the last one is returned."""
        if self._loaded_with is not None:
            self._cache.update({record.id: record for record in records})
        self.n_changes += 1
        return records[-1] if records else None

    def _load(self) -> None:
        """Open all rows in memory, where that was not done since the vault was unlocked."""
        if self._loaded_with == self._vault.master_id:
            return
        with self._mutex:
            self.forget()
            master_id, altered = self._vault.master_id, []
            for row in self.sealed_rows():
                try:
                    self._cache[row.id] = self._open(row)
                except EarlierMasterKeyError:
                    self._n_unreadable += 1
                except RecordsError:
                    altered.append(row.id)
            self._altered, self._loaded_with = tuple(altered), master_id
            self.n_changes += 1

    def _row(self, record_id: str) -> SealedRow:
        found = self._database.rows(f"{_ROWS} WHERE id = ?", record_id)
        if not found:
            raise RecordsError("The record is not there any more.")
        return SealedRow(*found[0])

    def _key(self, row: SealedRow) -> bytes:
        try:
            return self._vault.open_record_key(row.id, row.wrapped_for_phone)
        except EarlierMasterKeyError:
            raise
        except SealError as reason:
            raise RecordsError("The record was altered.") from reason

    def _open(self, row: SealedRow) -> Record:
        try:
            return _record(row, open_row(row, self._key(row)))
        except EarlierMasterKeyError:
            raise
        except SealError as reason:
            raise RecordsError("The record was altered.") from reason

    def _finish_erasing(self) -> None:
        ids = [record_id for (record_id,) in self._database.rows("SELECT id FROM erasing")]
        if not ids:
            return
        try:
            for record_id in ids:
                self.audio_path(record_id).unlink(missing_ok=True)
            rescue.forget_damaged(self.folder)
        except OSError as error:
            raise RecordsError(f"The sound cannot be erased: {error.strerror or error}.") from error
        sync_folder(self.folder / AUDIO_FOLDER)
        self._database.empty_log()
        try:
            self._database.rewrite()
        except RecordsError:  # no room for a second copy: the next erasing or start tries again
            return
        with self._database.transaction() as connection:
            connection.executemany("DELETE FROM erasing WHERE id = ?", [(record_id,) for record_id in ids])
        self._database.empty_log()


def _as_read(content: dict[str, Any]) -> dict[str, Any]:
    """A copy of a record's content as it will be read after a restart."""
    return json.loads(json.dumps(content))


def _record(row: SealedRow, content: dict[str, Any]) -> Record:
    return Record(row.id, row.kind, row.sequence, content, row.sha256)
