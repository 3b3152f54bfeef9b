"""Draws the few pictures that buttons and rows carry, as lines on a grid of 24 by 24."""

from math import cos, pi, sin

from kivy.graphics import Color, Line
from kivy.metrics import dp
from kivy.properties import ColorProperty, NumericProperty, StringProperty
from kivy.uix.widget import Widget

from app.widgets import theme

Points = tuple[float, ...]


def _arc(x: float, y: float, radius: float, start: float = 0, end: float = 360) -> Points:
    """Points of an arc; angles in degrees, anticlockwise from the right."""
    angles = [(start + (end - start) * step / 20) * pi / 180 for step in range(21)]
    return tuple(value for angle in angles for value in (x + radius * cos(angle), y + radius * sin(angle)))


ICONS: dict[str, tuple[Points, ...]] = {
    "back": ((15, 19, 8, 12, 15, 5),),
    "onward": ((9, 19, 16, 12, 9, 5),),
    "add": ((12, 5, 12, 19), (5, 12, 19, 12)),
    "check": ((5, 12, 10, 7, 19, 17),),
    "close": ((6, 6, 18, 18), (6, 18, 18, 6)),
    "person": (_arc(12, 16, 4), _arc(12, 3.5, 8, 20, 160)),
    "people": (_arc(9, 16, 3.5), _arc(9, 4, 7, 20, 160), _arc(16.5, 15, 3, -100, 110), _arc(16, 4, 6.5, 20, 75)),
    "clock": (_arc(12, 12, 8.5), (12, 17, 12, 12, 16, 10)),
    "lock": ((6, 4, 18, 4, 18, 12, 6, 12, 6, 4), (*_arc(12, 15, 4, 180, 0),), (8, 15, 8, 12), (16, 15, 16, 12)),
    "send": ((12, 9, 12, 20), (7.5, 15.5, 12, 20, 16.5, 15.5), (5, 10, 5, 4, 19, 4, 19, 10)),
    "wave": ((3, 12, 6, 12, 8, 18, 11, 5, 14, 16, 16, 10, 17.5, 12, 21, 12),),
    "study": ((6, 3, 18, 3, 18, 21, 6, 21, 6, 3), (9, 16, 15, 16), (9, 12, 15, 12), (9, 8, 13, 8)),
    "folder": ((3, 19, 9, 19, 11, 16.5, 21, 16.5, 21, 5, 3, 5, 3, 19),),
    "gauge": (_arc(12, 10, 8.5, -20, 200), (12, 10, 16, 15)),
    "bin": ((5, 18, 19, 18), (9, 18, 9.5, 20.5, 14.5, 20.5, 15, 18), (7, 18, 8, 4, 16, 4, 17, 18)),
    "play": ((8, 5, 8, 19, 18, 12, 8, 5),),
    "stop": ((7, 7, 17, 7, 17, 17, 7, 17, 7, 7),),
    "erase": ((20, 6, 20, 18, 9, 18, 3, 12, 9, 6, 20, 6), (11, 9, 16, 15), (11, 15, 16, 9)),
    "search": (_arc(10.5, 13.5, 6), (15, 9, 20, 4)),
    "alert": ((12, 20.5, 21.5, 4, 2.5, 4, 12, 20.5), (12, 14.5, 12, 9.5), (12, 7.2, 12, 6.6)),
    "pen": ((4, 4, 5, 8.5, 16, 19.5, 19.5, 16, 8.5, 5, 4, 4), (13.5, 17, 17, 13.5)),
    "again": (_arc(12, 12, 7.5, 60, 350), (15.8, 21.5, 15.8, 18.4, 12.5, 17.5)),
}


class Icon(Widget):
    """One picture of `ICONS` in one colour; nothing where `name` is empty."""

    name = StringProperty()
    ink = ColorProperty(theme.PRIMARY)
    inset = NumericProperty(0)

    def __init__(self, **properties: object) -> None:
        super().__init__(**properties)
        for name in ("pos", "size", "name", "ink", "inset"):
            self.fbind(name, self._draw)
        self._draw()

    def _draw(self, *_: object) -> None:
        self.canvas.clear()
        scale = max(0, min(self.size) - 2 * self.inset) / 24
        left, foot = self.center_x - 12 * scale, self.center_y - 12 * scale
        with self.canvas:
            Color(*self.ink)
            for stroke in ICONS.get(self.name, ()):
                points = [(left if i % 2 == 0 else foot) + value * scale for i, value in enumerate(stroke)]
                Line(points=points, width=max(1.0, dp(1.0)), cap="round", joint="round")
