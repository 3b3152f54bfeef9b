"""Gives the facilities of a desktop: sound through PortAudio, folders for files, and no motor to shake."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from app.devices.facilities import Facilities, FacilityError, Insets
from app.devices.playback import ThreadedPlayback

FONT_SCALE_VARIABLE = "TUSSIS_FONT_SCALE"


def _play_blocks(blocks: Iterable[np.ndarray], sample_rate_hz: int, stopped: threading.Event) -> None:
    """Through PortAudio."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise FacilityError("the sound library PortAudio is missing") from error
    with sounddevice.OutputStream(samplerate=sample_rate_hz, channels=1, dtype="int16") as stream:
        for block in blocks:
            if stopped.is_set():
                return
            stream.write(np.ascontiguousarray(block.reshape(-1, 1)))


class DesktopVibration:
    """A desktop has no motor: cues are colour, shape and words there."""

    def vibrate(self, duration_s: float) -> None:
        """See `app.devices.facilities.Vibration`."""


class DesktopScreen:
    """A desktop's screen: it may go dark and be pictured, which is the system's own affair."""

    def keep_on(self, on: bool) -> None:
        """See `app.devices.facilities.Screen`: SDL keeps a desktop's screen saver away by itself."""

    def keep_secret(self, secret: bool) -> None:
        """See `app.devices.facilities.Screen`: a desktop has no such flag."""


class DesktopDisplay:
    """A window that the system covers nowhere; the text's size comes from the environment."""

    def insets(self) -> Insets:
        """See `app.devices.facilities.Display`."""
        return Insets()

    def font_scale(self) -> float:
        """See `app.devices.facilities.Display`: TUSSIS_FONT_SCALE from 0.8 to 2, else 1."""
        with contextlib.suppress(ValueError):
            return min(2.0, max(0.8, float(os.environ.get(FONT_SCALE_VARIABLE, "1"))))
        return 1.0


class DesktopFiles:
    """Files by the application's own list of folders."""

    def can_ask(self) -> bool:
        """See `app.devices.facilities.FileExchange`."""
        return False

    def folders(self) -> tuple[Path, ...]:
        """See `app.devices.facilities.FileExchange`."""
        home = Path.home()
        return tuple(folder for folder in (home / "Downloads", home / "Documents", home) if folder.is_dir())

    def ask_to_open(self, on_choice: Callable[[Path | None], None]) -> None:
        """See `app.devices.facilities.FileExchange`: never called here."""
        on_choice(None)

    def ask_to_save(self, source: Path, name: str, on_end: Callable[[str], None]) -> None:
        """See `app.devices.facilities.FileExchange`: never called here."""
        on_end("")


def desktop_facilities() -> Facilities:
    """The facilities of the desktop that the application runs on."""
    playback = ThreadedPlayback(_play_blocks)
    return Facilities(playback, DesktopVibration(), DesktopScreen(), DesktopDisplay(), DesktopFiles())
