"""Writes records as one file that only the study can open, and checks the receipt that comes back for it."""

import base64
import contextlib
import hashlib
import json
import os
import struct
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from app.cases.index import CONSENT, PARTICIPANT, WITHDRAWAL
from app.crypto import hpke
from app.crypto.sealing import random_bytes
from app.data_folder import sync_folder
from app.records import Records
from app.storage.sealed_rows import SealedRow
from app.studies.participant_id import check_digit
from app.study import Study
from app.vault import LockedError
from core.errors import OutputError, TussisError
from core.files import make_folder, replacing, write_atomically
from core.json_fields import parse_object

SUFFIX, NOTE_FOLDER = ".tussis-handover", "handover"
INDEX_SCHEMA, NOTE_SCHEMA = "tussis.handover/1", "tussis.handover-note/1"
MAGIC, END_MAGIC, VERSION = b"TUSSISHO", b"TUSSISHE", 1
HEADER = struct.Struct("<8sB8s")  # magic, version, the key's id
TRAILER = struct.Struct("<Q8s")  # bytes of the sealed index before it, magic
INDEX_INFO = b"tussis hand-over 1"
SECRET_BYTES, RECEIPT_DIGITS, PBKDF2_ROUNDS = 16, 12, 100_000
PIECE_BYTES = 2**18
MAX_NOTE_BYTES = 2**26


class HandOverError(TussisError):
    """A hand-over that cannot be written, or a receipt that was mistyped."""


class HandOverStoppedError(HandOverError):
    """Somebody stopped the hand-over while it was written; there is no file and no note."""


@dataclass(frozen=True)
class HandOverProgress:
    """How many records, and bytes of them, are written of those that go along."""

    n_records: int = 0
    n_all_records: int = 0
    n_bytes: int = 0
    n_all_bytes: int = 0


@dataclass(frozen=True)
class HandOver:
    """What was written: ``sha256`` is that of the file, ``path`` None where it went to a stream.

    ``rows`` maps each record's id to the SHA-256 of its row as it was handed over (`SealedRow.sha256`).
    """

    id: str
    path: Path | None
    n_records: int
    n_bytes: int
    sha256: str
    rows: dict[str, str] = field(repr=False)


@dataclass(frozen=True)
class HandOverNote:
    """What the phone keeps of a hand-over: nothing that says who or what was recorded; ``rows`` is that of `HandOver`.

    It can be written while locked; the casebook takes the rows over once it is unlocked.
    """

    id: str
    written_s: float
    n_records: int
    n_bytes: int
    sha256: str
    rows: dict[str, str] = field(repr=False)
    receipt_salt: bytes = field(repr=False)
    receipt_hash: bytes = field(repr=False)


def write_handover(
    records: Records,
    study: Study,
    target: Path | BinaryIO,
    ids: Collection[str] | None = None,
    follow: Callable[[HandOverProgress], None] = lambda progress: None,
) -> HandOver:
    """Write records as one file, sealed for the study; works while locked.

    The file holds the sealed rows and sounds as they lie on the disk, and an index that is sealed for the study too. It
    is written under a temporary name, read again, compared and then renamed. Call it from a thread of its own.

    Parameters
    ----------
    records : Records
    study : Study
    target : Path or binary stream
        The folder to write to, or a stream that is open for writing, which stays open; a stream's writer reads it back.
    ids : collection of str or None
        The records that go along, with the participants and consents that they belong to; None for all. Withdrawals
        always go along.
    follow : callable
        Gets the progress often, at least with each piece of sound. It may raise `HandOverStoppedError`.

    Raises
    ------
    HandOverError
        If there is nothing to hand over, or it cannot be written; then there is no file and no note.
    """
    handover_id, secret = random_bytes(8).hex(), random_bytes(SECRET_BYTES)
    path = None
    try:
        if isinstance(target, Path):
            make_folder(target)
            path = target / f"{study.id}-{datetime.now(UTC):%Y%m%d}-{handover_id}{SUFFIX}"
            with replacing(path) as file:
                writing = _Writing(file, follow)
                writing.write_all(records, study, ids, handover_id, secret)
                _compare(file, writing)
            with contextlib.suppress(OutputError):  # a card whose folders cannot be synced
                sync_folder(target)
        else:
            writing = _Writing(target, follow)
            writing.write_all(records, study, ids, handover_id, secret)
        _write_note(records.folder, handover_id, secret, writing, path)
    except OSError as reason:
        raise HandOverError(f"The hand-over cannot be written: {reason.strerror or reason}.") from reason
    except OutputError as reason:
        raise HandOverError(f"The hand-over cannot be written: {reason}") from reason
    sha256 = writing.digest.hexdigest()
    return HandOver(handover_id, path, len(writing.rows), writing.n_bytes, sha256, writing.rows)


