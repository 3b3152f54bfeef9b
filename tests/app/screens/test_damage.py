"""What the first page and the list say of records that were altered or saved from a damaged file, by taps."""

import contextlib
import sqlite3

import pytest

from app import words
from app.records import FILE_NAME
from tests.app.field_day import PASSCODE
from tests.app.field_places import add_participant, add_recording


@pytest.fixture
def harmed(opened, stage):
    """Locks, has the file of the records harmed, and unlocks; gives the shell and the recordings."""

    def harm(change):
        shell = opened()
        work = shell.work
        ids = [add_participant(work.casebook, serial) for serial in (1, 2)]
        kept = [add_recording(work.casebook, participant_id, "coughs", state="kept") for participant_id in ids]
        work.lock()
        change(work.folder / FILE_NAME, kept)
        work.unlock(PASSCODE, work.show_error)
        stage.wait(lambda: work.navigation.top.name == "home" and not work.is_working)
        return shell, kept

    return harm


def alter(path, kept):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        (sealed,) = connection.execute("SELECT sealed FROM records WHERE id = ?", (kept[0].record_id,)).fetchone()
        altered = sealed[:-1] + bytes([sealed[-1] ^ 1])
        connection.execute("UPDATE records SET sealed = ? WHERE id = ?", (altered, kept[0].record_id))


@pytest.mark.long
def test_an_altered_record_is_told_in_one_sentence_and_named_in_the_list(harmed, stage):
    shell, kept = harmed(alter)
    assert "1 record was altered outside Tussis and cannot be read." in stage.text
    stage.press_words("Which records")
    stage.wait(lambda: "Altered: it cannot be read" in stage.text)
    lines = stage.text.splitlines()
    assert lines.index("Altered: it cannot be read") < lines.index(kept[1].participant_id)
    stage.press_back()
    assert shell.work.navigation.names == ("home",)


def test_what_was_saved_from_a_damaged_file_is_told_in_every_language(harmed, stage):
    shell, _ = harmed(lambda path, _: path.write_bytes(b"no database " * 1000))
    assert "The file of the records was damaged, and 0 records were saved from it." in stage.text
    for language, said in (("es", "dañado"), ("fr", "abîmé"), ("pt", "danificado"), ("sw", "liliharibika")):
        words.set_language(language)
        shell.rebuild()
        stage.draw()
        assert said in stage.text


def test_nothing_is_said_where_nothing_is_wrong(harmed, stage):
    harmed(lambda path, kept: None)
    assert "damaged" not in stage.text and "altered" not in stage.text and "Which records" not in stage.text
