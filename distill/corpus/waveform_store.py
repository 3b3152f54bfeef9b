"""Decodes a corpus once and keeps it as one memory-mapped file of int16 samples at 16 kHz."""

import hashlib
import warnings
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.progress import track

from core.audio import SAMPLE_RATE_HZ, read_waveform
from core.errors import DataError, OutputError, one_line
from core.files import check_replaceable
from distill.corpus.arrays import read_npy
from distill.corpus.manifests import ManifestRow, manifest_kind, read_manifest, without_packs, write_manifest
from distill.corpus.tables import remark
from distill.folders import locked

if TYPE_CHECKING:
    from torch import Tensor

SAMPLES_FILE = "waveforms.i16"
OFFSETS_FILE = "offsets.npy"
MANIFEST_FILE = "manifest.csv"
FULL_SCALE = 32_768
_LOOKED_AT_SAMPLES = 16  # of each recording, for a store's fingerprint


class WaveformStore:
    """Recordings of a manifest as int16 views at 16 kHz.

    ``rows`` are the manifest's rows, in order; ``waveform(i)`` is row i as int16, without a copy, and ``sound(i)`` the
    same as float32.
    """

    def __init__(self, rows: list[ManifestRow], samples: np.ndarray, offsets: np.ndarray):
        self.rows = self._stored_rows = rows
        self._samples = samples
        self._offsets = offsets

    def waveform(self, index: int) -> np.ndarray:
        """Return recording `index`, int16, shape (n_samples,)."""
        return self._samples[self._offsets[index] : self._offsets[index + 1]]

    def sound(self, index: int) -> np.ndarray:
        """Return recording `index`, float32 in [-1, 1), shape (n_samples,)."""
        return as_float(self.waveform(index))

    def tensors(self) -> "tuple[Tensor, Tensor]":
        """Return all recordings one after the other, int16, without a copy, and where each begins, (n_rows + 1,)."""
        import torch

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nobody writes to it
            return torch.from_numpy(self._samples), torch.from_numpy(self._offsets)

    def without_packs(self, packs: Collection[str]) -> "WaveformStore":
        """Return the store with the roles that `manifests.without_packs` gives; the fingerprint stays."""
        store = WaveformStore(self.rows, self._samples, self._offsets)
        store.rows = without_packs(self.rows, packs)
        return store

    @property
    def hours(self) -> float:
        """Length of all recordings together."""
        return self._offsets[-1] / SAMPLE_RATE_HZ / 3600

    def indices(self, role: str) -> list[int]:
        """Return the positions of the rows with `role`."""
        return [index for index, row in enumerate(self.rows) if row.role == role]

    @classmethod
    def build(cls, manifest: list[ManifestRow], data_root: Path, folder: Path) -> "WaveformStore":
        """Decode every recording of `manifest` into `folder`; the manifest is written last and marks completeness."""
        with locked(folder):
            clear_store(folder)
            with written_store(folder):
                offsets = _decode_all(manifest, data_root, folder / SAMPLES_FILE)
                np.save(folder / OFFSETS_FILE, offsets)
                write_manifest(manifest, folder / MANIFEST_FILE)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> "WaveformStore":
        """Map the store in `folder`; an unfinished or altered one raises `DataError`."""
        if not (folder / MANIFEST_FILE).exists():
            raise DataError(f"{folder} holds no finished waveform store: run tussis-corpus store")
        rows = read_manifest(folder / MANIFEST_FILE)
        offsets = read_npy(folder / OFFSETS_FILE, "does not hold the offsets of a waveform store")
        try:
            samples = np.memmap(folder / SAMPLES_FILE, dtype=np.int16, mode="r")
        except (OSError, ValueError) as error:
            raise DataError(f"{folder / SAMPLES_FILE} cannot be read: {one_line(error)}") from error
        if offsets.dtype.kind not in "iu" or offsets.shape != (len(rows) + 1,) or offsets[-1] != len(samples):
            raise DataError(f"{folder} does not fit its manifest of {len(rows)} recordings: build it again")
        if offsets[0] != 0 or (offsets[1:] <= offsets[:-1]).any():
            raise DataError(
                f"{folder / OFFSETS_FILE} is damaged: a recording would have no samples; build the store again"
            )
        return cls(rows, samples, offsets)

    def fingerprint(self) -> str:
        """SHA-256 of the rows, the offsets and a few samples of each recording, which other recordings do not share."""
        starts, lengths = self._offsets[:-1, None], np.diff(self._offsets)[:, None]
        looked_at = starts + lengths * np.arange(_LOOKED_AT_SAMPLES) // _LOOKED_AT_SAMPLES
        digest = hashlib.sha256(repr(self._stored_rows).encode())
        digest.update(self._offsets.astype("<i8").tobytes())
        digest.update(self._samples[looked_at].astype("<i2").tobytes())
        return digest.hexdigest()


def clear_store(folder: Path) -> None:
    """Remove the files of a store; whoever has mapped them keeps them. OutputError where a pack lies there."""
    if (folder / MANIFEST_FILE).exists() and not (folder / OFFSETS_FILE).exists():
        raise OutputError(f"{folder} holds a {MANIFEST_FILE} that is not of a waveform store; choose another folder")
    check_replaceable(folder / MANIFEST_FILE, manifest_kind())
    for name in (MANIFEST_FILE, SAMPLES_FILE, OFFSETS_FILE):
        (folder / name).unlink(missing_ok=True)


@contextmanager
def written_store(folder: Path) -> Iterator[None]:
    """Leave a whole store or none; OutputError where it cannot be written, on a full disk say."""
    try:
        yield
    except BaseException as error:
        with suppress(OSError):
            clear_store(folder)
        if isinstance(error, OSError):
            raise OutputError(f"{folder} cannot be written: {error.strerror or error}.") from error
        raise


def _decode_all(manifest: list[ManifestRow], data_root: Path, path: Path) -> np.ndarray:
    """Decode the recordings into one file; returns where each begins, and the end."""
    lengths, first, leaks = [], {}, []
    with path.open("wb") as file, ThreadPoolExecutor(2) as pool:
        decoded = pool.map(lambda row: read_int16(data_root / row.path), manifest)
        for row, samples in zip(manifest, track(decoded, description="decoding", total=len(manifest)), strict=True):
            if not len(samples):
                raise DataError(f"{data_root / row.path} has no samples: leave it out of the manifest")
            if samples.any():
                same = first.setdefault(hashlib.sha256(samples).digest(), row)
                leaks += [f"{same.path} ({same.role}) and {row.path} ({row.role})"] * _is_leak(same, row)
            file.write(samples.tobytes())
            lengths.append(len(samples))
    if leaks:
        remark(path.parent, f"{len(leaks)} recordings are the same sound on two sides of a split ({leaks[0]})")
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _is_leak(one: ManifestRow, other: ManifestRow) -> bool:
    """Whether two rows of the same sound are on two sides of a split."""
    return one.role != other.role and "augment" not in (one.role, other.role)


def as_float(samples: np.ndarray) -> np.ndarray:
    """Return int16 samples as float32 in [-1, 1)."""
    return samples.astype(np.float32) / FULL_SCALE


def read_int16(path: Path) -> np.ndarray:
    """Read a recording as int16 at 16 kHz, shape (n,)."""
    return to_int16(read_waveform(path))


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """Return float samples in [-1, 1] as int16: rounded, then saturated."""
    return np.clip(np.rint(waveform * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
