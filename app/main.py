"""Starts the app's window from a command line: `tussis-app [RECORDING]`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from app.data_folder import FolderLock, data_folder
from app.devices.platform import is_phone
from core.errors import TussisError, exit_on_error
from core.screen_command import add_model_options, add_trust_options
from core.signing import read_trust

COMMAND = "tussis-app"
EXAMPLE = """examples:
  tussis-app               open the window
  tussis-app cough.wav     open it on the engineer's page, and screen a recording
  TUSSIS_HOME=trial tussis-app   keep everything in the folder trial
"""
KIVY_FOLDER = "kivy"


def main(arguments: Sequence[str] | None = None) -> None:
    """Open the window; exit status 2 with one sentence where that is impossible."""
    options = _parser().parse_args(arguments)
    with exit_on_error(COMMAND):
        if is_phone() and _answers_benchmark():
            return
        trust = read_trust(options.require_signature, options.trusted)
        _check_display()
        folder = data_folder()
        FolderLock(folder).release()  # another window that is unlocked holds it
        _prepare_kivy(folder)
        # Kivy reads sys.argv and its settings, and opens the window, while it is imported.
        from app.window import open_work, run

        work = open_work(folder, options.bundle, trust, options.threads)
        if options.recording is not None:
            work.navigation.go("engineer", recording=options.recording)
        run(work)


def _answers_benchmark() -> bool:
    from app.devices.android.benchmark_intent import answer_benchmark

    return answer_benchmark()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Record participants of a study, guided and sealed; or screen a recording on the engineer's page.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recording", nargs="?", type=Path, metavar="RECORDING", help="screen this recording at once")
    add_model_options(parser)
    add_trust_options(parser)
    return parser


def _prepare_kivy(folder: Path) -> None:
    """Tell Kivy, before it is imported, to leave our arguments, our logging and the user's home alone."""
    os.environ["KIVY_NO_ARGS"] = "1"
    os.environ.setdefault("KIVY_LOG_MODE", "PYTHON")
    os.environ.setdefault("KIVY_NO_FILELOG", "1")
    os.environ.setdefault("KIVY_HOME", str(folder / KIVY_FOLDER))


def _check_display() -> None:
    """Raise where SDL would draw where nobody can see it, and wait for ever."""
    if not sys.platform.startswith("linux"):
        return
    if not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "ANDROID_ARGUMENT")):
        raise TussisError(
            "there is no display to open a window on (neither DISPLAY nor WAYLAND_DISPLAY is set); "
            "tussis-screen works without one."
        )


if __name__ == "__main__":
    main()
