"""Holds the application's state outside every widget, and does what takes time on threads of its own."""

import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.devices.facilities import Facilities
from app.navigation import Navigation, Question
from core.errors import TussisError

SETTINGS_NAME = "settings.json"
STUDY_NAME = "study.tussis-study"
LOCK_CHECK_S = 1.0
MAIN_THREAD_PATIENCE_S = 5.0

Job = Callable[[], Any]
Schedule = Callable[[Callable[[], None]], None]


@dataclass(frozen=True)
class Message:
    """One sentence over the page; `kind` is "note", "good", "warning" or "error"."""

    kind: str
    text: str


class FieldWork:
    """What the application knows and does; used alike by the window, the tests and the whole-day test.

    Every method is for the main thread and returns at once. Slow work runs on a thread and hands its result to
    `schedule`, which has the main thread take it.

    Parameters
    ----------
    folder : Path
        The data folder; made where it is missing.
    microphone : Microphone
    facilities : Facilities
    schedule : callable
        Takes a function of no arguments, from any thread, and has the main thread call it.
    load_screener : callable
        Returns the `Screener`; called once, on a thread. May raise `TussisError`.
    clock : callable
        Seconds that go on while the device sleeps, for the automatic lock.

    Attributes
    ----------
    navigation : Navigation
    vault, study, records, casebook : Vault, Study, Records, Casebook
        The last two are None while locked; `study` is None until one was chosen and read.
    session : RecordingSession or None
        The tasks of one participant that are being done.
    monitoring : MonitoringSession or None
    screener : Screener or None
        None while it loads, and where that failed with `screener_error`.
    message : Message or None
    """

    def __init__(
        self,
        folder: Path,
        microphone: Any,
        facilities: Facilities,
        schedule: Schedule,
        load_screener: Callable[[], Any],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.microphone, self.facilities = folder, microphone, facilities
        self.navigation = Navigation("unlock")
        self.navigation.guard = self._question_before_leaving
        self.study = self.records = self.casebook = self.session = self.monitoring = None
        self.screener: Any = None
        self.screener_error = ""
        self.message: Message | None = None
        self.n_running = 0
        self._schedule, self._load_screener, self._clock = schedule, load_screener, clock
        self._listeners: list[Callable[[], None]] = []
        self._touched_at_s = clock()
        self._screener_settled = threading.Event()
        self._closed = threading.Event()

    # ---- telling -------------------------------------------------------------------------------------------------

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Have `listener` called, on the main thread, with every change of what is told here."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def changed(self) -> None:
        """Tell every listener that something changed."""
        for listener in tuple(self._listeners):
            listener()

    def say(self, kind: str, text: str) -> None:
        """Show one sentence until it is closed or the place changes."""
        self.message = Message(kind, text)
        self.changed()

    def hush(self) -> None:
        """Take the sentence away."""
        if self.message is not None:
            self.message = None
            self.changed()

    # ---- slow work -----------------------------------------------------------------------------------------------

    @property
    def is_working(self) -> bool:
        """Whether something runs for which the person has to wait."""
        return self.n_running > 0

    def run(
        self,
        job: Job,
        then: Callable[[Any], None] | None = None,
        otherwise: Callable[[TussisError], None] | None = None,
        in_background: bool = False,
    ) -> None:
        """Run `job` on a thread; then give its result to `then`, or its `TussisError` to `otherwise`.

        Without `otherwise` the error's sentence is shown. A person can touch nothing meanwhile, unless the job runs
        `in_background`.
        """
        self.n_running += not in_background

        def work() -> None:
            try:
                result, error = job(), None
            except TussisError as reason:
                result, error = None, reason
            except Exception as reason:  # a mistake of ours is told too, and ends nothing
                traceback.print_exc(file=sys.stderr)
                result, error = None, TussisError(f"Something went wrong inside Tussis ({type(reason).__name__}).")
            self._schedule(lambda: settle(result, error))

        def settle(result: Any, error: TussisError | None) -> None:
            self.n_running -= not in_background
            if error is None and then is not None:
                then(result)
            elif error is not None:
                (otherwise or self.show_error)(error)
            self.changed()

        threading.Thread(target=work, name="work", daemon=True).start()
        self.changed()

    def show_error(self, error: TussisError) -> None:
        """Show an error's sentence."""
        self.say("error", str(error))

    # ---- places --------------------------------------------------------------------------------------------------

    def go_home(self) -> None:
        """Show the first page of an unlocked application."""
        self.navigation.restart("home")

    @property
    def is_recording(self) -> bool:
        """Whether sound is taken at this moment, so that nothing may lock or leave unasked."""
        return any(watch is not None and watch.is_active for watch in (self.session, self.monitoring))

    def _question_before_leaving(self) -> Question | None:
        return None
