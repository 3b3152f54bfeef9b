"""Shows a recording while it is made: cue, clock, coughs, spectrogram, level and one line of advice."""

from pathlib import Path

from kivy.graphics import Color, Ellipse, Line, RoundedRectangle, Triangle
from kivy.lang import Builder
from kivy.metrics import dp
from kivy.properties import BooleanProperty, ColorProperty, NumericProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from app.widgets import controls, spectrogram, theme

SHAPES = ("wait", "quiet", "cough", "blow", "stop")


class CueMark(Widget):
    """The cue's shape, which tells the same as its colour and its words.

    A ring waits, a bar keeps quiet, a star coughs, an arrow blows, a square stops.
    """

    shape = StringProperty("wait")
    ink = ColorProperty(theme.NOTE)

    def __init__(self, **properties: object) -> None:
        super().__init__(**properties)
        for name in ("pos", "size", "shape", "ink"):
            self.fbind(name, self._draw)

    def _draw(self, *_: object) -> None:
        self.canvas.clear()
        x, y, half = self.center_x, self.center_y, min(self.size) / 2
        with self.canvas:
            Color(*self.ink)
            if self.shape == "wait":
                Line(circle=(x, y, half * 0.72), width=dp(3))
            elif self.shape == "quiet":
                RoundedRectangle(pos=(x - half * 0.8, y - half * 0.22), size=(half * 1.6, half * 0.44), radius=[dp(4)])
            elif self.shape == "cough":
                for turn in range(8):
                    Line(points=_ray(x, y, half, turn / 8), width=dp(3), cap="round")
                Ellipse(pos=(x - half * 0.3, y - half * 0.3), size=(half * 0.6, half * 0.6))
            elif self.shape == "blow":
                RoundedRectangle(pos=(x - half * 0.9, y - half * 0.2), size=(half, half * 0.4), radius=[dp(3)])
                Triangle(points=(x, y + half * 0.7, x + half * 0.9, y, x, y - half * 0.7))
            else:
                RoundedRectangle(pos=(x - half * 0.6, y - half * 0.6), size=(half * 1.2, half * 1.2), radius=[dp(4)])


def _ray(x: float, y: float, half: float, turn: float) -> tuple[float, ...]:
    from math import cos, pi, sin

    across, up = cos(2 * pi * turn), sin(2 * pi * turn)
    return (x + half * 0.55 * across, y + half * 0.55 * up, x + half * 0.9 * across, y + half * 0.9 * up)


class Cue(BoxLayout):
    """What the participant does now: colour, shape and words."""

    shape = StringProperty("wait")
    text = StringProperty()
    ink = ColorProperty(theme.NOTE)
    ground = ColorProperty(theme.NOTE_GROUND)


class Figure(BoxLayout):
    """One number in large print with what it counts."""

    value = StringProperty()
    unit = StringProperty()


class Advice(BoxLayout):
    """The one line of advice."""

    icon = StringProperty()
    text = StringProperty()
    ink = ColorProperty(theme.NOTE)
    ground = ColorProperty(theme.NOTE_GROUND)


class Steps(Widget):
    """How far one has come in the study's tasks, as a row of pieces."""

    n_steps = NumericProperty(1)
    n_done = NumericProperty(0)

    def __init__(self, **properties: object) -> None:
        super().__init__(**properties)
        for name in ("pos", "size", "n_steps", "n_done"):
            self.fbind(name, self._draw)

    def _draw(self, *_: object) -> None:
        self.canvas.clear()
        gap = dp(4)
        length = (self.width - gap * (self.n_steps - 1)) / max(1, self.n_steps)
        with self.canvas:
            for step in range(int(self.n_steps)):
                is_now = step == self.n_done
                Color(*(theme.PRIMARY if step <= self.n_done else theme.LINE))
                height = self.height if is_now else self.height / 2
                left = self.x + step * (length + gap)
                RoundedRectangle(pos=(left, self.center_y - height / 2), size=(length, height), radius=[height / 2])


class LiveView(BoxLayout):
    """Everything that moves while sound comes in; a screen sets the properties."""

    cue_shape = StringProperty("wait")
    cue_text = StringProperty()
    cue_ink = ColorProperty(theme.NOTE)
    cue_ground = ColorProperty(theme.NOTE_GROUND)
    clock = StringProperty()
    clock_unit = StringProperty()
    coughs = StringProperty()
    coughs_unit = StringProperty()
    advice = StringProperty()
    advice_icon = StringProperty()
    advice_kind = StringProperty("note")
    counts_coughs = BooleanProperty(True)
    level_dbfs = NumericProperty(-100.0)


# The rules of this view use those of the small widgets, which therefore have to be known first.
_NEEDED = (controls, spectrogram)
Builder.load_file(str(Path(__file__).with_suffix(".kv")))
