"""Defines what the application asks of a device beside its microphone, so that each platform brings its own."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from core.errors import TussisError


class FacilityError(TussisError):
    """Something that the device refused or lacks; its message is one sentence."""


class Playback(Protocol):
    """Plays sound; every method returns at once, and nothing here blocks the main thread."""

    def play(self, blocks: Iterable[np.ndarray], sample_rate_hz: int, on_end: Callable[[str], None]) -> None:
        """Play int16 mono blocks; `on_end` gets "" at their end, else one sentence, from another thread."""
        ...

    def stop(self) -> None:
        """End what is played; without effect where nothing is."""
        ...


class Vibration(Protocol):
    """Shakes the device, as a cue that makes no sound of ours."""

    def vibrate(self, duration_s: float) -> None:
        """Shake for so long; without effect where the device cannot."""
        ...


class Screen(Protocol):
    """What the application wants of the screen."""

    def keep_on(self, on: bool) -> None:
        """Keep the screen lit while a recording is made."""
        ...

    def keep_secret(self, secret: bool) -> None:
        """Keep the window out of screenshots and of the list of recent applications."""
        ...


@dataclass(frozen=True)
class Insets:
    """Strips at the window's edges, in pixels, that the system covers."""

    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0


class Display(Protocol):
    """What the system says of the window's surroundings."""

    def insets(self) -> Insets:
        """The strips that the system covers."""
        ...

    def font_scale(self) -> float:
        """How much larger than usual the person wants text, such as 1.3."""
        ...


class FileExchange(Protocol):
    """Files from and to the device's own file dialogue."""

    def can_ask(self) -> bool:
        """Whether the system has a dialogue of its own; where not, the application lists folders."""
        ...

    def folders(self) -> tuple[Path, ...]:
        """Folders in which a person would look for a file, those that exist, the likeliest first."""
        ...

    def ask_to_open(self, on_choice: Callable[[Path | None], None]) -> None:
        """Have the system ask for a file; `on_choice` gets a readable copy's path, or None."""
        ...

    def ask_to_save(self, source: Path, name: str, on_end: Callable[[str], None]) -> None:
        """Have the system ask where `source` is saved; `on_end` gets "" or one sentence."""
        ...


class Permission(Protocol):
    """Whether the system lets the application use the microphone."""

    def may_record(self) -> bool:
        """Whether it may be used now."""
        ...

    def is_denied_for_ever(self) -> bool:
        """Whether the system asks no more, so that only its settings can allow it."""
        ...

    def ask_to_record(self) -> None:
        """Have the system ask; returns at once."""
        ...

    def can_open_settings(self) -> bool:
        """Whether the system has a page with the application's settings."""
        ...

    def open_settings(self) -> None:
        """Show that page."""
        ...


class AlwaysAllowed:
    """A platform that asks nobody."""

    def may_record(self) -> bool:
        """See `Permission`."""
        return True

    def is_denied_for_ever(self) -> bool:
        """See `Permission`."""
        return False

    def ask_to_record(self) -> None:
        """See `Permission`: never called here."""

    def can_open_settings(self) -> bool:
        """See `Permission`."""
        return False

    def open_settings(self) -> None:
        """See `Permission`: never called here."""


@dataclass(frozen=True)
class Facilities:
    """Everything that a device brings beside its microphone."""

    playback: Playback
    vibration: Vibration
    screen: Screen
    display: Display
    files: FileExchange
    permission: Permission = field(default_factory=AlwaysAllowed)
