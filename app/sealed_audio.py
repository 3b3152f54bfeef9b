"""Writes and reads sealed sound: a file that only grows, in blocks that a kill leaves readable up to the last one."""

import contextlib
import os
import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from app.crypto.sealing import TAG_BYTES, SealError, derive_key, open_with_nonce, random_bytes, seal_with_nonce
from app.data_folder import sync_folder
from core.errors import TussisError

MAGIC, VERSION = b"TUSSISAU", 1
BLOCK_S = 0.4
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 4_000, 192_000
RESERVE_BYTES = 2 * 1024 * 1024  # less free space than this ends a recording while its last block still fits
COMPLETE, UNFINISHED, ALTERED = "complete", "unfinished", "altered"
_FIXED_HEADER = struct.Struct("<8sBIB")  # magic, version, rate in Hz, bytes of the record's id that follow
_PREFIX_BYTES = 7
_FRAME = struct.Struct("<BI")  # 1 in the last block, bytes that follow
_COUNTER = struct.Struct(">IB")
_SAMPLES, _GAP = b"\x00", b"\x01"  # what a block holds: int16 little-endian samples, or the seconds that were lost
_GAP_S = struct.Struct("<d")
MAX_BLOCK_BYTES = 2 * HIGHEST_RATE_HZ // 2 + 1 + TAG_BYTES  # half a second of int16


class SealedAudioError(TussisError):
    """Sealed sound that cannot be written, or that is no such file of this record."""


class DiskFullError(SealedAudioError):
    """A disk that is nearly full: what was recorded is kept, and the recording ends now."""


