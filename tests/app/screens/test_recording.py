"""One recording's page, by taps."""

import pytest

from tests.app.field_places import add_participant, add_recording


@pytest.fixture
def recording(opened, stage, default_bundle):
    from core.screener import Screener

    shell = opened(load_screener=lambda: Screener(default_bundle))
    participant_id = add_participant(shell.work.casebook)

    def open_page(**facts):
        attempt = add_recording(shell.work.casebook, participant_id, "coughs", **facts)
        shell.work.navigation.go("recording", record_id=attempt.record_id)
        stage.draw()
        return shell, attempt.record_id

    return open_page


@pytest.mark.long
def test_the_sound_is_played_whole_and_stops_by_itself(recording, stage):
    shell, _ = recording(seconds=2, state="kept")
    device = shell.work.facilities.playback
    stage.press_words("Play")
    stage.wait(lambda: device.played == [32_000] and not shell.work.playing)
    assert "Play" in stage.text


@pytest.mark.long
def test_leaving_the_page_stops_what_is_played(recording, stage):
    shell, record_id = recording(state="kept")
    device = shell.work.facilities.playback
    device.ends_at_once = False
    stage.press_words("Play")
    stage.wait(lambda: device.played)
    assert "Stop" in stage.text and shell.work.playing == record_id
    stage.press_back()
    assert shell.work.playing == "" and device.n_stops > 0


def test_a_note_is_added_and_found(recording, stage):
    shell, _ = recording(state="kept")
    field = next(each for each in shell.page.walk() if getattr(each, "hint", "") == "Write a note; no names")
    field.text = "a motorbike\npassed"
    stage.press_words("Add the note")
    stage.wait(lambda: not shell.work.is_working)
    assert "a motorbike passed" in stage.text
    (found,) = shell.work.casebook.attempts(text="motorbike")
    assert len(found.notes) == 1


def test_an_unfinished_recording_is_screened_and_kept_with_its_reason(recording, stage):
    shell, record_id = recording(seconds=3)
    stage.press_words("Keep what is there")
    stage.wait(lambda: not shell.work.is_working)
    attempt = shell.work.casebook.attempt(record_id)
    assert str(attempt.state) == "kept_with_reason"
    assert attempt.screening is not None and attempt.verdict["outcome"] in ("good", "poor", "could_not_be_judged")
    assert "It was left in its middle" in stage.text
    assert shell.work.casebook.unfinished() == []


def test_going_on_leads_to_the_participant(recording, stage):
    shell, _ = recording(seconds=3)
    stage.press_words("Go on with the tasks")
    assert shell.work.navigation.names == ("home", "participant")
