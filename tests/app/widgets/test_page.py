"""What every page has: a title with Back, a body that scrolls, fields and buttons that fingers can use."""

import sys
import time
from types import ModuleType

import numpy as np
import pytest

from app.navigation import Question
from tests.app.field_day import field_work

KV = """
<TryPage>:
    title: 'A page to try'
    Notice:
        heading: 'Before you begin'
        text: 'Sit down, and wait until it is quiet.'
    TextField:
        id: remarks
        label: 'Remarks'
    NumberField:
        id: year
        label: 'Year of birth'
    Choice:
        id: sex
        label: 'Sex'
        options: [('f', 'Female'), ('m', 'Male')]
    TickRow:
        id: agree
        text: 'I agree'
    PasscodeField:
        id: passcode
        label: 'Passcode'
    SignaturePad:
        id: pad
    Row:
        icon: 'person'
        text: 'A-12'
        below: 'added yesterday'
        aside: '3 coughs'
    FootRow:
        PillButton:
            id: save
            text: 'Save'
            on_release: root.saved.append(True)

<ListPage>:
    title: 'A page with a list'
    TextField:
        id: search
        label: 'Search'
    RowList:
        id: list
    FootRow:
        PillButton:
            text: 'Add'
"""


@pytest.fixture
def shell(stage, tmp_path):
    """The window with two places: a page to try, and one that holds nothing."""
    from kivy.clock import Clock
    from kivy.lang import Builder

    from app.screens.shell import Shell
    from app.widgets.page import Page

    class TryPage(Page):
        def __init__(self, *arguments, **properties):
            self.saved = []
            super().__init__(*arguments, **properties)

    Builder.unload_file("try")
    Builder.load_string(KV, filename="try")
    module = ModuleType("app.screens.trial")
    module.TryPage, module.EmptyPage, module.ListPage = (
        TryPage,
        *(type(name, (Page,), {}) for name in ("EmptyPage", "ListPage")),
    )
    for name in ("trial", "empty", "list"):
        sys.modules[f"app.screens.{name}"] = module
    work = field_work(tmp_path, lambda job: Clock.schedule_once(lambda _: job()))
    work.navigation.restart("trial")
    shell = Shell(work, {"trial": "TryPage", "empty": "EmptyPage", "list": "ListPage"})
    stage.show(shell)
    yield shell
    for name in ("trial", "empty", "list"):
        del sys.modules[f"app.screens.{name}"]
    Builder.unload_file("try")


def test_a_page_shows_its_title(shell, stage):
    assert stage.text.splitlines()[0] == "A page to try"


@pytest.mark.long
def test_fields_take_what_fingers_enter(shell, stage):
    ids = shell.page.ids
    stage.enter("Remarks", "a dry cough")
    stage.enter("Year of birth", "1987")
    stage.enter("Passcode", "123456")
    stage.press_words("Male")
    stage.press_words("I agree")
    assert (ids.remarks.text, ids.year.value, ids.passcode.value) == ("a dry cough", "1987", "123456")
    assert (ids.sex.value, ids.agree.active) == ("m", True)
    stage.enter("Year of birth", "62")
    stage.press_words("Female")
    stage.press_words("I agree")
    assert (ids.year.value, ids.sex.value, ids.agree.active) == ("62", "f", False)


def test_a_finger_on_the_signature_pad_draws_and_does_not_scroll(shell, stage):
    stage.bring_into_sight(shell.page.ids.pad)
    before = shell.page.ids.scroll.scroll_y
    stage.drag(shell.page.ids.pad, [(0.1, 0.2), (0.5, 0.9), (0.9, 0.2)])
    (stroke,) = shell.page.ids.pad.strokes
    assert np.array(stroke) == pytest.approx(np.array([(0.1, 0.2), (0.5, 0.9), (0.9, 0.2)]), abs=0.01)
    assert shell.page.ids.scroll.scroll_y == before


