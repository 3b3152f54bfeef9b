"""Draws when coughs were heard: along one recording, and hour by hour, as one mesh however many they are."""

from collections.abc import Iterable, Sequence

import numpy as np
from kivy.clock import Clock
from kivy.core.text import Label as CoreLabel
from kivy.graphics import Color, Line, Mesh, Rectangle, RoundedRectangle
from kivy.metrics import dp, sp
from kivy.properties import ColorProperty, ListProperty, NumericProperty
from kivy.uix.widget import Widget

from app.widgets import theme

Box = tuple[float, float, float, float]  # left, foot, right, top
MAX_HOURS_NAMED = 8
UNJUDGED = -1
"""In the place of a count: that hour could not be judged, which is never "no cough"."""


class CoughStrip(Widget):
    """The whole recording as a strip, with a mark for each cough and its length in time below it."""

    duration_s = NumericProperty(1.0)
    spans_s = ListProperty()
    ink = ColorProperty(theme.PRIMARY)

    def __init__(self, **properties: object) -> None:
        super().__init__(**properties)
        draw = Clock.create_trigger(self._draw, -1)
        for name in ("pos", "size", "duration_s", "spans_s", "ink"):
            self.fbind(name, draw)
        draw()

    def _draw(self, *_: object) -> None:
        self.canvas.clear()
        marks = merged_marks(self.spans_s, self.duration_s, self.width, dp(3))
        with self.canvas:
            Color(*theme.TRACK)
            RoundedRectangle(pos=self.pos, size=self.size, radius=[dp(8)])
            Color(*self.ink)
            boxes_mesh((self.x + left, self.y, self.x + right, self.top) for left, right in marks)


class HourBars(Widget):
    """Coughs in each hour as bars with their numbers; the hours are named below."""

    counts = ListProperty()
    first_hour = NumericProperty(0)

    def __init__(self, **properties: object) -> None:
        super().__init__(**properties)
        draw = Clock.create_trigger(self._draw, -1)
        for name in ("pos", "size", "counts", "first_hour"):
            self.fbind(name, draw)
        draw()

    def _draw(self, *_: object) -> None:
        self.canvas.clear()
        if not self.counts or self.width <= 0:
            return
        line_height = sp(18)
        foot, height = self.y + line_height, self.height - 2 * line_height
        step, tallest = self.width / len(self.counts), max(1, *self.counts)
        tops = [foot + max(dp(2), height * count / tallest) for count in self.counts]
        with self.canvas:
            Color(*theme.PRIMARY)
            boxes_mesh(
                (self.x + step * i + step * 0.15, foot, self.x + step * (i + 1) - step * 0.15, top)
                for i, top in enumerate(tops)
            )
            Color(*theme.LINE)
            Line(points=(self.x, foot, self.right, foot), width=1.0)
            for i in range(0, len(self.counts), -(-len(self.counts) // MAX_HOURS_NAMED)):
                middle = self.x + step * (i + 0.5)
                _write(str((self.first_hour + i) % 24), middle, self.y, theme.SECONDARY)
                _write("?" if self.counts[i] == UNJUDGED else str(self.counts[i]), middle, tops[i], theme.TEXT)


def merged_marks(
    spans_s: Sequence[Sequence[float]], duration_s: float, width: float, least_width: float
) -> list[tuple[float, float]]:
    """From where to where each mark goes along `width`; marks that touch are one, so that there are few."""
    marks: list[tuple[float, float]] = []
    for start_s, end_s in sorted((span[0], span[1]) for span in spans_s):
        left = min(width * start_s / duration_s, width - least_width)
        right = min(width, max(left + least_width, width * end_s / duration_s))
        if marks and left <= marks[-1][1] + 1.0:
            left, right = marks[-1][0], max(right, marks[-1][1])
            marks.pop()
        marks.append((left, right))
    return marks


def boxes_mesh(boxes: Iterable[Box]) -> None:
    """Add upright rectangles to the canvas that is being drawn on, as one instruction."""
    corners = np.array([*boxes], np.float32).reshape(-1, 4)
    if not len(corners):
        return
    left, foot, right, top = corners.T
    nothing = np.zeros_like(left)
    points = np.stack([left, foot, right, foot, right, top, left, top]).T.reshape(-1, 2)
    vertices = np.column_stack([points, np.tile(nothing[:, None], (4, 2))])
    firsts = 4 * np.arange(len(corners))[:, None]
    indices = (firsts + np.array([0, 1, 2, 0, 2, 3])).ravel()
    Mesh(vertices=vertices.ravel().tolist(), indices=indices.tolist(), mode="triangles")


def _write(text: str, middle: float, foot: float, ink: Sequence[float]) -> None:
    label = CoreLabel(text=text, font_size=sp(13), color=ink)
    label.refresh()
    Color(1, 1, 1, 1)
    Rectangle(
        texture=label.texture, pos=(round(middle - label.texture.width / 2), round(foot)), size=label.texture.size
    )
