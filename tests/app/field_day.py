"""Builds the application's state with real parts in a folder of the test, and the window that shows it."""

import shutil
from collections.abc import Callable
from pathlib import Path

from app.devices.desktop.device_secret import DesktopDeviceSecret
from app.devices.facilities import Facilities, Insets
from app.field_work import FieldWork

PASSCODE = "135792"


class QuietDevice:
    """Facilities that note what was asked of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.played: list[int] = []
        self.is_lit = self.is_secret = False
        self.shaken_s: list[float] = []
        self.ends_at_once, self.n_stops = True, 0

    def play(self, blocks, sample_rate_hz, on_end) -> None:
        self.played.append(sum(len(block) for block in blocks))
        self.on_end = on_end
        if self.ends_at_once:
            on_end("")

    def stop(self) -> None:
        self.n_stops += 1

    def vibrate(self, duration_s: float) -> None:
        self.shaken_s.append(duration_s)

    def keep_on(self, on: bool) -> None:
        self.is_lit = on

    def keep_secret(self, secret: bool) -> None:
        self.is_secret = secret

    def insets(self) -> Insets:
        return Insets()

    def font_scale(self) -> float:
        return 1.0

    def can_ask(self) -> bool:
        return False

    def folders(self) -> tuple[Path, ...]:
        return (self.folder,)


class SystemDialogue(QuietDevice):
    """A platform whose own dialogue saves into `folder`, or answers with a sentence."""

    def __init__(self, folder: Path, sentence: str = "") -> None:
        super().__init__(folder)
        self.sentence = sentence

    def can_ask(self) -> bool:
        return True

    def ask_to_save(self, source: Path, name: str, on_end: Callable[[str], None]) -> None:
        if not self.sentence:
            self.folder.mkdir(exist_ok=True)
            shutil.copyfile(source, self.folder / name)
        on_end(self.sentence)


class AskedSystem:
    """A system that asks once, and then only has settings."""

    def __init__(self) -> None:
        self.is_allowed = self.is_denied = False
        self.n_asked = self.n_settings = 0

    def may_record(self) -> bool:
        return self.is_allowed

    def is_denied_for_ever(self) -> bool:
        return self.is_denied

    def ask_to_record(self) -> None:
        self.n_asked += 1

    def can_open_settings(self) -> bool:
        return True

    def open_settings(self) -> None:
        self.n_settings += 1


def facilities(device: QuietDevice) -> Facilities:
    return Facilities(device, device, device, device, device)


def field_work(folder: Path, schedule: Callable, microphone=None, load_screener=lambda: None, **options) -> FieldWork:
    """The application's state over `folder`, with files to choose from in a folder beside it."""
    chosen_from = folder / "files"
    chosen_from.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    data.mkdir(exist_ok=True)
    device = facilities(QuietDevice(chosen_from))
    return FieldWork(data, DesktopDeviceSecret(data), microphone, device, schedule, load_screener, **options)
