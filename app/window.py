"""Puts the app together: window, controller, microphone and screener."""

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from kivy.app import App
from kivy.clock import Clock
from kivy.config import Config
from kivy.logger import Logger
from kivy.metrics import Metrics

from app import strings
from app.controller import Controller, Job
from app.devices.desktop_microphone import DesktopMicrophone
from app.screens import theme
from app.session import Session, State, recordings_folder
from core.audio import write_wav
from core.bundle import Bundle
from core.demonstration import synthesize_demonstration
from core.errors import TussisError
from core.files import check_writable
from core.screener import Screener

WINDOW_SIZE = (400, 780)
PICTURE_SIZE_DP = (360, 900)
PICTURE_DENSITY = 2  # pixels per dp
PICTURE_DELAY_S = 0.2


class TussisApp(App):
    """The application: one screen and its controller."""

    title = strings.APP_NAME

    def __init__(self, load_screener: Callable[[], Screener], recording: Path | None) -> None:
        super().__init__()
        self._recording = recording
        self._load_screener = load_screener

    def build(self) -> object:
        """Kivy's call for the root widget."""
        from app.screens.screening import ScreeningScreen

        folder = recordings_folder(Path(self.user_data_dir))
        self.controller = Controller(self._load_screener, DesktopMicrophone(), folder, on_main_thread)
        return ScreeningScreen(self.controller)

    def on_start(self) -> None:
        """Load the model, and screen what the command line named."""
        self.controller.open()
        if self._recording is not None:
            self.controller.screen(self._recording)

    def on_stop(self) -> None:
        """Finish the file of a recording that is being made."""
        self.controller.close()

    def on_pause(self) -> bool:
        """Stay alive in the background of a phone."""
        return True


def on_main_thread(job: Job) -> None:
    """Have Kivy's thread call `job` before the next frame; may be called from any thread."""
    Clock.schedule_once(lambda _: job())


def run(recording: Path | None, load: Callable[[], Bundle], threads: int, screenshot: Path | None) -> None:
    """Show the window until it is closed, or until the picture that was asked for is written.

    `load` opens the bundle, away from the main thread.
    """

    def load_screener() -> Screener:
        return Screener(load(), threads)

    _quieten_kivy()
    if screenshot is None:
        _open_window()
        _show(TussisApp(load_screener, recording))
        return
    width, height = (PICTURE_DENSITY * length for length in PICTURE_SIZE_DP)
    check_writable(screenshot, f"a picture of {width} x {height}")
    Metrics.density = PICTURE_DENSITY
    _open_window()
    with tempfile.TemporaryDirectory() as folder:
        _take_picture(TussisApp(load_screener, recording or _demonstration(Path(folder))), screenshot)


def _quieten_kivy() -> None:
    """Kivy logs a traceback for each optional library it lacks (xclip, say); what matters here is raised."""
    if os.environ.get("KIVY_LOG_MODE") == "PYTHON":
        Logger.setLevel(logging.CRITICAL + 1)


def _open_window() -> None:
    """Settle size and input, then have Kivy make its window; raises where it cannot."""
    Config.set("graphics", "width", WINDOW_SIZE[0])
    Config.set("graphics", "height", WINDOW_SIZE[1])
    Config.set("graphics", "minimum_width", 320)
    Config.set("graphics", "minimum_height", 480)
    Config.set("input", "mouse", "mouse,disable_multitouch")
    from kivy.core.window import Window

    if Window is None:
        raise TussisError(
            "no window can be opened, because this machine gives no OpenGL drawing surface (Debian: libgl1-mesa-dri); "
            "tussis-screen works without one."
        )
    Window.clearcolor = theme.GROUND


def _show(app: TussisApp) -> None:
    from kivy.core.window import Window

    Window.bind(on_drop_file=lambda window, name, *_: app.controller.screen(Path(os.fsdecode(name))))
    app.run()


def _demonstration(folder: Path) -> Path:
    """The synthetic recording as a file, under a name that says what it is."""
    path = folder / "synthetic demonstration.wav"
    write_wav(path, synthesize_demonstration())
    return path


def _take_picture(app: TussisApp, path: Path) -> None:
    """Run until the recording has been screened, and write what is then on the screen; raises its error."""

    def on_change(session: Session) -> None:
        if session.state in (State.RESULT, State.ERROR):
            Clock.schedule_once(lambda _: finish(), PICTURE_DELAY_S)

    def begin() -> None:
        # A size of its own, because the window's is limited by the screen.
        app.root.size_hint = (None, None)
        app.root.size = [PICTURE_DENSITY * length for length in PICTURE_SIZE_DP]
        app.controller.subscribe(on_change)

    def finish() -> None:
        if app.controller.session.state is State.RESULT:
            app.root.export_to_png(str(path))
        app.stop()

    app.bind(on_start=lambda _: begin())
    app.run()
    if app.controller.session.error:
        raise TussisError(app.controller.session.error)
