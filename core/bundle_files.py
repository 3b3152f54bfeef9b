"""Reads the files of a bundle or a study from a folder or a zip, and writes such zips."""

import hashlib
import io
import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from core.errors import BundleError, one_line
from core.json_fields import shorten

BUNDLE_FILE = "bundle.json"
SIGNATURE_FILE = "SIGNATURE"
UNLISTED = frozenset({BUNDLE_FILE, SIGNATURE_FILE})
"""The files that a bundle may hold and bundle.json does not list."""
MAX_FILE_BYTES = 64 * 2**20
MAX_FILES = 1000
PIECE_BYTES = 2**20

ARCHIVE_SUFFIX = ".tussis"
MAX_ARCHIVE_BYTES = 256 * 2**20
MAX_DIRECTORY_BYTES = 2**20
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
WRITTEN_AT = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can state
PERMISSIONS = stat.S_IFREG | 0o644
UNIX = 3

FORBIDDEN = frozenset('\\:<>"|?*')
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3]) *(\.|$)", re.IGNORECASE)

# The end of a zip and what may stand before it, section 4.3 of PKWARE's APPNOTE.
END, ZIP64_LOCATOR = b"PK\5\6", b"PK\6\7"
END_BYTES, ZIP64_LOCATOR_BYTES, MAX_COMMENT_BYTES = 22, 20, 65_535
DIRECTORY_SIZE_AT = 12
ENCRYPTED = 0x1 | 0x40 | 0x2000

ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError),
    *(ValueError, RuntimeError, OverflowError, IndexError),  # from damaged names, times, offsets and methods
)


class BundleFiles(ABC):
    """The files of one bundle, by their paths inside it with /; every error is a BundleError that names the file.

    A folder and a .tussis file are read through this, so that nothing else has to know which of them a bundle is.
    `main_file` is the one that lists the others with their SHA-256; a study's has another name.
    """

    def __init__(self, path: Path, main_file: str = BUNDLE_FILE):
        self.path, self.main_file = path, main_file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Close what was opened."""
        self.close()

    def close(self) -> None:  # noqa: B027  (a folder has nothing to close)
        """Let go of the bundle."""

    @abstractmethod
    def holds(self, relative: str) -> bool:
        """Whether there is such a file."""

    @abstractmethod
    def refuse_unlisted(self, listed: Collection[str]) -> None:
        """Raise where there is a file that nobody vouched for: neither in `listed` nor in `UNLISTED`."""

    @abstractmethod
    def opened(self, relative: str, at_most_bytes: int) -> AbstractContextManager[BinaryIO]:
        """The file, to be read to its end; what goes wrong meanwhile becomes a BundleError."""

    def read(self, relative: str, at_most_bytes: int = MAX_FILE_BYTES) -> bytes:
        """A file's content."""
        with self.opened(relative, at_most_bytes) as file:
            return file.read()

    def read_checked(self, relative: str, sha256: str, at_most_bytes: int = MAX_FILE_BYTES) -> bytes:
        """A file's content, whose SHA-256 has to be the given one."""
        content = self.read(relative, at_most_bytes)
        self._compare(relative, hashlib.sha256(content).hexdigest(), sha256)
        return content

    def check(self, relative: str, sha256: str) -> None:
        """Compare a file's SHA-256 with the given one, without holding more than a piece of the file."""
        digest = hashlib.sha256()
        with self.opened(relative, MAX_FILE_BYTES) as file:
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
        self._compare(relative, digest.hexdigest(), sha256)

    def _compare(self, relative: str, actual: str, expected: str) -> None:
        if actual != expected:
            digests = f"its SHA-256 is {actual[:12]}... and {self.main_file} says {expected[:12]}..."
            raise BundleError(f"{self.path / relative} was altered: {digests}.")


