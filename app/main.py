"""Starts the app's window from a command line: `tussis-app [RECORDING]`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from core.bundle import load_bundle
from core.errors import TussisError, exit_on_error
from core.screen_command import add_model_options, add_trust_options
from core.signing import read_trust

COMMAND = "tussis-app"
EXAMPLE = """examples:
  tussis-app                        open the window
  tussis-app cough.wav              open it and screen a recording
  tussis-app --screenshot app.png   screen the demonstration recording, write a picture of the result, and quit
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Open the window; exit status 2 with one sentence where that is impossible."""
    options = _parser().parse_args(arguments)
    with exit_on_error(COMMAND):
        trust = read_trust(options.require_signature, options.trusted)
        _prepare_environment(picture=options.screenshot is not None)
        # Kivy reads sys.argv and its settings, and opens the window, while it is imported.
        from app.window import run

        run(options.recording, lambda: load_bundle(options.bundle, trust), options.threads, options.screenshot)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Record, or open a recording, and see what tussis-screen would print.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recording", nargs="?", type=Path, metavar="RECORDING", help="screen this recording at once")
    add_model_options(parser)
    add_trust_options(parser)
    parser.add_argument(
        "--screenshot",
        type=Path,
        metavar="PATH",
        help="write a PNG of the result of RECORDING (default: the demonstration recording) and quit",
    )
    return parser


def _prepare_environment(picture: bool) -> None:
    """Tell Kivy, before it is imported, to leave our arguments and logging alone; raise where there is no display."""
    os.environ["KIVY_NO_ARGS"] = "1"
    os.environ.setdefault("KIVY_LOG_MODE", "PYTHON")
    os.environ.setdefault("KIVY_NO_FILELOG", "1")
    if not sys.platform.startswith("linux"):
        return
    if picture:
        os.environ.setdefault("SDL_VIDEODRIVER", "offscreen")
    if not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "ANDROID_ARGUMENT")):
        # SDL would then draw where nobody can see it, and wait for ever.
        raise TussisError(
            "there is no display to open a window on (neither DISPLAY nor WAYLAND_DISPLAY is set); "
            "tussis-screen works without one."
        )


if __name__ == "__main__":
    main()
