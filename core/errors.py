"""Defines the errors that a user can act on, and how a command reports them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from core.process.terminal import printable, say, steady_streams


class TussisError(Exception):
    """Root of all errors that a user can act on; its message is one sentence."""


class AudioError(TussisError):
    """A recording that cannot be read or is not sound."""


class IncompleteError(AudioError):
    """A recording that was heard in part; ``result`` is that of the part, marked as such."""

    def __init__(self, sentence: str, result: Any) -> None:
        super().__init__(sentence)
        self.result = result


class BundleError(TussisError):
    """A bundle that is incomplete, altered or of another format."""


class InterpreterError(TussisError):
    """A model that cannot be loaded or does not have the expected signature."""


class ProbeError(TussisError):
    """A probe that cannot be read or does not fit the model's embedding."""


class OutputError(TussisError):
    """A result that cannot be written where it was asked for."""


class SettingsError(TussisError):
    """A setting that is unknown, of the wrong type or out of range."""


class DataError(TussisError):
    """A corpus, manifest, checkpoint or cache that cannot be used as it is."""


class SigningError(TussisError):
    """A key that cannot be read, written or used, or a signature that cannot be made."""


def one_line(reason: Exception) -> str:
    """The message of another library's exception, in one line of at most 120 printable characters."""
    text = " ".join(str(reason).split()) or type(reason).__name__
    return text.encode("ascii", "backslashreplace").decode("ascii")[:120]


@contextmanager
def exit_on_error(command: str) -> Iterator[None]:
    """Turn a `TussisError` into one sentence on stderr and exit status 2; no stream that fails ends the command."""
    with steady_streams():
        try:
            yield
        except TussisError as error:
            report(command, error)
            raise SystemExit(2) from error


def report(command: str, sentence: object) -> None:
    """Print a command's sentence on stderr, in one line."""
    say(printable(f"{command}: {sentence}"), is_error=True)
