"""The stack of places: Back goes up, asks where it must, and never ends the application."""

import pytest

from app.navigation import Navigation, Question


@pytest.fixture
def navigation() -> Navigation:
    return Navigation("home")


def test_back_goes_up_one_place_at_a_time_and_stays_at_the_lowest(navigation):
    navigation.go("participant", participant_id="A-1")
    navigation.go("consent")
    seen = []
    for _ in range(4):
        navigation.back()
        seen.append(navigation.top.name)
    assert seen == ["participant", "home", "home", "home"]


def test_a_place_keeps_what_was_begun_there_while_others_lie_over_it(navigation):
    navigation.go("participant", participant_id="A-1")
    navigation.top.draft["year"] = "19"
    navigation.go("consent")
    navigation.back()
    assert navigation.top.facts == {"participant_id": "A-1"}
    assert navigation.top.draft == {"year": "19"}


def test_back_asks_first_where_the_guard_says_so_and_no_changes_nothing(navigation):
    done = []
    navigation.go("task")
    navigation.guard = lambda: Question("leave?", {"yes": lambda: done.append("left"), "no": lambda: None})
    navigation.back()
    assert (navigation.top.name, navigation.question.code) == ("task", "leave?")
    navigation.back()  # over a question, Back is the answer that changes nothing
    assert (navigation.top.name, navigation.question, done) == ("task", None, [])
    navigation.back()
    navigation.answer("yes")
    assert (navigation.question, done) == (None, ["left"])


def test_going_up_to_a_place_passes_over_those_between(navigation):
    for name in ("participant", "task", "result"):
        navigation.go(name)
    navigation.up_to("participant")
    assert navigation.names == ("home", "participant")
    navigation.up_to("nowhere")
    assert navigation.names == ("home",)


def test_a_restart_forgets_places_and_question(navigation):
    navigation.go("history")
    navigation.confirm("delete?", lambda: None)
    navigation.restart("unlock")
    assert (navigation.names, navigation.question, navigation.can_go_back) == (("unlock",), None, False)


def test_every_change_is_told(navigation):
    told = []
    navigation.subscribe(lambda: told.append((navigation.top.name, navigation.question is not None)))
    navigation.go("history")
    navigation.confirm("delete?", lambda: None)
    navigation.answer("no")
    navigation.replace("recording")
    assert told == [("history", False), ("history", True), ("history", False), ("recording", False)]