class FolderFiles(BundleFiles):
    """The files of a bundle folder; files that are not listed are never read, and unlisted probes are refused."""

    def holds(self, relative: str) -> bool:
        """Whether there is such a file, or a link of that name."""
        path = self.path / relative
        return path.is_symlink() or path.exists()

    def refuse_unlisted(self, listed: Collection[str]) -> None:
        """Raise where the folder ``probes`` holds anything that is not listed."""
        probes = self.path / "probes"
        try:
            names = sorted(path.name for path in probes.iterdir()) if probes.exists() else []
        except OSError as reason:
            raise BundleError(f"{probes} cannot be read: {reason.strerror}.") from reason
        for name in names:
            if f"probes/{name}" not in listed:
                raise BundleError(f"{probes / name} is not listed in {self.main_file}.")

    @contextmanager
    def opened(self, relative: str, at_most_bytes: int) -> Iterator[BinaryIO]:
        """The file, open; a link may not lead out of the folder."""
        path = self.path / relative
        try:
            if not path.resolve().is_relative_to(self.path.resolve()):
                raise BundleError(f"{path} leads out of the bundle through a link.")
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"{path} is not a regular file.")
            check_size(path, status.st_size, at_most_bytes)
            with path.open("rb") as file:
                yield file
        except FileNotFoundError as reason:
            raise BundleError(f"{path} is missing.") from reason
        except (OSError, RuntimeError, ValueError) as reason:
            raise BundleError(f"{path} cannot be read: {reason}.") from reason


class ArchiveFiles(BundleFiles):
    """The files of a .tussis file, read without unpacking it; all of it that is not a plain listed file is refused.

    Parameters
    ----------
    path : Path
        A regular file.
    main_file : str
        The file that lists the others.

    Raises
    ------
    BundleError
        If it is no zip, holds a name twice, a link, an encrypted file or an unsafe path, or is too large.
    """

    def __init__(self, path: Path, main_file: str = BUNDLE_FILE):
        super().__init__(path, main_file)
        try:
            self._file = path.open("rb")
        except OSError as reason:
            raise BundleError(f"{path} cannot be read: {reason.strerror}.") from reason
        try:
            _check_directory(self._file, path)
            self._archive = zipfile.ZipFile(self._file)
            self._members = _members(self._archive.infolist(), path)
        except ZIP_ERRORS as reason:
            self.close()
            expected = "expected a folder or a zip"
            raise BundleError(f"{path} is not a folder and not a zip ({one_line(reason)}); {expected}.") from reason
        except BundleError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def holds(self, relative: str) -> bool:
        """Whether there is such a file."""
        return relative in self._members

    def refuse_unlisted(self, listed: Collection[str]) -> None:
        """Raise where there is any file that is not listed, or a folder without a listed file."""
        for name in self._members:
            within = name if name.endswith("/") else None
            if within and any(path.startswith(within) for path in listed):
                continue
            if name not in listed and name not in (self.main_file, SIGNATURE_FILE):
                raise BundleError(f"{self.path / name} is not listed in {self.main_file}.")

    @contextmanager
    def opened(self, relative: str, at_most_bytes: int) -> Iterator[BinaryIO]:
        """The file, open; it may give neither more nor fewer bytes than the archive's directory says."""
        path, info = self.path / relative, self._members.get(relative)
        if info is None:
            raise BundleError(f"{path} is missing.")
        check_size(path, info.file_size, at_most_bytes)
        try:
            with self._archive.open(info) as file:
                yield file
                if file.tell() != info.file_size:
                    states = f"the archive's directory says {info.file_size}"
                    raise BundleError(f"{path} has {file.tell()} bytes and {states}.")
        except ZIP_ERRORS as reason:
            raise BundleError(f"{path} cannot be read from the archive ({one_line(reason)}).") from reason


def _check_directory(file: BinaryIO, path: Path) -> None:
    """Bound the directory before zipfile reads all of it into memory."""
    size_bytes = file.seek(0, os.SEEK_END)
    check_size(path, size_bytes, MAX_ARCHIVE_BYTES)
    file.seek(max(0, size_bytes - END_BYTES - MAX_COMMENT_BYTES - ZIP64_LOCATOR_BYTES))
    tail = file.read()
    end = tail.rfind(END)
    if end < 0 or len(tail) - end < END_BYTES:
        raise zipfile.BadZipFile("it does not end as a zip does")
    if len(tail) - end > END_BYTES:
        raise BundleError(f"{path} holds something after the zip; expected a zip and nothing else.")
    if tail[max(0, end - ZIP64_LOCATOR_BYTES) : end].startswith(ZIP64_LOCATOR):
        raise zipfile.BadZipFile("it is in the zip64 form, which no bundle needs")
    (directory_bytes,) = struct.unpack_from("<I", tail, end + DIRECTORY_SIZE_AT)
    if directory_bytes > MAX_DIRECTORY_BYTES:
        raise zipfile.BadZipFile(f"its directory has {directory_bytes} bytes; expected at most {MAX_DIRECTORY_BYTES}")


