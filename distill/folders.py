"""Holds a folder for one writing process at a time, and removes drafts that a kill left."""

import ctypes
import errno
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.errors import OutputError

_HERE, _RENAME_EXCHANGE = -100, 2  # of Linux: AT_FDCWD and a flag of renameat2(2)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder and hold it; OutputError where it cannot be written or another process holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}.") from error
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def draft_beside(out: Path) -> Iterator[Path]:
    """A new folder beside `out`, held and in the end removed; those of its kind that a killed process left go first."""
    prefix = f".{out.name}-"
    for litter in out.parent.glob(f"{glob.escape(prefix)}????????"):
        with suppress(OutputError), locked(litter):
            shutil.rmtree(litter, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=prefix) as folder, locked(Path(folder)):
        yield Path(folder)


def exchange(one: Path, other: Path) -> None:
    """Let two folders change places: at once where the system can, so that a kill finds one or the other there."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None:
        if renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _RENAME_EXCHANGE) == 0:
            return
        if (number := ctypes.get_errno()) not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise OSError(number, os.strerror(number), str(other))
    aside = one.with_name(f"{one.name}.aside")
    other.rename(aside)
    try:
        one.rename(other)
    except OSError:
        aside.rename(other)
        raise
    aside.rename(one)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(f"{folder} is being written by another process; wait for it to end.") from error
    except OSError as error:
        raise OutputError(f"{folder} cannot be locked: {error.strerror or error}.") from error
