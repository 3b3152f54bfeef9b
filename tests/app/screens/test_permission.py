"""Why the microphone is needed, before the system asks, by taps."""

from dataclasses import replace

import pytest

from tests.app.fake_microphones import ScriptedMicrophone
from tests.app.field_day import AskedSystem
from tests.app.field_places import add_participant


@pytest.fixture
def at_participant(opened, stage, stand_in_screener):
    shell = opened(microphone=ScriptedMicrophone(), load_screener=lambda: stand_in_screener)
    participant_id = add_participant(shell.work.casebook)
    system = AskedSystem()
    shell.work.facilities = replace(shell.work.facilities, permission=system)
    shell.work.navigation.go("participant", participant_id=participant_id)
    stage.wait(lambda: shell.work.screener is not None)
    stage.draw()
    return shell, system


def test_the_reason_comes_before_the_systems_question_and_the_tasks_follow_the_answer(at_participant, stage):
    shell, system = at_participant
    shell.work.start_tasks(shell.work.navigation.top.facts["participant_id"])
    stage.draw()
    assert "Tussis needs the microphone" in stage.text and system.n_asked == 0
    stage.press_words("Continue")
    assert system.n_asked == 1 and shell.work.session is None
    system.is_allowed = True
    stage.wait(lambda: shell.work.navigation.top.name == "task")
    assert shell.work.navigation.names == ("home", "participant", "task")


def test_denied_for_ever_leads_to_the_settings_and_back_changes_nothing(at_participant, stage):
    shell, system = at_participant
    system.is_denied = True
    shell.work.start_watching("")
    stage.draw()
    assert "The phone asks no more." in stage.text
    stage.press_words("Open the settings")
    assert (system.n_settings, system.n_asked) == (1, 0)
    stage.press_back()
    assert shell.work.navigation.top.name == "participant" and shell.work.monitoring is None