def handovers(folder: Path) -> list[HandOverNote]:
    """What was handed over from a data folder, in the order of time; a note that was altered is left out."""
    notes = []
    for path in sorted((folder / NOTE_FOLDER).glob("*.json")):
        with contextlib.suppress(HandOverError):
            notes.append(_read_note(path))
    return sorted(notes, key=lambda note: note.written_s)


def forget_handover(folder: Path, handover_id: str) -> None:
    """Remove the note of a hand-over that nobody got; raises `HandOverError`."""
    try:
        (folder / NOTE_FOLDER / f"{handover_id}.json").unlink(missing_ok=True)
    except OSError as reason:
        raise HandOverError(f"The note of a hand-over stays: {reason.strerror or reason}.") from reason


def handover_note(folder: Path, handover_id: str) -> HandOverNote:
    """What is kept of one hand-over; HandOverError where there is nothing."""
    for note in handovers(folder):
        if note.id == handover_id:
            return note
    raise HandOverError("Nothing is known of this hand-over.")


def check_receipt(records: Records, handover_id: str, text: str) -> bool:
    """Whether the receipt that somebody typed is that of this hand-over; takes about a tenth of a second.

    Raises
    ------
    HandOverError
        If it has another form or a wrong check digit, so that it was mistyped, or nothing is known of the hand-over.
    """
    digits = "".join(character for character in text if character not in " -\u00a0")
    if not (digits.isascii() and digits.isdigit() and len(digits) == RECEIPT_DIGITS + 1):
        raise HandOverError(f"A receipt has {RECEIPT_DIGITS + 1} digits; this has {len(digits)} characters.")
    if check_digit(digits[:-1]) != digits[-1]:
        raise HandOverError("The last digit of the receipt does not fit; read the receipt again.")
    note = handover_note(records.folder, handover_id)
    return _receipt_hash(digits, note.receipt_salt) == note.receipt_hash


def receipt(secret: bytes, handover_id: str) -> str:
    """The receipt of a hand-over: 13 digits, the last one a check digit, made of what only its reader knows."""
    number = int.from_bytes(hashlib.sha256(b"tussis receipt 1" + secret + handover_id.encode()).digest(), "big")
    digits = f"{number % 10**RECEIPT_DIGITS:0{RECEIPT_DIGITS}d}"
    digits += check_digit(digits)
    return "-".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def key_id(public_key: bytes) -> bytes:
    """The 8 bytes by which a hand-over tells which key opens it."""
    return hashlib.sha256(public_key).digest()[:8]


class _Writing:
    """A hand-over while it is written: what went into it, and the hash so far."""

    def __init__(self, file: BinaryIO, follow: Callable[[HandOverProgress], None]):
        self._file, self._follow = file, follow
        self._n_all_records = self._n_all_bytes = 0
        self.digest, self.n_bytes = hashlib.sha256(), 0
        self._entries: list[dict[str, Any]] = []

    @property
    def rows(self) -> dict[str, str]:
        """The SHA-256 of each row that was written, by its record's id."""
        return {entry["id"]: entry["row"]["sha256"] for entry in self._entries}

    def write_all(
        self, records: Records, study: Study, ids: Collection[str] | None, handover_id: str, secret: bytes
    ) -> None:
        """The header, each record's row and sound, the sealed index, the trailer."""
        header = HEADER.pack(MAGIC, VERSION, key_id(study.handover_public_key))
        chosen, last_sequence = None if ids is None else {*ids, *_owners(records, ids)}, 0

        def goes_along(row: SealedRow) -> bool:
            return chosen is None or row.id in chosen or row.kind == WITHDRAWAL

        for row in filter(goes_along, records.sealed_rows()):
            self._n_all_records += 1
            self._n_all_bytes += len(row.sealed) + _size(records.audio_path(row.id))
        self._write(header)
        for row in records.sealed_rows():
            if goes_along(row):
                self._write_record(row, records.audio_path(row.id))
            last_sequence = row.sequence
        if not self._entries:
            raise HandOverError("There is nothing to hand over.")
        index = {
            "schema": INDEX_SCHEMA,
            "id": handover_id,
            "written_s": time.time(),
            "study": {"id": study.id, "version": study.version, "sha256": study.sha256},
            "is_practice": study.is_practice,
            "last_sequence": last_sequence,
            "receipt_secret": base64.b64encode(secret).decode(),
            "records": self._entries,
        }
        sealed = hpke.seal(study.handover_public_key, INDEX_INFO, header, json.dumps(index).encode())
        self._write(sealed)
        self._write(TRAILER.pack(len(sealed), END_MAGIC))
        self._file.flush()

    def tell(self) -> None:
        """Let whoever follows know how far this is; stops here where they want that."""
        n_records, n_bytes = len(self._entries), self.n_bytes
        n_all_records, n_all_bytes = max(self._n_all_records, n_records), max(self._n_all_bytes, n_bytes)
        self._follow(HandOverProgress(n_records, n_all_records, n_bytes, n_all_bytes))

    def _write_record(self, row: SealedRow, audio_path: Path) -> None:
        entry = {"id": row.id, "kind": row.kind, "sequence": row.sequence}
        entry["row"] = self._write_part(iter([row.sealed]))
        with contextlib.suppress(FileNotFoundError), audio_path.open("rb") as audio:
            n_bytes = os.fstat(audio.fileno()).st_size  # of a recording that is being made, what is there by now
            entry["audio"] = self._write_part(_pieces(audio, n_bytes))
        self._entries.append(entry)

    def _write_part(self, pieces: Iterator[bytes]) -> dict[str, Any]:
        start, digest = self.n_bytes, hashlib.sha256()
        for piece in pieces:
            self._write(piece)
            digest.update(piece)
        return {"at": start, "n_bytes": self.n_bytes - start, "sha256": digest.hexdigest()}

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self.digest.update(content)
        self.n_bytes += len(content)
        self.tell()


