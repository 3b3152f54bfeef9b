"""Defines the fields in which people enter something: pads and choices before free text."""

from collections.abc import Sequence
from pathlib import Path

from kivy.graphics import Color, Ellipse, Line
from kivy.lang import Builder
from kivy.metrics import dp
from kivy.properties import (
    AliasProperty,
    BooleanProperty,
    ListProperty,
    NumericProperty,
    ObjectProperty,
    StringProperty,
)
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.gridlayout import GridLayout
from kivy.uix.label import Label
from kivy.uix.stacklayout import StackLayout
from kivy.uix.textinput import TextInput
from kivy.uix.widget import Widget

from app.widgets import controls, theme

ERASE = "erase"
PAD_KEYS = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "", "0", ERASE)
SHORTEST_STROKE_STEP = 0.004  # of the pad's width


class PadKey(ButtonBehavior, Label):
    """One key of a number pad: a digit, or a picture."""

    icon = StringProperty()
    code = StringProperty()


class NumberPad(GridLayout):
    """Large keys that write digits into `value`, at most `longest` of them."""

    value = StringProperty()
    longest = NumericProperty(4)

    def __init__(self, **properties: object) -> None:
        super().__init__(**properties)
        for code in PAD_KEYS:
            if not code:
                self.add_widget(Widget(size_hint_y=None, height=dp(56)))
                continue
            key = PadKey(code=code, text="" if code == ERASE else code, icon=code if code == ERASE else "")
            key.bind(on_release=lambda key: self.press(key.code))
            self.add_widget(key)

    def press(self, code: str) -> None:
        """Write a digit, or take the last one away."""
        if code == ERASE:
            self.value = self.value[:-1]
        elif len(self.value) < self.longest:
            self.value += code


class TickMark(Widget):
    """The box or circle of a row that can be ticked."""

    active = BooleanProperty(False)
    is_round = BooleanProperty(False)


class TickRow(ButtonBehavior, BoxLayout):
    """Words with a box at their left; a press ticks it."""

    text = StringProperty()
    active = BooleanProperty(False)
    is_round = BooleanProperty(False)

    def on_release(self) -> None:
        """Kivy's call for a press; a circle stays ticked until another one is."""
        self.active = True if self.is_round else not self.active


class Chips(StackLayout):
    """A few short answers side by side of which one is chosen; `value` is its code."""

    value = StringProperty()

    def __init__(self, options: Sequence[tuple[str, str]] = (), **properties: object) -> None:
        super().__init__(**properties)
        self.bind(value=self._mark)
        for code, text in options:
            chip = Chip(text=text, code=code)
            chip.bind(on_release=lambda chip: setattr(self, "value", chip.code))
            self.add_widget(chip)
        self._mark()

    def _mark(self, *_: object) -> None:
        for chip in self.children:
            chip.active = chip.code == self.value


class Chip(ButtonBehavior, Label):
    """One answer of `Chips`; its words wrap where they are longer than `room`, in pixels."""

    code = StringProperty()
    active = BooleanProperty(False)
    room = NumericProperty(0)

    def _natural_width(self) -> float:
        return controls.natural_width(self.text, self.font_size, self.bold)

    natural_width = AliasProperty(_natural_width, bind=("text", "font_size", "bold"))


class Choice(BoxLayout):
    """A few answers of which one is chosen.

    `options` lists pairs of a code and its words; `value` is the code that is chosen, or empty.
    """

    label = StringProperty()
    options = ListProperty()
    value = StringProperty()

    def __init__(self, options: Sequence[tuple[str, str]] = (), **properties: object) -> None:
        self._rows: dict[str, TickRow] = {}
        super().__init__(**properties)
        self.bind(options=self._fill, value=self._mark)
        self.options = list(options)

    def _fill(self, *_: object) -> None:
        for row in self._rows.values():
            self.remove_widget(row)
        self._rows = {code: TickRow(text=text, is_round=True) for code, text in self.options}
        for code, row in self._rows.items():
            row.bind(on_release=lambda _, code=code: setattr(self, "value", code))
            self.add_widget(row)
        self._mark()

    def _mark(self, *_: object) -> None:
        for code, row in self._rows.items():
            row.active = code == self.value


class EntryLine(TextInput):
    """Free text, on one line or on several."""


