"""Writes result files whole or not at all, and hashes files."""

import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path

from core.errors import OutputError, TussisError


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
    """An open file descriptor of a new, empty file in `folder`, with the permissions an ordinary file would get."""
    temporary = folder / f".tussis-{secrets.token_hex(8)}.part"
    return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), temporary


def _replace(target: Path, payload: bytes) -> None:
    descriptor, temporary = _temporary_beside(target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
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
