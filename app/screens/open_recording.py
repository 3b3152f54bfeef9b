"""Lets the user choose a recording from the files of the device."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kivy.lang import Builder
from kivy.properties import BooleanProperty, ObjectProperty, StringProperty
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.label import Label
from kivy.uix.modalview import ModalView

from app import strings
from app.screens import controls

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff")


class FileRow(ButtonBehavior, Label):
    """One folder or recording to press."""

    chooser = ObjectProperty(None, allownone=True)
    path = StringProperty()
    is_folder = BooleanProperty(False)


class OpenRecording(ModalView):
    """A list of folders and recordings over the whole window; calls `on_choice` with the path that was pressed.

    Begins in `folder`, or in the user's home folder where `folder` is not there yet.
    """

    folder = ObjectProperty(Path())
    message = StringProperty()

    def __init__(self, folder: Path, on_choice: Callable[[Path], None]) -> None:
        super().__init__()
        self._on_choice = on_choice
        self.go(folder if folder.is_dir() else Path.home())

    def go(self, address: str | Path) -> None:
        """List a folder; choose a file; say so where it is neither."""
        path = Path(address).expanduser()
        if path.is_dir():
            self._list(path.resolve())
        elif path.is_file():
            self.dismiss()
            self._on_choice(path)
        else:
            self.message = strings.no_such_file(path)

    def _list(self, folder: Path) -> None:
        try:
            paths = entries(folder)
        except OSError as error:
            self.message = strings.cannot_list(folder, error)
            return
        self.folder = folder
        self.message = "" if any(not path.is_dir() for path in paths) else strings.EMPTY_FOLDER
        self.ids.list.scroll_y = 1.0
        self.ids.list.data = [self._row(folder.parent, strings.PARENT_FOLDER), *(self._row(path) for path in paths)]

    def _row(self, path: Path, name: str = "") -> dict[str, Any]:
        is_folder = path.is_dir()
        text = name or (f"{path.name}/" if is_folder else path.name)
        return {"text": text, "path": str(path), "is_folder": is_folder, "chooser": self}


def entries(folder: Path) -> list[Path]:
    """The folders by name, then the recordings, newest name first; hidden ones and other files are left out."""
    visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    folders = sorted((path for path in visible if path.is_dir()), key=lambda path: path.name.lower())
    files = [path for path in visible if path.suffix.lower() in SUFFIXES and path.is_file()]
    return folders + sorted(files, key=lambda path: path.name.lower(), reverse=True)


# The rules of this screen use the small widgets' rules, which therefore have to be known first.
assert controls
Builder.load_file(str(Path(__file__).with_suffix(".kv")))
