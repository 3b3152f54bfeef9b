"""Shows what lies over a page: a question, a message, and that something is being done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kivy.clock import Clock
from kivy.lang import Builder
from kivy.metrics import sp
from kivy.properties import BooleanProperty, ListProperty, ObjectProperty, OptionProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.scrollview import ScrollView

from app.navigation import Navigation, Question
from app.widgets import theme
from app.widgets.controls import PillButton, Words, WorkingIndicator
from app.words import _

WORKING_SHOWN_AFTER_S = 0.2


@dataclass(frozen=True)
class QuestionWords:
    """How a question is put: its heading, what follows from it, and the words of each answer by its code.

    `danger` tells that the first answer loses something for good.
    """

    heading: str
    text: str
    answers: Mapping[str, str]
    danger: bool = False


def yes_no(heading: str, text: str, yes: str, no: str = "", danger: bool = False) -> QuestionWords:
    """The words of a question that `Navigation.confirm` asks; without `no`, that answer is "Cancel"."""
    return QuestionWords(heading, text, {"yes": yes, "no": no or _("Cancel")}, danger)


WORDS: dict[str, Callable[[Mapping[str, Any]], QuestionWords]] = {}
"""By the code of a question, what gives its words from the question's facts; pages add theirs when imported."""


class SheetScroll(ScrollView):
    """The part of a sheet that scrolls where the window is too low for it."""


class Sheet(BoxLayout):
    """A question at the foot of the window, over a shade; a touch on the shade answers nothing.

    `insets` are the strips that the system covers, as `Shell` has them.
    """

    insets = ListProperty([0, 0, 0, 0])

    def __init__(self, navigation: Navigation, question: Question, **properties: object) -> None:
        super().__init__(**properties)
        words = WORDS[question.code](question.facts)
        self.ids.body.add_widget(Words(text=words.heading, font_size=sp(19), bold=True))
        self.ids.body.add_widget(Words(text=words.text, font_size=sp(16)))
        self.buttons: dict[str, PillButton] = {}
        for place, code in enumerate(question.answers):
            button = PillButton(text=words.answers[code], filled=place == 0, danger=words.danger and place == 0)
            button.bind(on_release=lambda _, code=code: navigation.answer(code))
            self.ids.body.add_widget(button)
            self.buttons[code] = button

    def on_touch_down(self, touch: object) -> bool:
        """Kivy's call: nothing below the sheet is touched."""
        super().on_touch_down(touch)
        return True


class Working(AnchorLayout):
    """Keeps touches away while something is being done, and says so where it takes longer than a moment."""

    is_shown = BooleanProperty(False)

    def __init__(self, **properties: object) -> None:
        super().__init__(**properties)
        self._later = Clock.schedule_once(self._show, WORKING_SHOWN_AFTER_S)
        self.bind(parent=lambda _, parent: None if parent else self._later.cancel())

    def on_touch_down(self, touch: object) -> bool:
        """Kivy's call: nothing below is touched."""
        return True

    def _show(self, _: float) -> None:
        self.is_shown = True
        self.add_widget(WorkingIndicator())


class MessageBar(BoxLayout):
    """One sentence at the foot of the window, until it is closed or the place changes."""

    kind = OptionProperty("note", options=list(theme.KINDS))
    text = StringProperty()
    close = ObjectProperty(lambda: None)


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
