"""Opens a hand-over with the study's private key, and trusts nothing that it says of itself."""

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from app.crypto import hpke
from app.crypto.sealing import SealError
from app.handover import (
    END_MAGIC,
    HEADER,
    INDEX_INFO,
    INDEX_SCHEMA,
    MAGIC,
    PIECE_BYTES,
    SECRET_BYTES,
    TRAILER,
    VERSION,
    HandOverError,
    key_id,
    receipt,
)
from app.sealed_audio import SealedAudioReader
from app.storage.sealed_rows import KIND_PATTERN, SealedRow, key_for_study, open_row
from core.errors import TussisError
from core.json_fields import Fields, parse_object

HANDOVER_ID, RECORD_ID = re.compile("[0-9a-f]{16}"), re.compile("[0-9a-f]{32}")
SEALED_ENDING = ".sealed"
MAX_INDEX_BYTES, MAX_ROW_BYTES, MAX_RECORDS = 2**26, 2**24, 500_000


class AlteredRecordError(TussisError):
    """A record of a whole hand-over that does not open: the others do."""


@dataclass(frozen=True)
class Part:
    """Where a piece of a hand-over lies, and the SHA-256 that it must have."""

    at: int
    n_bytes: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """One record of a hand-over; ``audio`` is None where it has no sound."""

    id: str
    kind: str
    sequence: int
    row: Part
    audio: Part | None