def _members(infos: list[zipfile.ZipInfo], path: Path) -> dict[str, zipfile.ZipInfo]:
    if len(infos) > MAX_FILES + len(UNLISTED):
        raise BundleError(f"{path} holds {len(infos)} files; expected at most {MAX_FILES + len(UNLISTED)}.")
    for name, count in Counter(info.orig_filename for info in infos).items():
        if not is_safe_path(name.removesuffix("/")):
            expected = "expected a path inside the bundle, such as probes/tb.json"
            raise BundleError(f"{path} holds the file {shorten(name)}; {expected}.")
        if count > 1:
            raise BundleError(f"{path / name} stands {count} times in the archive.")
    for info in infos:
        _check_member(info, path / info.orig_filename)
    if infos and min(info.header_offset for info in infos) != 0:
        raise BundleError(f"{path} holds something before the zip; expected a zip and nothing else.")
    total_bytes = sum(info.file_size for info in infos)
    if total_bytes > MAX_ARCHIVE_BYTES:
        raise BundleError(f"{path} unpacks to {total_bytes} bytes; expected at most {MAX_ARCHIVE_BYTES}.")
    return {info.orig_filename: info for info in infos}


def _check_member(info: zipfile.ZipInfo, path: Path) -> None:
    kind, is_folder = stat.S_IFMT(info.external_attr >> 16), info.orig_filename.endswith("/")
    if kind == stat.S_IFLNK:
        raise BundleError(f"{path} is a link; expected a regular file.")
    if kind not in (0, stat.S_IFDIR if is_folder else stat.S_IFREG):
        raise BundleError(f"{path} is not a regular file.")
    if info.flag_bits & ENCRYPTED:
        raise BundleError(f"{path} is encrypted; expected a file that is not.")
    if info.compress_type not in METHODS:
        raise BundleError(f"{path} is compressed by method {info.compress_type}; expected stored or deflated.")
    check_size(path, info.file_size, 0 if is_folder else MAX_FILE_BYTES)
    check_size(path, info.compress_size, MAX_FILE_BYTES)  # which Python allocates at once


def archive_content(files: Mapping[str, bytes]) -> bytes:
    """A .tussis file of these contents by their paths; the same files always give the same bytes.

    Order, times and permissions are fixed. Nothing is compressed: zlib's output differs from build to build, and it
    would save less than a fifth of a quantized model.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files, key=lambda name: (name not in UNLISTED, name)):
            info = zipfile.ZipInfo(name, WRITTEN_AT)
            info.create_system, info.external_attr = UNIX, PERMISSIONS << 16
            archive.writestr(info, files[name])
    return content.getvalue()


def check_size(path: Path, size_bytes: int, at_most_bytes: int) -> None:
    """Refuse a file that is too large to be part of a bundle."""
    if size_bytes > at_most_bytes:
        raise BundleError(f"{path} has {size_bytes} bytes; expected at most {at_most_bytes}.")


def is_safe_path(relative: str) -> bool:
    """Whether a path from outside is plain on every system.

    It is printable, relative, with /, without . or .. and without a drive. Windows keeps some names and characters for
    itself, and drops a space or full stop at the end of a name.
    """
    if not relative.isprintable() or len(relative) > 200 or FORBIDDEN.intersection(relative):
        return False
    return all(part and part[-1] not in ". " and not RESERVED.match(part) for part in relative.split("/"))


def clash(paths: Iterable[str]) -> tuple[str, str] | None:
    """Two paths that are one file on a system that ignores case or composes letters, or of which one lies in the other.

    bundle.json and SIGNATURE count as given.
    """
    seen = {_folded(name): name for name in UNLISTED}
    for path in paths:
        if (other := seen.setdefault(_folded(path), path)) != path or path in UNLISTED:
            return path, other
    for path in paths:
        parts = _folded(path).split("/")
        for n in range(1, len(parts)):
            if (file := seen.get("/".join(parts[:n]))) is not None:
                return path, file
    return None


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
