"""Decodes a corpus once and keeps it as one memory-mapped file of int16 samples at 16 kHz."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.progress import track

from core.audio import SAMPLE_RATE_HZ, read_waveform
from core.errors import DataError
from core.files import check_replaceable, make_folder
from distill.corpus.manifests import ManifestRow, manifest_kind, read_manifest, write_manifest

if TYPE_CHECKING:
    from torch import Tensor

SAMPLES_FILE = "waveforms.i16"
OFFSETS_FILE = "offsets.npy"
MANIFEST_FILE = "manifest.csv"
FULL_SCALE = 32_768


class WaveformStore:
    """Recordings of a manifest as int16 views at 16 kHz.

    ``rows`` are the manifest's rows, in order; ``waveform(i)`` is row i as int16, without a copy, and ``sound(i)`` the
    same as float32.
    """

    def __init__(self, rows: list[ManifestRow], samples: np.ndarray, offsets: np.ndarray):
        self.rows = rows
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
        make_folder(folder)
        check_store_folder(folder)
        (folder / MANIFEST_FILE).unlink(missing_ok=True)
        lengths = []
        with (folder / SAMPLES_FILE).open("wb") as file, ThreadPoolExecutor(2) as pool:
            decoded = pool.map(lambda row: read_int16(data_root / row.path), manifest)
            for samples in track(decoded, description="decoding", total=len(manifest)):
                file.write(samples.tobytes())
                lengths.append(len(samples))
        np.save(folder / OFFSETS_FILE, np.concatenate([[0], np.cumsum(lengths)]))
        write_manifest(manifest, folder / MANIFEST_FILE)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> "WaveformStore":
        """Map the store in `folder`; an unfinished or altered one raises `DataError`."""
        if not (folder / MANIFEST_FILE).exists():
            raise DataError(f"{folder} holds no finished waveform store: run tussis-corpus store")
        rows = read_manifest(folder / MANIFEST_FILE)
        offsets = np.load(folder / OFFSETS_FILE, allow_pickle=False)
        samples = np.memmap(folder / SAMPLES_FILE, dtype=np.int16, mode="r")
        if len(offsets) != len(rows) + 1 or offsets[-1] != len(samples):
            raise DataError(f"{folder} does not fit its manifest of {len(rows)} recordings: build it again")
        return cls(rows, samples, offsets)


def check_store_folder(folder: Path) -> None:
    """Raise `OutputError` where a folder holds another manifest than a store's, a pack's for instance."""
    check_replaceable(folder / MANIFEST_FILE, manifest_kind())


def as_float(samples: np.ndarray) -> np.ndarray:
    """Return int16 samples as float32 in [-1, 1)."""
    return samples.astype(np.float32) / FULL_SCALE


def read_int16(path: Path) -> np.ndarray:
    """Read a recording as int16 at 16 kHz, shape (n,)."""
    return to_int16(read_waveform(path))


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """Return float samples in [-1, 1] as int16: rounded, then saturated."""
    return np.clip(np.rint(waveform * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
