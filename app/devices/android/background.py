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
    silenced: str


class Background:
    """The service that runs as long as something is recorded.

    Parameters
    ----------
    context : Java object
        The activity's context.
    words : callable
        Gives the `NoticeWords` in the language of the moment.

    Attributes
    ----------
    on_stop : callable
        A person touched Stop in the notification. Called from a thread of this object.
    on_close : callable
        The application was swiped away: close the recording now, at most 3 seconds are left. Called likewise.
    """

    def __init__(self, context: Any, words: Callable[[], NoticeWords]) -> None:
        self.on_stop: Callable[[], None] = lambda: None
        self.on_close: Callable[[], None] = lambda: None
        self._context, self._words = context, words
        self._service = ours("RecorderService")
        self._ended = threading.Event()

    def start(self) -> None:
        """Start the service from a visible screen; raises `BackgroundError`. Not from the main thread.

        Where it runs already it goes on.
        """
        if self._service.isRunning():
            return
        words = self._words()
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
        self._ended = threading.Event()
        threading.Thread(target=self._watch, args=(self._ended,), name="background", daemon=True).start()

    def say_silenced(self, is_silenced: bool) -> None:
        """Show in the notification whether another application has the microphone."""
        words = self._words()
        self._service.say(self._context, words.silenced if is_silenced else words.text)

    def stop(self) -> None:
        """End the service; without effect where it does not run."""
        self._ended.set()
        self._service.stop(self._context)

    def _watch(self, ended: threading.Event) -> None:
        try:
            while not ended.wait(POLL_S):
                request = self._service.takeRequest()
                if request == self._service.STOP:
                    self.on_stop()
                elif request == self._service.CLOSE:
                    self._close()
                    return
        finally:
            leave_java()

    def _close(self) -> None:
        try:
            self.on_close()
        finally:
            self._service.closed()

    def _sentence(self, code: int) -> str:
        if code == self._service.NO_PERMISSION:
            return "Android does not let Tussis use the microphone; allow it in the phone's settings."
        if code == self._service.NOT_VISIBLE:
            return "A recording starts only while Tussis is on the screen; open it and press Record again."
        return "Android did not let the recording go on in the background; open Tussis and press Record again."
