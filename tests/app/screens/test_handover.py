"""Handing over, by taps."""

import threading

import pytest

from tests.app.field_day import PASSCODE, SystemDialogue, facilities
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
    work = shell.work
    stage.wait(lambda: work.navigation.top.facts.get("step") == "receipt" and not work.is_working)


@pytest.mark.long
def test_everything_goes_into_one_file_that_holds_nothing_readable(filled, stage):
    shell, ids = filled
    hand_over_everything(shell, stage)
    (path,) = shell.work.facilities.files.folders()[0].glob("*.tussis-handover")
    assert not any(participant_id.encode() in path.read_bytes() for participant_id in ids)
    assert path.name in stage.text
    assert all(attempt.handed_over for attempt in shell.work.casebook.attempts())


@pytest.mark.long
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


@pytest.mark.long
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
    stage.wait(lambda: not shell.work.is_working and "Delete the recordings" in stage.text)
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


@pytest.mark.long
def test_while_locked_everything_can_be_handed_over_and_is_marked_after_the_next_unlock(filled, stage):
    shell, ids = filled
    shell.work.lock()
    stage.draw()
    stage.press_words("Hand over without unlocking")
    assert "This works without the passcode" in stage.text and "Choose participants" not in stage.text
    hand_over_everything(shell, stage)
    assert "Unlock to enter the receipt." in stage.text
    assert not any(participant_id in stage.text for participant_id in ids)
    for _ in range(2):
        stage.press_back()
    stage.enter("Enter your passcode", PASSCODE)
    stage.press_words("Unlock")
    stage.wait(lambda: shell.work.navigation.top.name == "home")
    assert "Nothing waits" in stage.text
    assert all(attempt.handed_over for attempt in shell.work.casebook.attempts())


def test_with_a_forgotten_passcode_the_records_can_be_handed_over_first(filled, stage):
    shell, _ = filled
    shell.work.lock()
    stage.draw()
    stage.press_words("Forgot the passcode?")
    stage.press_words("Hand over first")
    hand_over_everything(shell, stage)
    stage.press_back()
    stage.press_back()
    assert shell.work.navigation.top.facts["step"] == "forgotten"


@pytest.mark.long
def test_how_far_it_is_is_shown_and_it_can_be_stopped(filled, stage, monkeypatch):
    from app import handover

    shell, _ = filled
    reached, go_on, real = threading.Event(), threading.Event(), handover._pieces

    def hold(*arguments):
        reached.set()
        assert go_on.wait(60)
        return real(*arguments)

    monkeypatch.setattr("app.handover._pieces", hold)
    stage.press_words("Hand over everything")
    stage.press_words("Save here")
    assert reached.wait(60)
    n_all = shell.work.handovers.progress.n_all_records
    stage.wait(lambda: f" of {n_all} records" in stage.text)
    assert " kB of " in stage.text
    stage.press_back()
    stage.press_words("Go on")
    assert shell.work.navigation.top.facts["step"] == "writing"
    stage.press_words("Stop")
    stage.press_words("Stop")
    go_on.set()
    stage.wait(lambda: not shell.work.handovers.is_running)
    assert "The hand-over was stopped. Nothing was handed over." in stage.text
    assert shell.work.navigation.names == ("home", "handover")
    assert list(shell.work.facilities.files.folders()[0].iterdir()) == []
    assert not any(attempt.handed_over for attempt in shell.work.casebook.attempts())


@pytest.mark.long
def test_where_the_system_has_a_dialogue_it_saves_the_file(filled, stage, tmp_path):
    shell, _ = filled
    dialogue = SystemDialogue(tmp_path / "card")
    shell.work.facilities = facilities(dialogue)
    shell.work.handovers._files = dialogue
    stage.press_words("Hand over everything")
    stage.wait(lambda: shell.work.navigation.top.facts.get("step") == "receipt")
    assert len(list((tmp_path / "card").iterdir())) == 1
    assert all(attempt.handed_over for attempt in shell.work.casebook.attempts())
