"""Watching for hours, by taps, with a fake microphone."""

import pytest

from tests.app.fake_microphones import ScriptedMicrophone
from tests.app.field_day import PASSCODE


@pytest.fixture
def at_monitor(window, stage, stand_in_screener):
    """Sets up with the practice study and opens the page for watching a room."""

    def open_page(microphone):
        shell = window(microphone=microphone, load_screener=lambda: stand_in_screener)
        work = shell.work
        work.navigation.restart("unlock", step="language")
        work.set_up(PASSCODE, None)
        stage.wait(lambda: work.casebook is not None and work.navigation.top.name == "home")
        work.navigation.go("monitor")
        stage.draw()
        return shell

    return open_page


@pytest.mark.long
def test_it_is_said_what_is_kept_and_stopping_asks_and_keeps_the_counts(at_monitor, stage):
    shell = at_monitor(ScriptedMicrophone())
    assert "Counts by the hour. No sound is kept." in stage.text
    stage.press_words("Start listening")
    stage.wait(lambda: "Listening for coughs" in stage.text)
    assert shell.work.is_recording
    stage.press_words("Stop listening")
    assert "Stop listening?" in stage.text
    stage.press_words("Go on listening")
    assert shell.work.is_recording
    stage.press_back()
    assert "Stop listening?" in stage.text and shell.work.navigation.top.name == "monitor"
    shell.sheet.buttons["yes"].dispatch("on_release")
    stage.wait(lambda: "Ended" in stage.text)
    (kept,) = shell.work.casebook.monitorings()
    assert kept.participant_id == "" and kept.sound_s == 0
    stage.press_words("Done")
    assert shell.work.navigation.top.name == "home"


@pytest.mark.long
def test_an_hour_that_could_not_be_judged_is_a_question_mark_and_never_no_cough(at_monitor, stage):
    from app.monitoring_session import MonitoringState
    from app.sound.watching import HourCount

    shell = at_monitor(ScriptedMicrophone())
    stage.press_words("Start listening")
    hours = (HourCount(0, 3600.0, 7), HourCount(1, 0.0, None))
    shell.page._tell(MonitoringState("watching", 5400.0, hours, 7))
    assert shell.page._watch.clock == "1:30:00" and shell.page._watch.coughs == "7"
    assert list(shell.page._watch.counts) == [7, -1]
    shell.page._tell(MonitoringState("watching", 60.0, hours[1:], None))
    assert shell.page._watch.coughs == "?"


def test_a_microphone_that_fails_is_a_sentence_and_one_tap_goes_on(at_monitor, stage):
    at_monitor(ScriptedMicrophone({30: "unplug", 31: "sound"}))
    stage.press_words("Start listening")
    stage.wait(lambda: "The microphone was unplugged." in stage.text)
    stage.press_words("Go on")
    stage.wait(lambda: "Listening for coughs" in stage.text)


@pytest.mark.long
def test_a_page_that_is_built_anew_shows_the_same(at_monitor, stage):
    shell = at_monitor(ScriptedMicrophone())
    stage.press_words("Start listening")
    stage.wait(lambda: "Listening for coughs" in stage.text)
    shell.rebuild()
    stage.draw()
    assert "Coughs by the hour" in stage.text and "Stop listening" in stage.text and "Start" not in stage.text
