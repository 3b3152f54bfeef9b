"""Finds the folder that holds all that the app keeps, and lets one window at a time use it."""

import os
import sys
from pathlib import Path

from core.errors import OutputError, TussisError
from core.files import make_folder

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

LOCK_NAME = "lock"
_PRIVATE_MODE = 0o700


class FolderInUseError(TussisError):
    """Another window uses the data folder."""


def data_folder() -> Path:
    """The folder, made where there is none; nobody but its owner may read it.

    It is ``$TUSSIS_HOME`` where that is set, else the platform's place for an app's data.

    Raises
    ------
    OutputError
        If it cannot be made, or no file can be written there.
    """
    folder = _given_folder() or _platform_folder() / "tussis"
    make_folder(folder)
    try:
        folder.chmod(_PRIVATE_MODE)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made private: {error.strerror or error}.") from error
    return folder


def _given_folder() -> Path | None:
    given = os.environ.get("TUSSIS_HOME") or os.environ.get("ANDROID_PRIVATE")
    try:
        return Path(given).expanduser().absolute() if given else None
    except RuntimeError:  # "~" where nobody knows the home folder
        return Path(given).absolute()


def _platform_folder() -> Path:
    try:
        home = Path.home()
    except RuntimeError as error:
        raise OutputError("there is no home folder; set TUSSIS_HOME to the folder for the app's data.") from error
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming")
    if sys.platform == "darwin":
        return home / "Library" / "Application Support"
    given = Path(os.environ.get("XDG_DATA_HOME", ""))
    return given if given.is_absolute() else home / ".local" / "share"


def sync_folder(folder: Path) -> None:
    """Bring a folder's list of names to the disk, where the platform can; raises `OutputError`."""
    if fcntl is None:
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be written: {error.strerror or error}.") from error


class FolderLock:
    """Holds a data folder for one process; it is free again when the process ends, however it ends.

    Raises
    ------
    FolderInUseError
        If another window holds it.
    OutputError
        If the lock file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK_NAME
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
        try:
            if fcntl is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise FolderInUseError("Tussis is open in another window already; close that one first.") from error
        except OSError:  # a file system without locks
            pass

    def release(self) -> None:
        """Let another window use the folder; may be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