def test_buttons_at_the_foot_stay_in_sight_and_scroll_with_a_page_that_is_too_low(shell, stage):
    page = shell.page
    stage.press_words("Save")
    assert page.saved == [True]
    assert page.ids.foot.parent is page
    shell.size = (640, 130)
    stage.draw()
    assert page.ids.foot.parent is page.ids.body.__self__
    stage.press_words("Save")
    assert page.saved == [True, True]
    shell.size = (360, 640)
    stage.draw()
    assert page.ids.foot.parent is page


@pytest.mark.parametrize(("height", "has_foot"), [(130, False), (190, True), (640, True)])
def test_a_page_with_a_list_keeps_its_title_in_sight_however_low_it_is(shell, stage, height, has_foot):
    shell.work.navigation.go("list")
    shell.size = (640, height)
    stage.draw(4)
    page, scroll = shell.page, shell.page.ids.scroll
    assert page.ids.bar.top == page.top == height
    assert scroll.top <= page.ids.bar.y + 1 and page.ids.list.top <= scroll.y + 1
    assert (page.ids.foot.parent is page) == has_foot
    assert scroll.height > 40


def test_a_question_lies_over_the_page_and_keeps_touches_from_it(shell, stage):
    from app.widgets import dialogs

    dialogs.WORDS["try"] = lambda facts: dialogs.yes_no(f"Delete {facts['name']}?", "It is gone for good.", "Delete")
    answered = []
    shell.work.navigation.ask(
        Question("try", {"yes": lambda: answered.append("yes"), "no": lambda: None}, {"name": "A"})
    )
    stage.draw()
    assert "Delete A?" in stage.text
    year = shell.page.ids.year
    stage.touch(year.ids.box)
    assert not year.is_open
    stage.press_words("Delete")
    assert answered == ["yes"] and shell.sheet is None
    stage.press(year.ids.box)
    assert year.is_open


def test_a_sentence_is_shown_until_it_is_closed_or_the_place_changes(shell, stage):
    shell.work.say("error", "The disk is full.")
    stage.draw()
    assert "The disk is full." in stage.text
    stage.press(next(button for button in stage.buttons() if getattr(button, "name", "") == "close"))
    assert "The disk is full." not in stage.text
    shell.work.say("good", "Saved.")
    shell.work.navigation.go("empty")
    stage.draw()
    assert "Saved." not in stage.text


def test_touches_wait_while_something_is_done_and_a_mistake_of_ours_is_a_sentence(shell, stage, capsys):
    from threading import Event

    go_on = Event()
    shell.work.run(lambda: go_on.wait(30) and 1 / 0)
    stage.touch(shell.page.ids.save)
    assert shell.page.saved == []
    go_on.set()
    stage.wait(lambda: not shell.work.is_working)
    assert "Something went wrong inside Tussis (ZeroDivisionError)." in stage.text
    assert "Traceback" in capsys.readouterr().err
    stage.press(shell.page.ids.save)
    assert shell.page.saved == [True]


def test_a_page_that_is_left_and_found_again_stands_where_it_stood(shell, stage):
    shell.page.ids.scroll.scroll_y = 0.25
    shell.work.navigation.go("empty")
    stage.draw()
    shell.work.navigation.back()
    stage.draw()
    assert shell.page.ids.scroll.scroll_y == pytest.approx(0.25, abs=0.01)


@pytest.mark.long
@pytest.mark.parametrize("frame_s", [0.01, 0.15])
def test_a_page_that_was_flung_and_then_changes_its_height_stays_between_its_ends(shell, stage, frame_s):
    """Kivy's default effect springs back from beyond an end; where frames are slow, the spring threw pages away."""
    page, year = shell.page, shell.page.ids.year
    seen = []
    page.ids.scroll.bind(scroll_y=lambda _, scroll_y: seen.append(scroll_y))
    for is_open in (True, False, True, False):
        stage.drag(page.ids.scroll, [(0.05, 0.3), (0.05, 0.5), (0.05, 0.9)])
        year.is_open = is_open
        for _ in range(12):
            time.sleep(frame_s)
            stage.draw(1)
    assert seen and min(seen) >= -0.01 and max(seen) <= 1.01
