"""Keeps Android from ending the application while it records, and passes on what a person asks in the notification."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.devices.android.java import leave_java, ours
from core.errors import TussisError

POLL_S = 0.1
START_LIMIT_S = 5.0


class BackgroundError(TussisError):
    """Android does not let the application record in the background; ``code`` is of `RecorderService`."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True)
class NoticeWords:
    """The words of the notification, in the person's language."""

    channel: str
    title: str
    text: str
    stop: str


class Background:
    """The service that runs as long as something is recorded.

    Parameters
    ----------
    context : Java object
        The activity's context.
    on_stop : callable
        A person touched Stop in the notification. Called from a thread of this object.
    on_close : callable
        The application was swiped away: close the recording now, at most 3 seconds are left. Called likewise.
    """

    def __init__(self, context: Any, on_stop: Callable[[], None], on_close: Callable[[], None]) -> None:
        self._context, self._on_stop, self._on_close = context, on_stop, on_close
        self._service = ours("RecorderService")
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, words: NoticeWords) -> None:
        """Start the service from a visible screen; raises `BackgroundError`. Not from the main thread."""
        code = self._service.start(self._context, words.channel, words.title, words.text, words.stop)
        if code != self._service.OK:
            raise BackgroundError(self._sentence(code), code)
        waiting = threading.Event()
        for _ in range(round(START_LIMIT_S / POLL_S)):
            if self._service.isRunning() or self._service.state() != self._service.OK:
                break
            waiting.wait(POLL_S)
        if not self._service.isRunning():
            self._service.stop(self._context)
            raise BackgroundError(self._sentence(self._service.REFUSED), self._service.REFUSED)
        self._ended.clear()
        self._thread = threading.Thread(target=self._watch, name="background", daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """Show another text in the notification."""
        self._service.say(self._context, text)

    def stop(self) -> None:
        """End the service; without effect where it does not run."""
        self._ended.set()
        self._service.stop(self._context)

    def _watch(self) -> None:
        try:
            while not self._ended.wait(POLL_S):
                request = self._service.takeRequest()
                if request == self._service.STOP:
                    self._on_stop()
                elif request == self._service.CLOSE:
                    self._close()
                    return
        finally:
            leave_java()

    def _close(self) -> None:
        try:
            self._on_close()
        finally:
            self._service.closed()

    def _sentence(self, code: int) -> str:
        if code == self._service.NO_PERMISSION:
            return "Android does not let Tussis use the microphone; allow it in the phone's settings."
        if code == self._service.NOT_VISIBLE:
            return "A recording starts only while Tussis is on the screen; open it and press Record again."
        return "Android did not let the recording go on in the background; open Tussis and press Record again."
