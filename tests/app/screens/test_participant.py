"""One participant's page, by taps."""

import pytest

from tests.app.field_places import add_participant, add_recording


@pytest.fixture
def page_of(opened, stage):
    def open_page(**options):
        shell = opened(**options)
        participant_id = add_participant(shell.work.casebook, consents=options.pop("consents", True))
        shell.work.navigation.go("participant", participant_id=participant_id)
        stage.draw()
        return shell, participant_id

    return open_page


@pytest.mark.long
def test_without_a_consent_nothing_can_be_recorded(opened, stage):
    shell = opened()
    participant_id = add_participant(shell.work.casebook, consents=False)
    shell.work.navigation.go("participant", participant_id=participant_id)
    stage.draw()
    assert "No consent yet" in stage.text
    assert "Start recording" not in stage.text
    stage.press_words("Read and sign the consent")
    assert shell.work.navigation.top.name == "consent"


def test_the_tasks_and_their_rounds_are_shown(page_of, stage):
    shell, participant_id = page_of()
    for round_ in (1, 2):
        add_recording(shell.work.casebook, participant_id, "coughs", round=round_, state="kept")
    add_recording(shell.work.casebook, participant_id, "coughs", round=3, state="redone")
    shell.work.changed()
    stage.draw()
    lines = stage.text.splitlines()
    assert "2 of 3" in lines and "0 of 3" in lines and "to do" in lines
    assert "Go on recording" in lines
    assert "3 recordings" in lines


@pytest.mark.long
def test_withdrawal_asks_and_then_erases_the_recordings_for_good(page_of, stage):
    shell, participant_id = page_of()
    casebook = shell.work.casebook
    attempt = add_recording(casebook, participant_id, "coughs", state="kept")
    sound = shell.work.records.audio_path(attempt.record_id)
    assert sound.exists()
    shell.work.changed()
    stage.draw()
    stage.press_words("Withdraw the consent")
    assert "1 recording is erased from this device for good." in stage.text
    stage.press_words("Cancel")
    assert str(casebook.consent_state(participant_id)) == "given"
    stage.press_words("Withdraw the consent")
    stage.press_words("Withdraw and erase")
    stage.wait(lambda: not shell.work.is_working)
    assert str(casebook.consent_state(participant_id)) == "withdrawn"
    assert casebook.attempts(participant_id) == [] and not sound.exists()
    assert "Consent withdrawn" in stage.text
    assert "1 recording was erased." in stage.text
