"""Calls what may never answer, a device or its server, on a thread that nobody waits for longer than told."""

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from core.errors import TussisError

Answer = TypeVar("Answer")


class TimeLimitError(TussisError):
    """A device that did not answer in time."""


class TimedCall(Generic[Answer]):
    """One call that runs on a thread of its own from now on.

    Parameters
    ----------
    call : callable
        Takes no arguments.
    name : str
        What the sentence of `TimeLimitError` calls it.
    undo : callable or None
        Takes an answer that came after `abandon`, on the call's own thread: closes what nobody wants any more.
    """

    def __init__(self, call: Callable[[], Answer], name: str, undo: Callable[[Answer], Any] | None = None) -> None:
        self._call, self._name, self._undo = call, name, undo
        self._lock, self._returned = threading.Lock(), threading.Event()
        self._is_abandoned = False
        self._answer: Answer | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def wait(self, limit_s: float) -> Answer:
        """The call's answer, or the exception that it raised; `TimeLimitError` after `limit_s`, and it goes on."""
        if not self._returned.wait(limit_s):
            raise TimeLimitError(f"{self._name} did not answer within {limit_s:g} s.")
        if self._error is not None:
            raise self._error
        return self._answer

    def abandon(self) -> None:
        """Want its answer no more: it is undone now, or when it comes."""
        with self._lock:
            is_late = self._is_abandoned or not self._returned.is_set()
            self._is_abandoned = True
        if not is_late and self._error is None and self._undo is not None:
            self._undo(self._answer)

    def _run(self) -> None:
        try:
            self._answer = self._call()
        except Exception as error:
            self._error = error
        with self._lock:
            self._returned.set()
            is_unwanted = self._is_abandoned
        if is_unwanted and self._error is None and self._undo is not None:
            self._undo(self._answer)


def call_within(limit_s: float, call: Callable[[], Answer], name: str) -> Answer:
    """The answer of `call`, or `TimeLimitError` after `limit_s`; what it raises is raised here."""
    return TimedCall(call, name).wait(limit_s)
