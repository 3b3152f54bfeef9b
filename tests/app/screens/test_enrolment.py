"""Adding a participant, by taps."""

import pytest


@pytest.fixture
def form(opened, stage):
    shell = opened()
    stage.press_words("Add a participant")
    return shell


def fill_in(stage, participant_id="00017", year="1987"):
    stage.enter("Participant id", participant_id)
    stage.enter("Year of birth", year)
    stage.press_words("Female")
    stage.press_words("2 weeks or more")
    stage.press_words("Yes")


def typed(study, serial):
    return "".join(character for character in study.new_id(serial) if character.isdigit())


@pytest.mark.long
def test_a_participant_is_added_with_choices_and_number_pads_alone(form, stage):
    work = form.work
    fill_in(stage, typed(work.study, 17))
    stage.enter("Height in cm (may stay empty)", "171")
    stage.press_words("Save")
    stage.wait(lambda: work.navigation.top.name == "participant")
    (participant,) = work.casebook.participants()
    assert participant.participant_id == work.study.new_id(17)
    assert (participant.year_of_birth, participant.sex) == (1987, "female")
    assert participant.answers == {"cough_for": "from_2_weeks", "smokes": "yes", "height_cm": 171}
    stage.press_back()
    assert work.navigation.names == ("home",)


@pytest.mark.long
def test_an_id_with_a_typing_error_is_told_and_nobody_is_added(form, stage):
    right = typed(form.work.study, 17)
    wrong = right[:-1] + str((int(right[-1]) + 1) % 10)
    fill_in(stage, wrong)
    stage.press_words("Save")
    assert "its last digit does not fit" in stage.text
    assert form.work.casebook.participants() == []


@pytest.mark.long
def test_a_year_that_nobody_living_was_born_in_is_told(form, stage):
    fill_in(stage, typed(form.work.study, 17))
    for year in ("19", "1850", "2999"):
        stage.enter("Year of birth", year)
        stage.press_words("Save")
        assert "Enter the year of birth, from" in stage.text
        assert form.work.casebook.participants() == []


@pytest.mark.long
def test_a_question_that_has_to_be_answered_is_named(form, stage):
    stage.press_words("Take the next free id")
    stage.enter("Year of birth", "1987")
    stage.press_words("Male")
    stage.press_words("Save")
    assert "Answer the question: How long have you had a cough?" in stage.text


@pytest.mark.long
def test_a_number_outside_its_range_is_told_with_the_range(form, stage):
    fill_in(stage, typed(form.work.study, 17))
    stage.enter("Height in cm (may stay empty)", "17")
    stage.press_words("Save")
    assert "Height in cm: enter a number from 40 to 230." in stage.text


@pytest.mark.long
def test_the_same_participant_is_not_added_twice(form, stage):
    work = form.work
    for _ in range(2):
        work.navigation.restart("home")
        work.navigation.go("enrolment")
        stage.draw()
        fill_in(stage, typed(work.study, 17))
        stage.press_words("Save")
        stage.wait(lambda: not work.is_working)
    assert f"{work.study.new_id(17)} is here already." in stage.text
    assert len(work.casebook.participants()) == 1


@pytest.mark.long
def test_what_was_entered_is_there_again_after_a_pause(form, stage):
    fill_in(stage, typed(form.work.study, 17))
    before = stage.text
    form.rebuild()
    stage.draw(6)
    assert stage.text == before
    assert form.page.ids["sex"].value == "female"
