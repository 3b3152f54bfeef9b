"""Lets a person choose a file from the folders of the device, where the system has no dialogue of its own."""

from pathlib import Path
from typing import Any

from kivy.lang import Builder

from app.widgets.lists import RowList
from app.widgets.page import Page
from app.words import _
from core.errors import OutputError

MAX_ENTRIES = 1000


class FilesPage(Page):
    """Folders, and the files that end as wanted.

    The place's facts: ``suffixes``, a tuple such as ``(".wav",)``; ``choose``, which gets the path of the file. Without
    suffixes a folder is chosen, by a button.
    """

    def __init__(self, *arguments: object, **properties: object) -> None:
        super().__init__(*arguments, **properties)
        self.title = _("Choose a file") if self.place.facts["suffixes"] else _("Choose a folder")
        if not self.place.facts["suffixes"]:
            self.add_button(_("Save here"), self.choose_folder)
        self._show(self.place.draft.get("folder") or self.work.facilities.files.folders()[0])

    def _show(self, folder: Path) -> None:
        try:
            rows = [self._row(path) for path in entries(folder, self.place.facts["suffixes"])]
        except OutputError as error:
            self.work.show_error(error)
            return
        self.place.draft["folder"] = folder
        up = {"text": _("One folder up"), "below": folder.parent.name, "icon": "back", "value": folder.parent}
        self.ids.empty.text = "" if rows else _("Nothing to choose in this folder.")
        self.ids.where.text = folder.name or str(folder)
        self.ids.list.show([*([up] if folder.parent != folder else []), *rows], self._choose)

    def _row(self, path: Path) -> dict[str, Any]:
        is_folder = path.is_dir()
        return {"text": path.name, "icon": "folder" if is_folder else "study", "onward": is_folder, "value": path}

    def _choose(self, path: Path) -> None:
        if path.is_dir():
            self._show(path)
        else:
            self.work.navigation.leave()
            self.place.facts["choose"](path)

    def choose_folder(self) -> None:
        """Take the folder that is shown."""
        folder = self.place.draft["folder"]
        self.work.navigation.leave()
        self.place.facts["choose"](folder)


def entries(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The folders by name, then the files that end so, the newest name first; hidden ones are left out.

    Raises `OutputError` where the folder cannot be read.
    """
    try:
        visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be opened: {error.strerror or error}.") from error
    folders = sorted((path for path in visible if path.is_dir()), key=lambda path: path.name.lower())
    files = [path for path in visible if path.suffix.lower() in suffixes and path.is_file()]
    return (folders + sorted(files, key=lambda path: path.name.lower(), reverse=True))[:MAX_ENTRIES]


RULES_NEEDED = RowList
Builder.load_file(str(Path(__file__).with_suffix(".kv")))
