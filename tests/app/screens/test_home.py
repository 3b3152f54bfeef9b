"""The first page, by taps."""

import pytest

from tests.app.field_places import add_participant, add_recording


@pytest.mark.long
def test_unfinished_work_stands_first_and_names_participant_task_and_seconds(opened, stage):
    shell = opened()
    participant_id = add_participant(shell.work.casebook)
    add_recording(shell.work.casebook, participant_id, "coughs", seconds=7.2)
    shell.work.changed()
    stage.draw()
    lines = stage.text.splitlines()
    place = lines.index(f"Finish {participant_id}")
    assert "Coughs: 7.2 s kept" in lines
    assert place < lines.index("Participants")
    stage.press_words(f"Finish {participant_id}")
    assert shell.work.navigation.names == ("home", "recording")


@pytest.mark.long
def test_practice_is_said_and_each_row_leads_to_its_page_and_back_again(opened, stage):
    shell = opened()
    assert "PRACTICE: these records never count" in stage.text
    for words, place in (
        ("Participants", "participants"),
        ("History", "history"),
        ("Hand over", "handover"),
        ("Study and settings", "study"),
        ("For engineers", "engineer"),
        ("Add a participant", "enrolment"),
    ):
        stage.press_words(words)
        assert shell.work.navigation.names == ("home", place)
        stage.press_back()
        assert shell.work.navigation.names == ("home",)
    stage.press_back()
    assert shell.work.navigation.names == ("home",)


def test_what_waits_for_the_hand_over_is_counted(opened, stage):
    shell = opened()
    assert "Nothing waits" in stage.text
    participant_id = add_participant(shell.work.casebook)
    add_recording(shell.work.casebook, participant_id, "coughs", state="kept")
    shell.work.changed()
    stage.draw()
    assert "1 recording waits" in stage.text
    assert "1 participant" in stage.text


def test_a_model_that_does_not_load_is_told(opened, stage):
    from core.errors import BundleError

    def load():
        raise BundleError("model.tflite was altered")

    shell = opened(load_screener=load)
    stage.wait(lambda: shell.work.screener_error != "")
    stage.draw()
    assert "model.tflite was altered" in stage.text


def test_the_lock_asks_for_the_passcode_and_leaves_nothing_readable(opened, stage):
    shell = opened()
    participant_id = add_participant(shell.work.casebook)
    stage.press(shell.page.ids.lock_button)
    assert shell.work.navigation.names == ("unlock",)
    assert not shell.work.vault.is_open and shell.work.casebook is None
    assert participant_id not in stage.text
