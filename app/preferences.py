"""Keeps what is needed before a passcode: the language of the words, which study was chosen, and the microphone."""

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from app.words import LANGUAGES, SOURCE_LANGUAGE
from core.errors import TussisError
from core.files import write_atomically
from core.json_fields import parse_object

FILE_NAME, SCHEMA = "preferences.json", "tussis.preferences/1"
MAX_BYTES = 4096
PRACTICE, FROM_FILE = "practice", "file"


@dataclass(frozen=True)
class Preferences:
    """``study`` is `PRACTICE`, `FROM_FILE`, or "" where none was chosen yet.

    ``microphone_source`` is the way in which the microphone records; "" for the best that the device has.
    """

    language: str = SOURCE_LANGUAGE
    study: str = ""
    microphone_source: str = ""

    def write(self, folder: Path) -> None:
        """Keep them in `folder`; raises `OutputError`."""
        write_atomically(folder / FILE_NAME, json.dumps({"schema": SCHEMA, **asdict(self)}))


def read_preferences(folder: Path) -> Preferences:
    """What `folder` holds; what is missing or was damaged there has to be chosen again."""
    with contextlib.suppress(OSError, TussisError):
        with (folder / FILE_NAME).open("rb") as file:
            fields = parse_object(file.read(MAX_BYTES), FILE_NAME, TussisError)
        fields.one_of("schema", (SCHEMA,))
        return Preferences(
            fields.one_of("language", tuple(LANGUAGES)),
            fields.one_of("study", ("", PRACTICE, FROM_FILE)),
            str(fields.values.get("microphone_source", ""))[:40],
        )
    return Preferences()
