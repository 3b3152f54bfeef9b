"""Setting up, unlocking and starting anew, by taps."""

import pytest

from app import words
from app.preferences import read_preferences
from tests.app.field_day import PASSCODE


@pytest.fixture
def set_up(window, stage):
    """The window after the set-up with the practice study."""
    shell = window()
    stage.press_words("Continue")
    stage.press_words("Practice")
    stage.enter("New passcode", PASSCODE)
    stage.press_words("Continue")
    stage.enter("The same passcode again", PASSCODE)
    stage.press_words("Finish")
    stage.wait(lambda: shell.work.navigation.top.name == "home")
    return shell


@pytest.mark.long
def test_the_set_up_asks_language_study_and_a_passcode_twice(set_up):
    work = set_up.work
    assert work.vault.is_open
    assert work.study.is_practice
    assert work.casebook.participants() == []
    assert read_preferences(work.folder).study == "practice"


@pytest.mark.long
def test_two_different_passcodes_set_nothing(window, stage):
    shell = window()
    stage.press_words("Continue")
    stage.press_words("Practice")
    stage.enter("New passcode", PASSCODE)
    stage.press_words("Continue")
    stage.enter("The same passcode again", "999999")
    stage.press_words("Finish")
    assert "The two passcodes differ. Enter the same one again." in stage.text
    assert not shell.work.vault.exists


@pytest.mark.long
def test_a_short_passcode_cannot_go_on(window, stage):
    window()
    stage.press_words("Continue")
    stage.press_words("Practice")
    stage.enter("New passcode", "12345")
    assert "Continue" not in {button.text for button in stage.buttons() if hasattr(button, "text")}


def test_the_language_that_is_chosen_is_shown_at_once_and_at_the_next_start(window, stage):
    shell = window()
    stage.press_words("Français")
    assert words.shown_language() == "fr"
    assert read_preferences(shell.work.folder).language == "fr"
    words.set_language("en")
    window()
    assert words.shown_language() == "fr"


@pytest.mark.long
def test_a_wrong_passcode_is_told_and_the_right_one_opens(set_up, stage):
    work = set_up.work
    work.lock()
    stage.draw()
    stage.enter("Enter your passcode", "000000")
    stage.press_words("Unlock")
    stage.wait(lambda: not work.is_working)
    assert "That passcode is wrong." in stage.text
    assert work.casebook is None
    stage.enter("Enter your passcode", PASSCODE)
    stage.press_words("Unlock")
    stage.wait(lambda: work.navigation.top.name == "home")


@pytest.mark.long
def test_many_wrong_passcodes_have_to_wait_and_the_time_is_shown(set_up, stage):
    work = set_up.work
    work.lock()
    stage.draw()
    for _ in range(20):
        if work.vault.wait_s > 2:
            break
        stage.enter("Enter your passcode", "000000")
        stage.press_words("Unlock")
        stage.wait(lambda: not work.is_working)
    stage.wait(lambda: "Wrong too often. Try again in " in stage.text)
    assert not {"1", "Unlock"} & {getattr(button, "text", "") for button in stage.buttons()}


@pytest.mark.long
def test_starting_anew_says_what_it_means_and_opens_with_the_new_passcode(set_up, stage):
    work = set_up.work
    work.lock()
    stage.draw()
    stage.press_words("Forgot the passcode?")
    assert "can still be handed over" in stage.text
    stage.press_words("Set a new passcode")
    stage.enter("New passcode", "222222")
    stage.press_words("Continue")
    stage.enter("The same passcode again", "222222")
    stage.press_words("Finish")
    stage.wait(lambda: work.navigation.top.name == "home")
    assert work.casebook.participants() == []


@pytest.mark.long
def test_a_lost_device_secret_leads_to_starting_anew(set_up, stage):
    work = set_up.work
    work.lock()
    (work.folder / "device-secret").unlink()
    stage.draw()
    stage.enter("Enter your passcode", PASSCODE)
    stage.press_words("Unlock")
    stage.wait(lambda: work.navigation.top.facts.get("step") == "forgotten")
    assert "This device lost the secret" in stage.text


@pytest.mark.long
def test_back_from_the_first_page_stays_there(window, stage):
    shell = window()
    stage.press_words("Continue")
    stage.press_back()
    assert shell.work.navigation.names == ("unlock",)
    stage.press_back()
    assert shell.work.navigation.names == ("unlock",)


@pytest.mark.long
def test_a_study_file_that_is_none_is_refused_in_one_sentence(window, stage):
    shell = window()
    (shell.work.facilities.files.folders()[0] / "bad.tussis-study").write_bytes(b"no study")
    stage.press_words("Continue")
    stage.press_words("Open a study file")
    stage.press_words("bad.tussis-study")
    stage.enter("New passcode", PASSCODE)
    stage.press_words("Continue")
    stage.enter("The same passcode again", PASSCODE)
    stage.press_words("Finish")
    stage.wait(lambda: not shell.work.is_working)
    assert "bad.tussis-study" in stage.text
    assert not shell.work.vault.exists