class SealedAudioWriter:
    """Seals int16 samples to a new file, and brings each block to the disk.

    The file holds a header, then blocks of at most 0.4 s, each under AES-256-GCM with a nonce that counts and marks the
    last block (the STREAM construction). Header and nonces bind each block to its record, its place and its file.

    Parameters
    ----------
    path : Path
        Must not exist.
    key : bytes, 32
        The record's.
    record_id : str
    sample_rate_hz : int, 4,000 to 192,000

    Attributes
    ----------
    n_samples : int
        Samples that were given.
    gaps : tuple of (at_s, lost_s)
    state : str
        "unfinished", and "complete" once `close` brought all to the disk.

    Raises
    ------
    SealedAudioError
        If the file cannot be made, or the disk is nearly full; then there is none.
    """

    def __init__(self, path: Path, key: bytes, record_id: str, sample_rate_hz: int) -> None:
        if not LOWEST_RATE_HZ <= sample_rate_hz <= HIGHEST_RATE_HZ:
            raise SealedAudioError(
                f"The rate is {sample_rate_hz} Hz; expected {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz."
            )
        name = record_id.encode()
        self.path, self.sample_rate_hz = path, sample_rate_hz
        self.n_samples, self.gaps, self.state = 0, (), UNFINISHED
        self._prefix = random_bytes(_PREFIX_BYTES)
        self._header = _FIXED_HEADER.pack(MAGIC, VERSION, sample_rate_hz, len(name)) + name + self._prefix
        self._key = _file_key(key, self._header)
        self._waiting: list[np.ndarray] = []
        self._n_waiting, self._n_blocks = 0, 0
        self._block_samples = int(sample_rate_hz * BLOCK_S)
        self._n_bytes, self._unwritten = len(self._header), []
        self._written_at_s = time.monotonic()
        self._check_space()
        self._file: BinaryIO | None = self._made()

    @property
    def duration_s(self) -> float:
        """Seconds of sound that were given, without the gaps."""
        return self.n_samples / self.sample_rate_hz

    def append(self, samples: np.ndarray) -> None:
        """Take samples, and write the blocks that are full.

        Parameters
        ----------
        samples : ndarray, shape (n_samples,), int16

        Raises
        ------
        DiskFullError
            If the disk is nearly full; all samples were taken, and `close` still fits.
        SealedAudioError
            If the disk takes nothing; the file ends with the last whole block, and the next call tries again.
        """
        if samples.dtype != np.int16 or samples.ndim != 1:
            raise TypeError(f"expected int16 samples in one row, got {samples.dtype} of shape {samples.shape}")
        self._waiting.append(samples.copy())
        self._n_waiting += len(samples)
        self.n_samples += len(samples)
        if self._n_waiting >= self._block_samples:
            self._write_waiting(self._n_waiting - self._n_waiting % self._block_samples)
            self._check_space()

    def mark_gap(self, lost_s: float) -> None:
        """Note that sound was lost after the samples given so far; raises as `append` does."""
        self._write_waiting(self._n_waiting)
        self._seal(_GAP + _GAP_S.pack(lost_s))
        self.gaps += ((self.duration_s, lost_s),)
        self._write()

    def sync_if_due(self) -> None:
        """Write what waits where the last block is older than 0.4 s; raises as `append` does."""
        if self._n_waiting and time.monotonic() - self._written_at_s >= BLOCK_S:
            self._write_waiting(self._n_waiting)

    def close(self) -> None:
        """Write what waits and mark the last block; a file without any sample is removed. May be called twice.

        Raises
        ------
        SealedAudioError
            If the disk takes nothing; the file is closed all the same, unfinished.
        """
        if self._file is None:
            return
        try:
            if self.n_samples == 0:
                self.path.unlink(missing_ok=True)
                return
            self._seal(_plain(*self._waiting), is_last=True)
            self._write()
            self.state = COMPLETE
        finally:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):
                file.close()

    def _made(self) -> BinaryIO:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        except OSError as error:
            raise self._cannot_write(error) from error
        file = os.fdopen(descriptor, "wb", buffering=0)
        try:
            _write_all(file, self._header)
            sync_folder(self.path.parent)
        except (OSError, TussisError) as error:
            file.close()
            with contextlib.suppress(OSError):
                self.path.unlink()
            raise self._cannot_write(error) from error
        return file

    def _write_waiting(self, n_samples: int) -> None:
        samples = np.concatenate([np.empty(0, np.int16), *self._waiting])
        self._waiting, self._n_waiting = [samples[n_samples:]], len(samples) - n_samples
        for start in range(0, n_samples, self._block_samples):
            self._seal(_plain(samples[start : min(start + self._block_samples, n_samples)]))
        self._write()

    def _seal(self, plain: bytes, is_last: bool = False) -> None:
        if self._file is None:
            raise SealedAudioError("The recording ended already.")
        sealed = seal_with_nonce(self._key, _nonce(self._prefix, self._n_blocks, is_last), plain, self._header)
        self._unwritten.append(_FRAME.pack(is_last, len(sealed)) + sealed)
        self._n_blocks += 1

    def _write(self) -> None:
        """Bring the sealed blocks to the disk, each whole; one that fails is tried again as it is, the next time."""
        while self._unwritten and self._file is not None:
            try:
                _write_all(self._file, self._unwritten[0])
            except OSError as error:
                with contextlib.suppress(OSError):
                    self._file.truncate(self._n_bytes)
                    self._file.seek(self._n_bytes)
                raise self._cannot_write(error) from error
            self._n_bytes += len(self._unwritten.pop(0))
            self._written_at_s = time.monotonic()

    def _check_space(self) -> None:
        try:
            free_bytes = shutil.disk_usage(self.path.parent).free
        except OSError:
            return
        if free_bytes < RESERVE_BYTES:
            raise DiskFullError("The disk is nearly full, so nothing more is recorded; what was recorded is kept.")

    def _cannot_write(self, error: Exception) -> SealedAudioError:
        reason = getattr(error, "strerror", None) or error
        return SealedAudioError(f"The recording cannot be written: {reason}; what was recorded before is kept.")


