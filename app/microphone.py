"""Defines what a microphone is to the app, so that a desktop, a phone and a test each bring their own."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from core.errors import TussisError

OnBlock = Callable[[np.ndarray], None]


class MicrophoneError(TussisError):
    """A microphone that is missing, busy or refused; its message is one sentence."""


class Microphone(Protocol):
    """A source of sound that calls back from a thread of its own.

    Attributes
    ----------
    n_overflows : int
        How often the device said, since `start`, that it lost sound before it could be delivered.
    """

    n_overflows: int

    def start(self, on_block: OnBlock) -> int:
        """Begin to deliver blocks: float32, shape (n_samples,), mono, in [-1, 1]; return the sample rate in Hz.

        `on_block` must return at once, and must copy what it keeps. Raises `MicrophoneError`.
        """
        ...

    def stop(self) -> None:
        """End the delivery; no block arrives after this returns. Without effect when not started."""
        ...
