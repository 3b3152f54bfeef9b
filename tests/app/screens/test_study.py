"""The study and the settings, by taps."""

import pytest

from app import words
from tests.app.fake_microphones import ScriptedMicrophone
from tests.app.field_day import PASSCODE
from tests.app.field_places import add_participant
from tests.app.signed_studies import write_study


@pytest.fixture
def study(opened, stage):
    shell = opened()
    stage.press_words("Study and settings")
    return shell


def test_what_the_study_says_is_shown(study, stage):
    for part in ("Practice study", "practice", "Coughs", "3 rounds · 10 s", "300 seconds"):
        assert part in stage.text


def test_the_language_changes_at_once(study, stage):
    stage.press_words("Language")
    stage.press_words("Español")
    assert words.shown_language() == "es"
    assert study.work.preferences.language == "es"
    assert study.work.navigation.names == ("home", "study")
    assert "Estudio de práctica" in stage.text


class ManyWays(ScriptedMicrophone):
    """A microphone with several ways to record."""

    sources, source = ("UNPROCESSED", "VOICE_RECOGNITION", "MIC"), ""


@pytest.mark.long
def test_the_way_in_which_the_microphone_records_is_a_setting_that_stays(opened, window, stage):
    microphone = ManyWays()
    shell = opened(microphone=microphone)
    stage.press_words("Study and settings")
    stage.press_words("Microphone")
    stage.press_words("Unprocessed")
    assert microphone.source == "UNPROCESSED" and shell.work.navigation.names == ("home", "study")
    assert "Unprocessed" in stage.text
    again = ManyWays()
    window(microphone=again)
    assert again.source == "UNPROCESSED"


def test_a_microphone_with_one_way_to_record_is_no_setting(study, stage):
    assert "Microphone" not in stage.text.splitlines()


def change_passcode(stage, work, old, new, again):
    stage.press_words("Change the passcode")
    stage.enter("Enter your passcode", old)
    stage.press_words("Continue")
    stage.enter("New passcode", new)
    stage.press_words("Continue")
    stage.enter("The same passcode again", again)
    stage.press_words("Finish")
    stage.wait(lambda: not work.is_working)


@pytest.mark.long
def test_the_passcode_is_changed_and_the_records_stay_readable(study, stage):
    work = study.work
    participant_id = add_participant(work.casebook)
    change_passcode(stage, work, PASSCODE, "864208", "864208")
    assert "The passcode was changed." in stage.text
    work.lock()
    stage.draw()
    stage.enter("Enter your passcode", "864208")
    stage.press_words("Unlock")
    stage.wait(lambda: work.navigation.top.name == "home")
    assert [each.participant_id for each in work.casebook.participants()] == [participant_id]


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "again", "sentence"),
    [
        ("000000", "864208", "The old passcode was wrong. Nothing was changed."),
        (PASSCODE, "864209", "The two passcodes differ. Enter the same one again."),
    ],
)
def test_a_wrong_old_passcode_or_two_different_new_ones_change_nothing(study, stage, old, again, sentence):
    change_passcode(stage, study.work, old, "864208", again)
    assert sentence in stage.text
    study.work.lock()
    study.work.vault.unlock(PASSCODE)


@pytest.mark.long
def test_another_study_is_used_after_a_question(study, stage):
    work = study.work
    path = write_study(work.facilities.files.folders()[0] / "coughs.tussis-study")
    stage.press_words("Use another study")
    stage.press_words("Open a study file")
    stage.press_words(path.name)
    stage.press_words("Use it")
    stage.wait(lambda: work.navigation.top.name == "home")
    assert not work.study.is_practice
    assert work.records.study_public_key == work.study.handover_public_key


@pytest.mark.long
def test_a_file_that_is_no_study_changes_nothing(study, stage):
    work = study.work
    (work.facilities.files.folders()[0] / "bad.tussis-study").write_bytes(b"no study")
    stage.press_words("Use another study")
    stage.press_words("Open a study file")
    stage.press_words("bad.tussis-study")
    stage.press_words("Use it")
    stage.wait(lambda: not work.is_working)
    assert "bad.tussis-study" in stage.text
    assert work.study.is_practice and work.casebook is not None
