"""Writes result files whole or not at all, and hashes files."""

import contextlib
import hashlib
import os
import re
import secrets
import stat
from itertools import islice
from pathlib import Path

from core.errors import OutputError, TussisError

try:
    import fcntl
except ImportError:  # Windows has no such locks: what a kill leaves stays there
    fcntl = None

_UNFINISHED_NAME = re.compile(r"\.tussis-[0-9a-f]{16}\.part")
_MOST_LOOKED_AT = 1000  # names in a folder: a look at all of them at each write would take too long


def write_atomically(path: str | Path, content: bytes | str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part of it.

    A temporary file in the same folder is written, synced and renamed over `path`. So a full disk or a kill leaves the
    old file as it was. A symbolic link is followed. A device or pipe (``/dev/stdout``) is written to directly.

    Parameters
    ----------
    path : str or Path
        Its folder has to exist.
    content : bytes or str
        A str is written as UTF-8, with no translation of line ends.

    Raises
    ------
    OutputError
        If the folder does not exist or the file cannot be written there.
    """
    target = _target(path)
    payload = content.encode("utf-8") if isinstance(content, str) else content
    try:
        if _is_special(target):
            target.write_bytes(payload)
        else:
            _replace(target, payload)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error


def check_writable(path: str | Path) -> None:
    """Raise `OutputError` now if a later write to `path` would fail; leaves nothing behind.

    `path` is an existing folder, or a file (existing or not) in an existing folder. A file is really created and
    removed, because permission bits say nothing about read-only mounts or about root.
    """
    target = _resolved(path)
    if target.is_dir():
        _check_folder(target, path)
    elif not _is_special(_target(path)):
        _check_folder(target.parent, path)
    elif not os.access(target, os.W_OK):
        raise OutputError(f"{path} cannot be written: permission denied.")


def encodable(text: str) -> str:
    """The text with escapes for what UTF-8 cannot hold, as a file name may."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where there is none; `OutputError` where a file cannot be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {error.strerror or error}.") from error
    check_writable(folder)


def sha256_of_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes as 64 lower-case hexadecimal digits, read in pieces; TussisError if unreadable."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TussisError(f"{path} cannot be read: {error.strerror or error}.") from error


def _resolved(path: str | Path) -> Path:
    """`path` with its links resolved; OutputError where no file can have that name."""
    try:
        resolved = Path(path).resolve()
        resolved.exists()  # where a name too long shows itself
    except (OSError, ValueError, RuntimeError) as error:  # null bytes and loops of links end up here too
        raise OutputError(f"{str(path)!r} is not a usable file name: {error}.") from error
    return resolved


def _target(path: str | Path) -> Path:
    """The file to write, links resolved; OutputError where it is a folder or has none to lie in."""
    target = _resolved(path)
    if target.is_dir():
        raise OutputError(f"{path} is a folder; the name of a file to write is expected.")
    if not target.parent.is_dir():
        raise OutputError(f"{path} cannot be written: there is no folder {Path(path).parent}.")
    return target


def _is_special(target: Path) -> bool:
    """Whether `target` exists and is a device, pipe or socket, which cannot be replaced by a rename."""
    return target.exists() and not target.is_file()


def _temporary_beside(folder: Path) -> tuple[int, Path]:
    """An open file descriptor of a new, empty file in `folder`, with the permissions an ordinary file would get.

    It is locked while it is open, and what a killed process left without a lock is removed.
    """
    _remove_litter(folder)
    while True:
        temporary = folder / f".tussis-{secrets.token_hex(8)}.part"
        mode = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        descriptor = os.open(temporary, mode, 0o666)
        if _is_ours(descriptor) and temporary.exists():
            return descriptor, temporary
        os.close(descriptor)


def _is_ours(descriptor: int) -> bool:
    """Lock a new file; False where another process just took it for litter."""
    try:
        _lock(descriptor)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks, on which nothing is removed either
        pass
    return True


def _remove_litter(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for path in islice(folder.iterdir(), _MOST_LOOKED_AT if fcntl else 0):
            if _UNFINISHED_NAME.fullmatch(path.name) and path.is_file():
                _remove_unlocked(path)


def _remove_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(BlockingIOError):
            _lock(descriptor)
            path.unlink()
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock an open file until it is closed; OSError where another process holds it."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _replace(target: Path, payload: bytes) -> None:
    descriptor, temporary = _temporary_beside(target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            if fcntl is None:  # Windows renames no open file
                file.close()
            os.replace(temporary, target)  # noqa: PTH105  (the call whose atomicity the standard library documents)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _check_folder(folder: Path, path: str | Path) -> None:
    try:
        descriptor, temporary = _temporary_beside(folder)
        os.close(descriptor)
        temporary.unlink()
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
