"""Writes a picture of every page at 360 x 640: `python -m tests.app.pictures FOLDER [LANGUAGE]`."""

import os
import sys
import tempfile
from pathlib import Path

from tests.app.conftest import KIVY_ENVIRONMENT

DENSITY = 2
SIZE_DP = (360, 640)


def main(folder: Path, language: str = "en") -> None:
    """Write the pictures; what they show is filled in with the real parts and a synthetic recording."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        os.environ.update({**KIVY_ENVIRONMENT, "KIVY_HOME": home, "KIVY_METRICS_DENSITY": str(DENSITY)})
        _write(folder, Path(home), language)


def _write(folder: Path, home: Path, language: str) -> None:
    from kivy.clock import Clock

    from app import words
    from app.screens.shell import Shell
    from core.bundle import load_bundle
    from core.screener import Screener
    from tests.app import field_places
    from tests.app.field_day import field_work
    from tests.app.stage import Stage

    stage = Stage()
    stage.size = tuple(DENSITY * length for length in SIZE_DP)
    screener = Screener(load_bundle())
    work = field_work(home, lambda job: Clock.schedule_once(lambda _: job()), load_screener=lambda: screener)
    words.set_language(language)
    shell = Shell(work)
    stage.show(shell)
    work.open()
    for name in field_places.locked_places(work):
        _save(stage, shell, folder / f"{name}.png")
    field_places.fill(work, stage.draw, screener)
    words.set_language(language)
    for name in field_places.open_places(work):
        _save(stage, shell, folder / f"{name}.png")
    work.lock()
    work.navigation.go("handover")
    _save(stage, shell, folder / "handover_locked.png")
    work.close()


def _save(stage: object, shell: object, path: Path) -> None:
    shell.work.touched()  # a slow machine takes longer than the lock waits
    stage.draw(4)
    while shell.work.is_working:
        stage.draw(1)
    stage.draw(4)
    shell.export_to_png(str(path))
    print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
