"""Opens the application's window over a data folder, with the device's own facilities."""

import gc
import logging
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from kivy.app import App
from kivy.clock import Clock
from kivy.config import Config
from kivy.logger import Logger
from kivy.metrics import Metrics

from app.devices.platform import open_interpreter, platform_devices
from app.field_work import FieldWork
from app.imported_model import load_model
from core.errors import TussisError
from core.screener import Screener
from core.signing import TrustPolicy

WINDOW_SIZE = (400, 780)
CLOSING_S = 2.0
INSETS_EVERY_S = 0.25


class TussisApp(App):
    """Kivy's application: the window's root over `work`."""

    title = "Tussis"
    use_kivy_settings = False

    def __init__(self, work: FieldWork) -> None:
        super().__init__()
        self.work = work

    def build(self) -> object:
        """Kivy's call for the root widget."""
        from app.screens.shell import Shell

        Clock.schedule_interval(lambda _: self._follow_insets(), INSETS_EVERY_S)
        return Shell(self.work, insets=self._insets())

    def _insets(self) -> list[float]:
        insets = self.work.facilities.display.insets()
        return [insets.left, insets.top, insets.right, insets.bottom]

    def _follow_insets(self) -> None:
        """The keyboard comes and goes, and the phone is turned: Kivy does not tell."""
        self.root.insets = self._insets()

    def on_start(self) -> None:
        """Read the study and load the model, once the window is there."""
        self.work.open()
        self.work.subscribe(self._settle_memory)

    def _settle_memory(self) -> None:
        """Once the model is there, leave what lives for good out of garbage collections: each took 40 ms and more."""
        if self.work.screener is not None:
            self.work.unsubscribe(self._settle_memory)
            gc.freeze()

    def on_stop(self) -> None:
        """Finish a recording that is made, and lock."""
        self.work.close()

    def on_pause(self) -> bool:
        """Stay alive in the background of a phone."""
        return True

    def on_resume(self) -> None:
        """Lock where it is time to, and show the same as before."""
        self.work.lock_if_due()
        self.root.rebuild()

    def open_settings(self, *_: object) -> bool:
        """Kivy's own settings, which F1 would open, are no part of this application."""
        return False


def on_main_thread(job: Callable[[], None]) -> None:
    """Have Kivy's thread call `job` before the next frame; may be called from any thread."""
    Clock.schedule_once(lambda _: job())


def open_work(folder: Path, bundle: Path | None, trust: TrustPolicy, threads: int) -> FieldWork:
    """The application's state over `folder` with this platform's devices; `bundle` is the model to screen with."""

    def load_screener() -> Screener:
        opened = load_model(folder, bundle, trust)
        return Screener(opened, threads, open_interpreter(opened.read_model(), threads, opened.model_shape))

    devices = platform_devices(folder)
    work = FieldWork(
        folder, devices.secret, devices.microphone, devices.facilities, on_main_thread, load_screener, trust
    )
    devices.heed(partial(_stop, work), partial(_close, work))
    return work


def _stop(work: FieldWork) -> None:
    """End what is recorded, as the page's button does; from any thread."""
    if work.session is not None:
        work.session.stop()
    if work.monitoring is not None:
        work.monitoring.stop()


def _close(work: FieldWork) -> None:
    """Close what is recorded, because the system ends the application; not for the main thread."""
    session, monitoring = work.session, work.monitoring
    if session is not None:
        session.abandon()
        session.wait(CLOSING_S)
    if monitoring is not None:
        monitoring.stop()
        end_s = time.monotonic() + CLOSING_S
        while monitoring.is_running and time.monotonic() < end_s:
            time.sleep(0.02)


def run(work: FieldWork) -> None:
    """Show the window until it is closed."""
    _quieten_kivy()
    Metrics.fontscale = work.facilities.display.font_scale()
    _open_window()
    TussisApp(work).run()


def _quieten_kivy() -> None:
    """Kivy logs a traceback for each optional library it lacks (xclip, say); what matters here is raised."""
    if os.environ.get("KIVY_LOG_MODE") == "PYTHON":
        Logger.setLevel(logging.CRITICAL + 1)


def _open_window() -> None:
    """Settle size and input, then have Kivy make its window; raises where it cannot."""
    Config.set("graphics", "width", WINDOW_SIZE[0])
    Config.set("graphics", "height", WINDOW_SIZE[1])
    Config.set("graphics", "minimum_width", 320)
    Config.set("graphics", "minimum_height", 360)
    Config.set("input", "mouse", "mouse,disable_multitouch")
    Config.set("kivy", "exit_on_escape", "0")
    from kivy.core.window import Window

    from app.widgets import theme

    if Window is None:
        raise TussisError(
            "no window can be opened, because this machine gives no OpenGL drawing surface (Debian: libgl1-mesa-dri); "
            "tussis-screen works without one."
        )
    Window.clearcolor = theme.GROUND
