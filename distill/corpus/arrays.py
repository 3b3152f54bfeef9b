"""Reads arrays from .npy and .npz files, and refuses a file that claims more than it holds."""

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from core.errors import DataError, one_line

_MAX_DEFLATION = 1032  # bytes that one byte of deflated data can become


def read_npy(path: Path, what: str) -> np.ndarray:
    """Read a .npy file without pickled objects; `DataError` says "PATH `what`: why"."""
    try:
        with path.open("rb") as file:
            return _read_array(file, path.stat().st_size)
    except Exception as error:  # numpy raises a dozen types for a damaged file, from TokenError to MemoryError
        raise _other_file(path, what, error) from error


def read_npz(path: Path, names: Sequence[str] | None, what: str, optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Read arrays of a .npz file without pickled objects; `DataError` says "PATH `what`: why".

    Without `names` all of them are read. One of `optional` is left out where the file has none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            held = [name.removesuffix(".npy") for name in archive.namelist()]
            wanted = held if names is None else [*names, *(name for name in optional if name in held)]
            return {name: _read_member(archive, f"{name}.npy", path) for name in wanted}
    except Exception as error:  # as above, and zipfile and zlib have their own
        raise _other_file(path, what, error) from error


def _read_member(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    member = archive.getinfo(name)
    most = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: _MAX_DEFLATION}
    if member.compress_type not in most:
        raise ValueError(f"{name} is compressed in a way that numpy does not know")
    with archive.open(member) as file:
        return _read_array(file, min(member.file_size, most[member.compress_type] * path.stat().st_size))


def _read_array(file: BinaryIO, size_bytes: int) -> np.ndarray:
    """Read an array, once its header is seen to claim no more than `size_bytes`."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"the version {version} of the format is not known")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if math.prod(shape) * dtype.itemsize > size_bytes - file.tell():
        raise ValueError(f"it claims {math.prod(shape)} values and holds {size_bytes} bytes")
    file.seek(0)
    array = npy.read_array(file, allow_pickle=False)
    if file.read(1):  # at its end a zip's member is checked, too
        raise ValueError("it goes on after its values")
    return array


def _other_file(path: Path, what: str, error: Exception) -> DataError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
    return DataError(f"{path} {what}: {reason}")
