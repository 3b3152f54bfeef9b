"""The only place where the files of a bundle are read: each a regular one inside the bundle, of bounded size."""

import hashlib
import stat
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from core.errors import BundleError

BUNDLE_FILE = "bundle.json"
SIGNATURE_FILE = "SIGNATURE"
UNLISTED = frozenset({BUNDLE_FILE, SIGNATURE_FILE})
"""What a bundle may hold that bundle.json does not list."""
MAX_FILE_BYTES = 64 * 2**20
MAX_FILES = 1000
PIECE_BYTES = 2**20


class BundleFiles(ABC):
    """The files of one bundle, by their paths inside it with /; every error is a BundleError that names the file.

    A folder and a .tussis file are read through this, so that nothing else has to know which of them a bundle is.
    """

    def __init__(self, path: Path):
        self.path = path

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

    def read_checked(self, relative: str, sha256: str) -> bytes:
        """A file's content, whose SHA-256 has to be the given one."""
        content = self.read(relative)
        self._compare(relative, hashlib.sha256(content).hexdigest(), sha256)
        return content

    def check(self, relative: str, sha256: str) -> None:
        """Compare a file's SHA-256 with the given one, without holding more than a piece of the file."""
        digest = hashlib.sha256()
        with self.opened(relative, MAX_FILE_BYTES) as file:
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
        self._compare(relative, digest.hexdigest(), sha256)

    def _compare(self, relative: str, found: str, expected: str) -> None:
        if found != expected:
            digests = f"its SHA-256 is {found[:12]}... and {BUNDLE_FILE} says {expected[:12]}..."
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
            found = sorted(path.name for path in probes.iterdir()) if probes.exists() else []
        except OSError as reason:
            raise BundleError(f"{probes} cannot be read: {reason.strerror}.") from reason
        for name in found:
            if f"probes/{name}" not in listed:
                raise BundleError(f"{probes / name} is not listed in {BUNDLE_FILE}.")

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


def check_size(path: Path, size_bytes: int, at_most_bytes: int) -> None:
    """Refuse a file that is too large to be part of a bundle."""
    if size_bytes > at_most_bytes:
        raise BundleError(f"{path} has {size_bytes} bytes; expected at most {at_most_bytes}.")


def is_safe_path(relative: str) -> bool:
    """Whether a path from outside is plain: printable, relative, with /, without . or .. and without a drive."""
    parts = relative.split("/")
    is_plain = relative.isprintable() and "\\" not in relative and ":" not in relative
    return is_plain and len(relative) <= 200 and all(part not in ("", ".", "..") for part in parts)