def _owners(records: Records, ids: Collection[str]) -> list[str]:
    """Ids of the participants and consents that chosen records belong to; none while locked, when nobody can choose."""
    try:
        known = records.all()
    except LockedError:
        return []
    owners = {record.content.get("participant_id") for record in known if record.id in ids} - {None, ""}
    return [
        one.id for one in known if one.kind in (PARTICIPANT, CONSENT) and one.content.get("participant_id") in owners
    ]


def _pieces(file: BinaryIO, n_bytes: int) -> Iterator[bytes]:
    while n_bytes > 0 and (piece := file.read(min(PIECE_BYTES, n_bytes))):
        n_bytes -= len(piece)
        yield piece


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _compare(file: BinaryIO, writing: _Writing) -> None:
    """Read the file again from the disk, where the system lets go of its copy in memory, and compare."""
    file.flush()
    os.fsync(file.fileno())
    with contextlib.suppress(AttributeError, OSError):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(PIECE_BYTES):
        digest.update(piece)
        writing.tell()
    if digest.digest() != writing.digest.digest():
        raise HandOverError("The hand-over reads differently from what was written; try another place for it.")


def _write_note(folder: Path, handover_id: str, secret: bytes, writing: _Writing, path: Path | None) -> None:
    """Keep a note; where the disk takes none, the hand-over goes too, for no receipt could be checked."""
    salt, digits = random_bytes(SECRET_BYTES), receipt(secret, handover_id).replace("-", "")
    note = {
        "schema": NOTE_SCHEMA,
        "id": handover_id,
        "written_s": time.time(),
        "n_bytes": writing.n_bytes,
        "sha256": writing.digest.hexdigest(),
        "receipt_salt": salt.hex(),
        "receipt_hash": _receipt_hash(digits, salt).hex(),
        "rows": writing.rows,
    }
    try:
        make_folder(folder / NOTE_FOLDER)
        write_atomically(folder / NOTE_FOLDER / f"{handover_id}.json", json.dumps(note))
    except OutputError:
        if path is not None:
            path.unlink(missing_ok=True)
        raise


def _read_note(path: Path) -> HandOverNote:
    try:
        with path.open("rb") as file:
            fields = parse_object(file.read(MAX_NOTE_BYTES), path.name, HandOverError)
        fields.one_of("schema", (NOTE_SCHEMA,))
        rows = fields.object("rows")
        return HandOverNote(
            id=fields.text("id"),
            written_s=fields.number("written_s", 0, 1e11, "s"),
            n_records=len(rows.values),
            n_bytes=fields.integer("n_bytes", 0, 2**62),
            sha256=fields.sha256("sha256"),
            rows={record_id: rows.sha256(record_id) for record_id in rows.values},
            receipt_salt=bytes.fromhex(fields.text("receipt_salt")),
            receipt_hash=bytes.fromhex(fields.text("receipt_hash")),
        )
    except (OSError, ValueError) as reason:
        raise HandOverError(f"The note {path.name} cannot be read.") from reason


def _receipt_hash(digits: str, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", digits.encode(), salt, PBKDF2_ROUNDS)