class SealedAudioReader:
    """Reads a file of `SealedAudioWriter`, up to the first block that is not as it was written.

    Parameters
    ----------
    path : Path
    key : bytes, 32
    record_id : str

    Attributes
    ----------
    sample_rate_hz : int
    state : str or None
        After `blocks`: "complete"; "unfinished" where the file ends without its last block, as after a kill; "altered"
        where a block does not open.
    gaps : tuple of (at_s, lost_s)
        After `blocks`: where sound was lost, in seconds of what is there, and how much.
    n_samples : int
        After `blocks`: how many samples were read.

    Raises
    ------
    SealedAudioError
        If the file cannot be read, or is no sealed sound of this record.
    """

    def __init__(self, path: Path, key: bytes, record_id: str) -> None:
        self.path = path
        with self._opened() as file:
            fixed = file.read(_FIXED_HEADER.size)
            rest = file.read(fixed[-1] + _PREFIX_BYTES) if len(fixed) == _FIXED_HEADER.size else b""
        if len(rest) < _PREFIX_BYTES + 1:
            raise SealedAudioError("The recording ends before its first sound.")
        magic, version, self.sample_rate_hz, n_name = _FIXED_HEADER.unpack(fixed)
        is_known = magic == MAGIC and version == VERSION and LOWEST_RATE_HZ <= self.sample_rate_hz <= HIGHEST_RATE_HZ
        if not is_known or rest[:n_name] != record_id.encode():
            raise SealedAudioError("The recording was altered: it does not begin as a recording of this record.")
        self._header, self._prefix = fixed + rest, rest[n_name:]
        self._key = _file_key(key, self._header)
        self._begin()

    @property
    def duration_s(self) -> float:
        """After `blocks`: seconds of sound that were read, without the gaps."""
        return self.n_samples / self.sample_rate_hz

    def blocks(self) -> Iterator[np.ndarray]:
        """The samples in blocks of at most half a second, int16; memory does not grow. May be called again."""
        self._begin()
        with self._opened() as file:
            file.seek(len(self._header))
            number, is_last = 0, False
            while not is_last and (frame := self._frame(file)) is not None:
                is_last, sealed = frame
                try:
                    plain = open_with_nonce(self._key, _nonce(self._prefix, number, is_last), sealed, self._header)
                except SealError:
                    is_torn = not any(sealed[-TAG_BYTES:]) and not _holds_anything(file)
                    self.state = UNFINISHED if is_torn else ALTERED
                    return
                number += 1
                if plain[:1] == _GAP:
                    self.gaps += ((self.duration_s, _GAP_S.unpack(plain[1:])[0]),)
                elif len(plain) > 1:
                    samples = np.frombuffer(plain, "<i2", offset=1).astype(np.int16)
                    self.n_samples += len(samples)
                    yield samples
            if is_last:
                self.state = ALTERED if file.read(1) else COMPLETE

    def read(self) -> np.ndarray:
        """All samples, int16, shape (n_samples,)."""
        return np.concatenate([np.empty(0, np.int16), *self.blocks()])

    def check(self) -> str:
        """Read all and keep nothing; returns `state`."""
        for _ in self.blocks():
            pass
        return self.state

    def _begin(self) -> None:
        self.state: str | None = None
        self.gaps: tuple[tuple[float, float], ...] = ()
        self.n_samples = 0

    def _frame(self, file: BinaryIO) -> tuple[bool, bytes] | None:
        """The next block; None, and the state, where there is no whole one."""
        head = file.read(_FRAME.size)
        flag, n_bytes = _FRAME.unpack(head) if len(head) == _FRAME.size else (0, MAX_BLOCK_BYTES)
        if not any(head):  # the end, or room that the disk gave and a flat battery left empty
            self.state = ALTERED if _holds_anything(file) else UNFINISHED
            return None
        if flag > 1 or not TAG_BYTES < n_bytes <= MAX_BLOCK_BYTES:
            self.state = ALTERED
            return None
        sealed = file.read(n_bytes)
        if len(sealed) < n_bytes:
            self.state = UNFINISHED
            return None
        return bool(flag), sealed

    @contextlib.contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        try:
            with self.path.open("rb") as file:
                yield file
        except OSError as error:
            raise SealedAudioError(f"The recording cannot be read: {error.strerror or error}.") from error


def _file_key(key: bytes, header: bytes) -> bytes:
    return derive_key(key, b"tussis sound 1", salt=header)


def _plain(*samples: np.ndarray) -> bytes:
    return _SAMPLES + b"".join(part.astype("<i2").tobytes() for part in samples)


def _nonce(prefix: bytes, number: int, is_last: bool) -> bytes:
    return prefix + _COUNTER.pack(number, is_last)


def _write_all(file: BinaryIO, content: bytes) -> None:
    while content:
        content = content[file.write(content) :]
    os.fsync(file.fileno())


def _holds_anything(file: BinaryIO) -> bool:
    while content := file.read(1 << 16):
        if any(content):
            return True
    return False
