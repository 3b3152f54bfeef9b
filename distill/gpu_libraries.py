"""The only place that lends a Python without a network the few libraries that it lacks, from wheels packed for it."""

import importlib.metadata
import json
import re
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

from core.errors import DataError

CORPUS_FOLDER, LIBRARIES_FOLDER = "corpus", "libraries"  # of a pack
UNPACKED_MARK = "complete.json"


def lend_libraries(packed: Path, unpacked: Path) -> list[str]:
    """Unpack the wheels in `packed` below `unpacked`, once, and let this Python import from them what it lacks.

    A library that Python has itself is left alone unless it is older than the packed one, which then comes first.

    Returns
    -------
    list of str
        The wheels that are used.

    Raises
    ------
    DataError
        If a wheel is damaged, or made for another Python or machine.
    """
    used = []
    for wheel in sorted(packed.glob("*.whl")):
        name, version = wheel.name.split("-")[:2]
        if not _is_older(_installed_version(name), version):
            continue
        folder = unpacked / wheel.stem
        _unpack(wheel, folder)
        sys.path.insert(1, str(folder))
        used.append(wheel.name)
    importlib.invalidate_caches()
    return used


def _installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_older(installed: str | None, packed: str) -> bool:
    return installed is None or _numbers(installed) < _numbers(packed)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version.split("+")[0])]


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
