"""Writes result files whole or not at all, over nothing but results of the same kind, and hashes files."""

import contextlib
import hashlib
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from core.errors import OutputError, TussisError

STANDARD_OUTPUT = "-"
HEAD_BYTES = 4096
ONNX_KIND, SCREEN_KIND = "an ONNX model", "a result of tussis-screen"
_JSON_SCHEMA = re.compile(rb'\s*\{\s*"(?:schema|format)"\s*:\s*"(tussis\.[a-z_-]+)/')
_JSON_KEY = re.compile(rb'\s*\{\s*"([^"\\]{1,80})"\s*:')
_ZIP_MEMBER = re.compile(rb"PK\x03\x04.{22}(.{2})", re.DOTALL)
_TEXT_BEGINNING = re.compile(rb"(\w+(?:,\w+)+|# [^\r\n]+|<\?xml [^\r\n]+)\r?\n")
_PAGE_TITLE = re.compile(rb"<!doctype html>.*?<title>([^<]*)</title>", re.DOTALL)

try:
    import fcntl
except ImportError:  # Windows has no such locks: what a kill leaves stays there
    fcntl = None

_UNFINISHED_NAME = re.compile(r"\.tussis-[0-9a-f]{16}\.part")
_MOST_LOOKED_AT = 1000  # names in a folder: a look at all of them at each write would take too long


def kind_of(content: bytes) -> str | None:
    """What kind of result a file is that begins so; None for a recording and everything else that is not ours.

    JSON tells its schema or its first key, a table its columns, a page or picture its beginning. Two files of one kind
    may replace each other.
    """
    head = content[:HEAD_BYTES]
    if found := _JSON_SCHEMA.match(head):
        return SCREEN_KIND if found[1] in (b"tussis.screening", b"tussis.monitoring") else found[1].decode()
    if found := _JSON_KEY.match(head):
        return f"JSON that begins with {found[1].decode(errors='replace')}"
    if head[4:8] == b"TFL3":
        return "a TFLite model"
    if head[:1] == b"\x08" and b"pytorch" in head[:64]:
        return ONNX_KIND
    if head.startswith(b"\x89PNG"):
        return f"a picture of {int.from_bytes(head[16:20], 'big')} x {int.from_bytes(head[20:24], 'big')}"
    if found := _ZIP_MEMBER.match(head):
        name = head[30 : 30 + int.from_bytes(found[1], "little")].decode(errors="replace")
        return f"a zip of {name.rpartition('/')[2]}"
    head = head.lstrip()
    if found := _PAGE_TITLE.match(head):
        return f"a page titled {found[1].rpartition(b': ')[2].decode(errors='replace')}"
    found = _TEXT_BEGINNING.match(head)
    return f"a text that begins with {found[1].decode(errors='replace')}" if found else None


def check_replaceable(path: str | Path, kind: str | None) -> None:
    """Raise `OutputError` where a file stands at `path` that is not empty and not of this kind (see `kind_of`)."""
    target = _resolved(path)
    if not target.is_file():
        return
    try:
        with target.open("rb") as file:
            present = file.read(HEAD_BYTES)
    except OSError as error:
        raise OutputError(f"{path} cannot be replaced: {error.strerror or error}.") from error
    if present and (kind is None or kind_of(present) != kind):
        raise OutputError(f"{path} exists and is not a result of this command; it is left as it is.")


def write_atomically(path: str | Path, content: bytes | str, *, replaces_any: bool = False) -> None:
    """Write a file so that a reader sees the old content or the new, never a part of it.

    A temporary file in the same folder is written, synced and renamed over `path`. So a full disk or a kill leaves the
    old file as it was. A symbolic link is followed. A device or pipe (``/dev/stdout``) is written to directly, and
    ``-`` is standard output.

    Parameters
    ----------
    path : str or Path
        Its folder has to exist.
    content : bytes or str
        A str is written as UTF-8, with no translation of line ends.
    replaces_any : bool
        Whether a file may be replaced that is of another kind than `content`, where that has one (see `kind_of`).

    Raises
    ------
    OutputError
        If the folder does not exist, the file cannot be written there, or one of another kind stands there.
    """
    payload = content.encode("utf-8") if isinstance(content, str) else content
    if is_standard_output(path):
        _print(payload)
        return
    target = _target(path)
    if (kind := kind_of(payload)) is not None and not replaces_any:
        check_replaceable(path, kind)
    try:
        if _is_special(target):
            target.write_bytes(payload)
        else:
            _replace(target, payload)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A new file to write and read, which takes the place of `target` where the block ends well, and else goes away."""
    descriptor, temporary = _temporary_beside(target.parent)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
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


def check_writable(path: str | Path, kind: str | None = None) -> None:
    """Raise `OutputError` now if a later write to `path` would fail; leaves nothing behind.

    `path` is an existing folder, or a file (existing or not) in an existing folder. A file is really created and
    removed, because permission bits say nothing about read-only mounts or about root. With the `kind` of what will be
    written, a file of another kind is refused too.
    """
    if is_standard_output(path):
        return
    target = _resolved(path)
    if kind is not None:
        check_replaceable(path, kind)
    if target.is_dir():
        _check_folder(target, path)
    elif not _is_special(_target(path)):
        _check_folder(target.parent, path)
    elif not os.access(target, os.W_OK):
        raise OutputError(f"{path} cannot be written: permission denied.")


def append_synced(path: Path, content: bytes) -> None:
    """Append to a file that grows, all of `content` or nothing of it, and sync it; raises `OutputError`."""
    try:
        with path.open("ab", buffering=0) as file:
            before_bytes = file.tell()
            try:
                while content:
                    content = content[file.write(content) :]
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(file.fileno(), before_bytes)
                if before_bytes == 0:
                    path.unlink()
                raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error


def is_standard_output(path: str | Path) -> bool:
    """Whether `path` stands for standard output: ``-``."""
    return str(path) == STANDARD_OUTPUT


def refuse_same(output: str | Path, inputs: Iterable[str | Path], what: str) -> None:
    """Raise `OutputError` where `output` is, by whatever name or link, a file that is read; `what` says which."""
    for path in inputs:
        with contextlib.suppress(OSError, ValueError):
            if not is_standard_output(output) and Path(output).samefile(path):
                raise OutputError(f"{output} is {what}.")


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


def _print(payload: bytes) -> None:
    """Write to standard output; OutputError where it takes nothing, since it is what was asked for."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(payload)
        sys.stdout.buffer.flush()
    except (OSError, ValueError, AttributeError) as error:  # AttributeError: it was closed when we were started
        raise OutputError(f"standard output cannot be written: {getattr(error, 'strerror', None) or error}.") from error


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
        mode = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
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
    with replacing(target) as file:
        file.write(payload)


def _check_folder(folder: Path, path: str | Path) -> None:
    try:
        descriptor, temporary = _temporary_beside(folder)
        os.close(descriptor)
        temporary.unlink()
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
