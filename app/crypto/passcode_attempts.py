"""Counts wrong passcodes in a file and tells how long the next try has to wait."""

import contextlib
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

from core.errors import OutputError

FILE_NAME = "passcode-attempts"
FREE_ATTEMPTS = 4  # a hand in a glove mistypes
FIRST_WAIT_S, LONGEST_WAIT_S = 30.0, 3600.0
_MOST_COUNTED = 100
_FILE_BYTES = 64  # always the same, so that a full disk still takes it


class PasscodeAttempts:
    """The wrong passcodes since the last right one; they outlast a restart, and a clock that is set back.

    A clock set forward ends the wait.

    Parameters
    ----------
    folder : Path
    clock : function
        Seconds since 1970.
    """

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._path = folder / FILE_NAME
        self._clock = clock

    @property
    def wait_s(self) -> float:
        """Seconds until the next try; 0 where it may come now."""
        failures, last_s = self._read()
        return max(0.0, last_s + _wait_after(failures) - self._clock())

    def count(self) -> None:
        """Count a try, on the disk; raises `OutputError`."""
        self._write(min(self._read()[0] + 1, _MOST_COUNTED), self._clock())

    def forget(self) -> None:
        """Begin anew after a right passcode; raises `OutputError`."""
        self._write(0, self._clock())

    def _read(self) -> tuple[int, float]:
        """Failures and when the last was; where the file is gone or damaged, as if many had been now."""
        failures, last_s = self._parsed()
        if last_s is None or last_s > self._clock():  # the clock was set back: the wait begins again
            last_s = self._clock()
            with contextlib.suppress(OutputError):  # the next `count` says it
                self._write(failures, last_s)
        return failures, last_s

    def _parsed(self) -> tuple[int, float | None]:
        try:
            values = json.loads(self._path.read_bytes()[:_FILE_BYTES])
            failures, last_s = values["failures"], values["last_s"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return FREE_ATTEMPTS + 1, None
        is_sound = isinstance(failures, int) and isinstance(last_s, float) and math.isfinite(last_s)
        if is_sound and 0 <= failures <= _MOST_COUNTED:
            return failures, last_s
        return FREE_ATTEMPTS + 1, None

    def _write(self, failures: int, last_s: float) -> None:
        content = json.dumps({"failures": failures, "last_s": float(round(last_s, 3))}).encode().ljust(_FILE_BYTES)
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise OutputError(f"{self._path} cannot be written: {error.strerror or error}.") from error


def _wait_after(failures: int) -> float:
    if failures <= FREE_ATTEMPTS:
        return 0.0
    return min(FIRST_WAIT_S * 2.0 ** (failures - FREE_ATTEMPTS - 1), LONGEST_WAIT_S)
