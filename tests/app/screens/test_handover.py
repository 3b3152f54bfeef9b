"""Handing over, by taps."""

import pytest

from tests.app.field_places import add_participant, add_recording


@pytest.fixture
def filled(opened, stage):
    shell = opened()
    ids = [add_participant(shell.work.casebook, serial) for serial in (1, 2)]
    for participant_id in ids:
        add_recording(shell.work.casebook, participant_id, "coughs", state="kept")
    shell.work.navigation.go("handover")
    stage.draw()
    return shell, ids


def hand_over_everything(shell, stage):
    stage.press_words("Hand over everything")
    stage.press_words("Save here")
    stage.wait(lambda: shell.work.navigation.top.facts.get("step") == "receipt")


def test_everything_goes_into_one_file_that_holds_nothing_readable(filled, stage):
    shell, ids = filled
    hand_over_everything(shell, stage)
    (path,) = shell.work.facilities.files.folders()[0].glob("*.tussis-handover")
    assert not any(participant_id.encode() in path.read_bytes() for participant_id in ids)
    assert path.name in stage.text
    assert all(attempt.handed_over for attempt in shell.work.casebook.attempts())


def test_chosen_participants_alone_are_handed_over(filled, stage):
    shell, (first, second) = filled
    stage.press_words("Choose participants")
    stage.draw(6)
    stage.press_words(second)
    stage.press_words("Hand over 1 participant")
    stage.press_words("Save here")
    stage.wait(lambda: shell.work.navigation.top.facts.get("step") == "receipt")
    handed_over = {attempt.participant_id: attempt.handed_over for attempt in shell.work.casebook.attempts()}
    assert handed_over == {first: False, second: True}


def test_deleting_is_offered_only_once_the_receipt_was_typed_in(filled, stage, monkeypatch):
    from app.handover import receipt

    secrets = []
    monkeypatch.setattr("app.handover.receipt", lambda secret, id_: secrets.append(receipt(secret, id_)) or secrets[-1])
    shell, _ = filled
    hand_over_everything(shell, stage)
    assert "Delete the recordings" not in stage.text
    digits = secrets[0].replace("-", "")
    stage.enter("Receipt", digits[:-1] + str((int(digits[-1]) + 1) % 10))
    stage.press_words("Check the receipt")
    stage.wait(lambda: not shell.work.is_working)
    assert "read the receipt again" in stage.text and "Delete the recordings" not in stage.text
    stage.enter("Receipt", digits)
    stage.press_words("Check the receipt")
    stage.wait(lambda: not shell.work.is_working)
    stage.press_words("Delete the recordings")
    stage.press_words("Cancel")
    assert len(shell.work.casebook.attempts()) == 2
    stage.press_words("Delete the recordings")
    stage.press_words("Delete")
    stage.wait(lambda: not shell.work.is_working)
    assert shell.work.casebook.attempts() == []
    assert len(shell.work.casebook.participants()) == 2
    assert "2 recordings were deleted." in stage.text


def test_a_folder_that_cannot_be_written_is_a_sentence_and_nothing_is_marked(filled, stage, monkeypatch):
    from core.errors import OutputError

    def refuse(folder):
        raise OutputError(f"the folder {folder} cannot be made: Read-only file system.")

    monkeypatch.setattr("app.handover.make_folder", refuse)
    shell, _ = filled
    stage.press_words("Hand over everything")
    stage.press_words("Save here")
    stage.wait(lambda: not shell.work.is_working)
    assert "Read-only file system" in stage.text
    assert not any(attempt.handed_over for attempt in shell.work.casebook.attempts())