class HandOverFile:
    """An open hand-over: its index was sealed for one of the given keys, and every part is checked when it is read.

    Parameters
    ----------
    path : Path
    private_keys : list of bytes, 32 each
        Private keys of the study: the present one, and earlier ones where there were any.

    Raises
    ------
    HandOverError
        If it is no whole hand-over, was altered, or was sealed for another study.
    """

    def __init__(self, path: Path, private_keys: list[bytes]):
        self.path, self._keys = path, private_keys
        try:
            self._file = path.open("rb")
        except (OSError, ValueError) as reason:
            raise HandOverError(f"{path} cannot be read: {getattr(reason, 'strerror', None) or reason}.") from reason
        try:
            with self._sentences():
                self._read_index()
        except HandOverError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the file."""
        self._file.close()

    @property
    def receipt(self) -> str:
        """What the phone takes as a proof that this file was opened."""
        return receipt(self._secret, self.id)

    @property
    def order(self) -> tuple[int, float]:
        """How far the phone had come when it wrote this: by its records, then by its clock."""
        return self.last_sequence, self.written_s

    def check(self) -> None:
        """Read every part and compare its SHA-256; HandOverError where one was altered."""
        for entry in self.entries:
            for part in (entry.row, *([entry.audio] if entry.audio else [])):
                if _digest(self._pieces(part)) != part.sha256:
                    raise self._altered(entry.id)

    def content(self, entry: Entry) -> dict[str, Any]:
        """A record's content.

        Raises
        ------
        HandOverError
            If the file was altered since it was written.
        AlteredRecordError
            If the record was altered on the phone before, or none of the keys opens it.
        """
        row = self._row(entry)
        try:
            return open_row(row, self._record_key(row))
        except (SealError, ValueError, RecursionError) as reason:
            raise AlteredRecordError(f"the record {entry.id} was altered on the phone.") from reason

    @contextmanager
    def audio(self, entry: Entry, folder: Path) -> Iterator[SealedAudioReader]:
        """A record's sound, which meanwhile lies in `folder` as sealed as it came; OSError where that takes nothing."""
        sealed = folder / f"{entry.id}{SEALED_ENDING}"
        key = self._record_key(self._row(entry))
        try:
            with sealed.open("wb") as file:
                file.writelines(self._pieces(entry.audio))
            yield SealedAudioReader(sealed, key, entry.id)
        finally:
            sealed.unlink(missing_ok=True)

    def _read_index(self) -> None:
        size_bytes = self._file.seek(0, os.SEEK_END)
        if size_bytes < HEADER.size + TRAILER.size:
            raise HandOverError(f"{self.path} is no hand-over: it has {size_bytes} bytes only.")
        header, trailer = self._bytes(0, HEADER.size), self._bytes(size_bytes - TRAILER.size, TRAILER.size)
        magic, version, key_of = HEADER.unpack(header)
        n_index, end_magic = TRAILER.unpack(trailer)
        if magic != MAGIC:
            raise HandOverError(f"{self.path} is no hand-over; expected a file that an app of Tussis wrote.")
        if version != VERSION:
            raise HandOverError(f"{self.path} is of version {version}; this Tussis knows version {VERSION}.")
        if end_magic != END_MAGIC or not 0 < n_index <= min(MAX_INDEX_BYTES, size_bytes - HEADER.size - TRAILER.size):
            raise HandOverError(f"{self.path} is cut short or was altered; hand over again.")
        self._index_at = size_bytes - TRAILER.size - n_index
        private = next((key for key in self._keys if key_id(hpke.public_key(key)) == key_of), None)
        if private is None:
            raise HandOverError(f"{self.path} is sealed for another key: it belongs to another study, or was altered.")
        try:
            index = hpke.open_(private, INDEX_INFO, header, self._bytes(self._index_at, n_index))
        except SealError as reason:
            raise HandOverError(f"{self.path} was altered, or is damaged; hand over again.") from reason
        self._take(parse_object(index, str(self.path), HandOverError))

    def _take(self, fields: Fields) -> None:
        fields.one_of("schema", (INDEX_SCHEMA,))
        study, entries = fields.object("study"), fields.values.get("records")
        self.id = fields.text("id", 32)
        if not HANDOVER_ID.fullmatch(self.id):
            fields.refuse("id", "16 hexadecimal digits")
        self.written_s = fields.number("written_s", 0, 1e11, "s")
        self.study_id, self.study_sha256 = study.text("id", 40), study.sha256("sha256")
        self.study_version = study.integer("version", 1, 10**6)
        self.is_practice = fields.values.get("is_practice") is not False  # in doubt it is practice
        self.last_sequence = fields.integer("last_sequence", 1, 2**62)
        self._secret = _secret(fields)
        if not (isinstance(entries, list) and 0 < len(entries) <= MAX_RECORDS):
            fields.refuse("records", f"a list of 1 to {MAX_RECORDS} records")
        self.entries = tuple(self._entry(item, n) for n, item in enumerate(entries))
        if len({entry.id for entry in self.entries}) < len(self.entries):
            raise HandOverError(f"{self.path} names a record twice; it was not written by an app of Tussis.")

    def _entry(self, item: Any, n: int) -> Entry:
        if not isinstance(item, dict):
            raise HandOverError(f'{self.path}: "records[{n}]" is no object.')
        fields = Fields(item, str(self.path), HandOverError, f"records[{n}].")
        if not RECORD_ID.fullmatch(fields.text("id")):
            fields.refuse("id", "32 hexadecimal digits")
        if not KIND_PATTERN.fullmatch(fields.text("kind")):
            fields.refuse("kind", "small letters and underscores")
        return Entry(
            id=item["id"],
            kind=item["kind"],
            sequence=fields.integer("sequence", 1, 2**62),
            row=self._part(fields.object("row"), MAX_ROW_BYTES),
            audio=self._part(fields.object("audio"), 2**62) if "audio" in item else None,
        )

    def _part(self, fields: Fields, at_most_bytes: int) -> Part:
        at = fields.integer("at", HEADER.size, self._index_at)
        n_bytes = fields.integer("n_bytes", 0, min(at_most_bytes, self._index_at - at))
        return Part(at, n_bytes, fields.sha256("sha256"))

    def _row(self, entry: Entry) -> SealedRow:
        with self._sentences():
            sealed = self._bytes(entry.row.at, entry.row.n_bytes)
        if hashlib.sha256(sealed).hexdigest() != entry.row.sha256:
            raise self._altered(entry.id)
        return SealedRow(entry.id, entry.kind, entry.sequence, sealed)

    def _record_key(self, row: SealedRow) -> bytes:
        for private in self._keys:
            try:
                return key_for_study(row, private)
            except SealError:
                continue
        raise AlteredRecordError(f"none of the keys opens the record {row.id}; give earlier keys too.")

    def _pieces(self, part: Part) -> Iterator[bytes]:
        """A part's bytes; only reading them is a fault of the file."""
        at, end = part.at, part.at + part.n_bytes
        while at < end:
            with self._sentences():
                piece = self._bytes(at, min(PIECE_BYTES, end - at))
            if not piece:
                return
            at += len(piece)
            yield piece

    def _altered(self, record_id: str) -> HandOverError:
        return HandOverError(f"{self.path}: the record {record_id} was altered, or is damaged; hand over again.")

    def _bytes(self, at: int, n_bytes: int) -> bytes:
        self._file.seek(at)
        return self._file.read(n_bytes)

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except OSError as reason:
            raise HandOverError(f"{self.path} cannot be read: {reason.strerror or reason}.") from reason


def _digest(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _secret(fields: Fields) -> bytes:
    try:
        secret = base64.b64decode(fields.text("receipt_secret"), validate=True)
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        fields.refuse("receipt_secret", f"{SECRET_BYTES} bytes in base64")
    return secret
