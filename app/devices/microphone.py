"""Defines what a microphone is to the app, so that a desktop, a phone and a test each bring their own."""

from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol, runtime_checkable

import numpy as np

from core.errors import TussisError

OnBlock = Callable[[np.ndarray], None]


class Fault(Enum):
    """What can be wrong with a microphone; the screens say each in words."""

    MISSING = "microphone_missing"
    REFUSED = "microphone_refused"  # busy, or its use is not allowed
    UNPLUGGED = "microphone_unplugged"  # the device said that it has ended
    NO_SOUND = "microphone_no_sound"  # blocks stopped coming and nothing was said
    SILENT = "microphone_silent"  # blocks without any sound
    NO_NUMBERS = "microphone_no_numbers"  # samples that are not finite numbers
    OTHER_RATE = "microphone_other_rate"  # a rate that cannot be used, or not the one that it said
    HUNG = "microphone_hung"  # no answer to start or stop
    NO_LIBRARY = "microphone_no_library"  # what sound needs is not installed


class MicrophoneError(TussisError):
    """A microphone that is missing, busy or refused; its message is one sentence, ``fault`` its code."""

    def __init__(self, sentence: str, fault: Fault = Fault.REFUSED) -> None:
        super().__init__(sentence)
        self.fault = fault


class Microphone(Protocol):
    """A source of sound that calls back from a thread of its own.

    None of its calls is made on the main thread, and each may take for ever: `app.recorder` gives each a time limit.
    After `start` was given up it may be called again while the first call still hangs.

    Attributes
    ----------
    n_overflows : int
        How often the device said, since `start`, that it lost sound before it could be delivered.
    has_ended : bool
        Whether the device said, since `start`, that no more sound will come: it was unplugged or taken away.
    facts : dict
        What a record keeps of it, after `start`: plain JSON values, ``name`` and ``sample_rate_hz`` at least.

    A microphone that keeps sound for a late thread also has `CountsLosses`, and one with several ways to record has
    `HasSources`.
    """

    n_overflows: int
    has_ended: bool
    facts: dict[str, Any]

    def start(self, on_block: OnBlock) -> int:
        """Begin to deliver blocks: float32, shape (n_samples,), mono, in [-1, 1]; return the sample rate in Hz.

        `on_block` must return at once, and must copy what it keeps. Raises `MicrophoneError`.
        """
        ...

    def stop(self) -> None:
        """End the delivery; no block arrives after this returns. Without effect when not started."""
        ...


@runtime_checkable
class CountsLosses(Protocol):
    """What a microphone has that knows how much it lost, so that nobody guesses it from when blocks come.

    Attributes
    ----------
    lost_s : float
        Seconds of sound that were lost since `start`, up to the block that is delivered now.
    is_silenced : bool
        Whether another application has the microphone now; nothing is delivered then.
    """

    lost_s: float
    is_silenced: bool


@runtime_checkable
class HasSources(Protocol):
    """What a microphone has that can record in several ways.

    Attributes
    ----------
    sources : tuple of str
        Their names, as they stand in `Microphone.facts`.
    source : str
        The one of the next `start`; "" for the best that the device has.
    """

    sources: tuple[str, ...]
    source: str


def sources_of(microphone: Microphone) -> tuple[str, ...]:
    """The names of the ways to record, none where there is but one."""
    return microphone.sources if isinstance(microphone, HasSources) else ()
