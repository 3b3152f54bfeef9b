"""Seals a record's content to a row that is bound to its id, kind and sequence, and opens it with the record's key."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from app.crypto import hpke
from app.crypto.sealing import SealError, derive_key, open_sealed, seal
from app.vault import RECORD_KEY_INFO, WRAPPED_FOR_PHONE_BYTES, WRAPPED_FOR_STUDY_BYTES, RecordKey

ROW_VERSION = b"\x01"
PADDED_BYTES = 256  # a row tells the length of its content only so coarsely
ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
KIND_PATTERN = re.compile(r"[a-z_]{1,32}")
_PHONE_ENDS = len(ROW_VERSION) + WRAPPED_FOR_PHONE_BYTES
_STUDY_ENDS = _PHONE_ENDS + WRAPPED_FOR_STUDY_BYTES


@dataclass(frozen=True)
class SealedRow:
    """A row as it lies in the file: ``sealed`` is version, key for the phone, key for the study, content."""

    id: str
    kind: str
    sequence: int
    sealed: bytes

    @property
    def sha256(self) -> str:
        """The hash of the sealed bytes: another one where the content was amended."""
        return hashlib.sha256(self.sealed).hexdigest()

    @property
    def wrapped_for_phone(self) -> bytes:
        """The record's key, wrapped by the phone's master key."""
        return self.sealed[len(ROW_VERSION) : _PHONE_ENDS]

    @property
    def wrapped_for_study(self) -> bytes:
        """The record's key, wrapped for the study's private key."""
        return self.sealed[_PHONE_ENDS:_STUDY_ENDS]


def seal_row(key: RecordKey, record_id: str, kind: str, sequence: int, content: dict[str, Any]) -> SealedRow:
    """A new row.

    Parameters
    ----------
    key : RecordKey
    record_id : str
        Letters, digits, hyphens and underscores, at most 64.
    kind : str
        Small letters and underscores, at most 32.
    sequence : int, 1 or more
    content : dict
        What JSON can hold.
    """
    if not ID_PATTERN.fullmatch(record_id) or not KIND_PATTERN.fullmatch(kind):
        raise ValueError(f"{record_id!r} of kind {kind!r} cannot name a record")
    head = ROW_VERSION + key.wrapped_for_phone + key.wrapped_for_study
    row = SealedRow(record_id, kind, sequence, head)
    return _with_content(row, key.key, content)


def reseal_row(row: SealedRow, key: bytes, content: dict[str, Any]) -> SealedRow:
    """The same row with other content, under the same key."""
    return _with_content(row, key, content)


def open_row(row: SealedRow, key: bytes) -> dict[str, Any]:
    """The content of a row.

    Raises
    ------
    SealError
        If the row was altered, is another record's, or the key is.
    """
    if row.sealed[: len(ROW_VERSION)] != ROW_VERSION:
        raise SealError("The record is of another version.")
    return json.loads(open_sealed(_content_key(key), row.sealed[_STUDY_ENDS:], _bound_to(row)))


def key_for_study(row: SealedRow, private: bytes) -> bytes:
    """The record's key (32 bytes), with the study's private key; raises `SealError`."""
    return hpke.open_(private, RECORD_KEY_INFO, row.id.encode(), row.wrapped_for_study)


def _with_content(row: SealedRow, key: bytes, content: dict[str, Any]) -> SealedRow:
    text = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    padded = text.ljust(-(-len(text) // PADDED_BYTES) * PADDED_BYTES)
    sealed = row.sealed[:_STUDY_ENDS] + seal(_content_key(key), padded, _bound_to(row))
    return SealedRow(row.id, row.kind, row.sequence, sealed)


def _content_key(key: bytes) -> bytes:
    return derive_key(key, b"tussis row 1")


def _bound_to(row: SealedRow) -> bytes:
    """Id, kind, sequence and both wrapped keys: none of them can be exchanged."""
    name = f"{row.id}\0{row.kind}\0{row.sequence}\0".encode()
    return name + row.sealed[:_STUDY_ENDS]
