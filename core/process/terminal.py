"""Writes to the terminal: nothing that comes from outside commands it, and a stream that fails ends no run."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


def printable(text: str) -> str:
    """A name, path or sentence in one line that is safe to print.

    Whatever is not text, or would command the terminal (control characters, line breaks, changes of direction), is
    shown as an escape.
    """
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # how Python keeps a byte of a file name that is not text
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")


def say(text: str, *, is_error: bool = False) -> None:
    """Print lines that were put together by us; line breaks stay, everything else goes through `printable`."""
    with steady_streams():
        print("\n".join(map(printable, text.split("\n"))), file=sys.stderr if is_error else sys.stdout, flush=True)


class SafeParser(argparse.ArgumentParser):
    """A parser whose complaints quote arguments safely."""

    def error(self, message: str) -> Any:
        """Print usage and message, and end with status 2."""
        with steady_streams():
            super().error(printable(message))


@contextlib.contextmanager
def steady_streams() -> Iterator[None]:
    """Let no write to stdout or stderr raise while the block runs: full, closed or absent, they lose what is written.

    Descriptors 0 to 2 that are closed are opened on the null device. A file opened later would else get the number,
    and what a library prints.
    """
    _open_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Steady(before[0]), _Steady(before[1])
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


class _Steady:
    """A text stream that shows what its encoding lacks as escapes, and whose failures are swallowed."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream._stream if isinstance(stream, _Steady) else stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return self._stream.isatty()
        return False

    def write(self, text: str) -> int:
        if self._stream is not None:
            try:
                self._stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
            except (OSError, ValueError):  # ValueError: it was closed
                self._give_up()
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._give_up()

    def _give_up(self) -> None:
        """Point a descriptor that failed at the null device, where the interpreter flushes it at its end."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        self._stream = None


def _open_descriptors() -> None:
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
