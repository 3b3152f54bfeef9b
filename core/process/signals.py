"""Gives every command that runs for long one way to end on SIGINT, SIGTERM and SIGHUP."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stop:
    """Whether the run has been asked to end: false until a signal has come.

    Attributes
    ----------
    number : int
        The signal's; 0 where none has come.
    """

    def __init__(self) -> None:
        self.number = 0

    def __bool__(self) -> bool:
        return self.number != 0

    @property
    def status(self) -> int:
        """The exit status of a command that the signal ended: 128 + its number."""
        return 128 + self.number

    @property
    def name(self) -> str:
        """The signal's name, SIGTERM for instance."""
        return signal.Signals(self.number).name

    def forgive(self) -> None:
        """Go on as if no signal had come."""
        self.number = 0


@contextlib.contextmanager
def stop_signals() -> Iterator[Stop]:
    """Note the first signal, so that the run finishes what is under way, writes and ends with `Stop.status`.

    The second one ends the run at once: it raises SystemExit with that status, and files that are written whole or not
    at all stay so. A SIGHUP that is ignored, by nohup, stays ignored. Outside the main thread nothing is noted.
    """
    stop = Stop()

    def note(number: int, frame: FrameType | None) -> None:
        if stop:
            raise SystemExit(128 + number)
        stop.number = number

    before = {}
    try:
        for number in ENDING:
            if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, note)
    except ValueError:  # not the main thread, which alone may set handlers
        yield stop
        return
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals() -> None:
    """Leave the signals that end a run to the parent: a terminal or a service sends them to workers too."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
