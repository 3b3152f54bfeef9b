"""Lends a Python without a network the libraries that it may lack, from wheels packed for it."""

import importlib
import json
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

from core.errors import DataError
from core.files import sha256_of_file, write_atomically

CORPUS_FOLDER, LIBRARIES_FOLDER = "corpus", "libraries"  # of a pack
HASHES_FILE = "wheels.sha256"
UNPACKED_MARK = "complete.json"


def lend_libraries(packed: Path, unpacked: Path) -> list[str]:
    """Unpack the wheels in `packed` below `unpacked`, once, and let this Python import them before its own.

    All of them, also where Python has some itself: they were tested with one another. Half of a pair such as pydantic
    and pydantic-core would not fit another half.

    Returns
    -------
    list of str
        The wheels.

    Raises
    ------
    DataError
        If a wheel is damaged, is not the one that was packed, or is made for another Python.
    """
    wheels, sha256s = sorted(packed.glob("*.whl")), _read_hashes(packed)
    for wheel in wheels:
        if sha256s.get(wheel.name) != sha256_of_file(wheel):
            raise DataError(f"{wheel} is not the wheel that {HASHES_FILE} names: pack it again with make gpu-pack.")
        folder = unpacked / wheel.stem
        _unpack(wheel, folder)
        sys.path.insert(1, str(folder))
    importlib.invalidate_caches()
    return [wheel.name for wheel in wheels]


def write_hashes(packed: Path) -> None:
    """Write the SHA-256 of each wheel beside the wheels, as sha256sum does."""
    lines = [f"{sha256_of_file(wheel)}  {wheel.name}\n" for wheel in sorted(packed.glob("*.whl"))]
    write_atomically(packed / HASHES_FILE, "".join(lines))


def _read_hashes(packed: Path) -> dict[str, str]:
    path = packed / HASHES_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: pack it again with make gpu-pack.") from error
    return {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}


def _unpack(wheel: Path, folder: Path) -> None:
    mark = folder / UNPACKED_MARK
    if mark.exists():
        return
    check_fits(wheel, sys.version_info[:2])
    try:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        mark.write_text(json.dumps({"wheel": wheel.name}), encoding="utf-8")
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{wheel} cannot be unpacked ({error}): pack it again with make gpu-pack.") from error


def check_fits(wheel: Path, python: Iterable[int]) -> None:
    """Refuse a wheel that holds compiled code of another Python than `python`, for instance (3, 12)."""
    tags, abi = wheel.stem.split("-")[-3:-1]
    digits = "".join(map(str, python))
    if abi in ("none", "abi3") or f"cp{digits}" in tags.split("."):
        return
    wanted = ".".join(map(str, python))
    raise DataError(f"{wheel.name} is made for {tags}, not for Python {wanted}: pack with GPU_PYTHON={wanted}.")