class TextField(BoxLayout):
    """A label and free text below it; the event `on_enter` tells the Enter key of a single line."""

    label = StringProperty()
    hint = StringProperty()
    text = StringProperty()
    multiline = BooleanProperty(False)

    def __init__(self, **properties: object) -> None:
        self.register_event_type("on_enter")
        super().__init__(**properties)

    def on_enter(self) -> None:
        """Kivy's default for the event."""


class NumberBox(ButtonBehavior, controls.Words):
    """The number that was entered; a press opens its pad."""

    is_open = BooleanProperty(False)


class NumberField(BoxLayout):
    """A label and a whole number, entered on a pad that opens below it."""

    label = StringProperty()
    hint = StringProperty("-")
    value = StringProperty()
    longest = NumericProperty(4)
    is_open = BooleanProperty(False)
    pad = ObjectProperty(None, allownone=True)

    def on_is_open(self, *_: object) -> None:
        """Kivy's call: show or take away the pad."""
        if self.is_open and self.pad is None:
            self.pad = NumberPad(value=self.value, longest=self.longest)
            self.pad.bind(value=self.setter("value"))
            self.bind(value=self.pad.setter("value"))
            self.add_widget(self.pad)
        elif not self.is_open and self.pad is not None:
            self.remove_widget(self.pad)
            self.pad = None


class PasscodeDots(Widget):
    """A dot for each digit that was entered."""

    count = NumericProperty(0)

    def __init__(self, **properties: object) -> None:
        super().__init__(**properties)
        for name in ("pos", "size", "count"):
            self.fbind(name, self._draw)

    def _draw(self, *_: object) -> None:
        self.canvas.clear()
        n_places = max(6, self.count)
        step = min(dp(28), self.width / n_places)
        left = self.center_x - step * n_places / 2
        with self.canvas:
            for place in range(n_places):
                radius = dp(8) if place < self.count else dp(5)
                Color(*(theme.PRIMARY if place < self.count else theme.QUIET_BAR))
                x = left + step * (place + 0.5)
                Ellipse(pos=(x - radius, self.center_y - radius), size=(2 * radius, 2 * radius))


class PasscodeField(BoxLayout):
    """A passcode of digits, shown as dots and entered on a number pad."""

    label = StringProperty()
    value = StringProperty()
    longest = NumericProperty(16)

    def clear(self) -> None:
        """Forget what was entered."""
        self.value = ""


class SignaturePad(Widget):
    """A field in which a finger draws.

    `strokes` lists strokes; each is a list of (x, y) from 0 to 1, from the lower left corner.
    """

    strokes = ListProperty()

    def __init__(self, **properties: object) -> None:
        super().__init__(**properties)
        for name in ("pos", "size", "strokes"):
            self.fbind(name, self._draw)

    def clear(self) -> None:
        """Take every stroke away."""
        self.strokes = []

    def on_touch_down(self, touch: object) -> bool:
        """Kivy's call: begin a stroke."""
        if self.disabled or not self.collide_point(*touch.pos):
            return False
        touch.grab(self)
        self.strokes = [*self.strokes, [self._point(touch)]]
        return True

    def on_touch_move(self, touch: object) -> bool:
        """Kivy's call: go on with the stroke."""
        if touch.grab_current is not self:
            return False
        point, last = self._point(touch), self.strokes[-1][-1]
        if abs(point[0] - last[0]) + abs(point[1] - last[1]) >= SHORTEST_STROKE_STEP:
            self.strokes = [*self.strokes[:-1], [*self.strokes[-1], point]]
        return True

    def on_touch_up(self, touch: object) -> bool:
        """Kivy's call: end the stroke."""
        if touch.grab_current is not self:
            return False
        touch.ungrab(self)
        return True

    def _point(self, touch: object) -> tuple[float, float]:
        x, y = (touch.x - self.x) / self.width, (touch.y - self.y) / self.height
        return (round(min(1.0, max(0.0, x)), 4), round(min(1.0, max(0.0, y)), 4))

    def _draw(self, *_: object) -> None:
        self.canvas.clear()
        with self.canvas:
            Color(*theme.TEXT)
            for stroke in self.strokes:
                points = [value for x, y in stroke for value in (self.x + x * self.width, self.y + y * self.height)]
                if len(stroke) == 1:
                    points += [points[0] + dp(1), points[1]]
                Line(points=points, width=dp(1.4), cap="round", joint="round")


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
