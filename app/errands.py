"""Runs what takes time on threads, hands the results to the main thread, and tells of every change."""

import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.errors import TussisError

Schedule = Callable[[Callable[[], None]], None]


@dataclass(frozen=True)
class Message:
    """One sentence over the page; `kind` is "note", "good", "warning" or "error"."""

    kind: str
    text: str


class Errands:
    """Work on threads, a sentence for the person, and those who want to know of changes; for the main thread.

    Parameters
    ----------
    schedule : callable
        Takes a function of no arguments, from any thread, and has the main thread call it.

    Attributes
    ----------
    message : Message or None
        What is shown over the page.
    schedule : callable
        The parameter.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.message: Message | None = None
        self.schedule = schedule
        self._n_running = 0
        self._listeners: list[Callable[[], None]] = []

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

    def show_error(self, error: TussisError) -> None:
        """Show an error's sentence."""
        self.say("error", str(error))

    @property
    def is_waited_for(self) -> bool:
        """Whether something runs for which the person has to wait, and can touch nothing."""
        return self._n_running > 0

    @property
    def is_working(self) -> bool:
        """Whether something runs that the person asked for."""
        return self.is_waited_for

    def run(
        self,
        job: Callable[[], Any],
        then: Callable[[Any], None] | None = None,
        otherwise: Callable[[TussisError], None] | None = None,
        in_background: bool = False,
    ) -> None:
        """Run `job` on a thread; then give its result to `then`, or its `TussisError` to `otherwise`.

        Without `otherwise` the error's sentence is shown. A person can touch nothing meanwhile, unless the job runs
        `in_background`.
        """
        self._n_running += not in_background

        def work() -> None:
            result, error = outcome_of(job)
            self.schedule(lambda: settle(result, error))

        def settle(result: Any, error: TussisError | None) -> None:
            self._n_running -= not in_background
            if error is None and then is not None:
                then(result)
            elif error is not None:
                (otherwise or self.show_error)(error)
            self.changed()

        threading.Thread(target=work, name="work", daemon=True).start()
        self.changed()


def outcome_of(job: Callable[[], Any]) -> tuple[Any, TussisError | None]:
    """What a job gives, or its error; a mistake of ours becomes a sentence, and its traceback goes to stderr."""
    try:
        return job(), None
    except TussisError as error:
        return None, error
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return None, TussisError(f"Something went wrong inside Tussis ({type(error).__name__}).")
