"""Draws sound as a moving spectrogram, from a texture of which only the new columns are written."""

import numpy as np
from kivy.graphics import Color, Line, Rectangle
from kivy.graphics.texture import Texture
from kivy.metrics import dp
from kivy.uix.widget import Widget

from app.widgets import theme

N_COLUMNS = 256  # a power of two, which a texture that repeats itself needs on a phone (OpenGL ES 2)
N_ROWS = 64  # likewise; the columns may have fewer
# From dark blue over teal to white: each step is brighter, so that it reads in grey too.
COLOURS = ((0.05, 0.10, 0.16), (0.03, 0.33, 0.40), (0.10, 0.60, 0.55), (0.85, 0.86, 0.50), (1.0, 1.0, 0.94))


class Spectrogram(Widget):
    """The newest columns at the right edge; older ones move to the left and away.

    Memory and the work of a frame do not depend on how long the recording is: a column is written once, into a texture
    that is used as a ring, and moving it is a change of four coordinates.
    """

    def __init__(self, **properties: object) -> None:
        super().__init__(**properties)
        self._n_rows = N_ROWS
        self._colours = _palette()
        self._pixels = np.empty((N_ROWS, N_COLUMNS, 3), np.uint8)  # what the texture holds, as a phone may lose it
        texture = Texture.create(size=(N_COLUMNS, N_ROWS), colorfmt="rgb")
        texture.wrap = "repeat"
        texture.add_reload_observer(self._restore)
        with self.canvas:
            Color(1, 1, 1, 1)
            self._rectangle = Rectangle(texture=texture)
            Color(*theme.GROUND)
            self._corners = Line(width=dp(3))  # rounds the picture off by drawing the ground over its corners
        self.bind(pos=self._place, size=self._place)
        self.clear()
        self._place()

    def push(self, levels: np.ndarray) -> None:
        """Draw the next columns, uint8, shape (n, n_rows) with at most 64 rows, from the lowest frequency up."""
        if not len(levels):
            return
        self._n_rows = levels.shape[1]
        newest = levels[-N_COLUMNS:]
        first = (self.n_columns + len(levels) - len(newest)) % N_COLUMNS
        columns = (first + np.arange(len(newest))) % N_COLUMNS
        self._pixels[: self._n_rows, columns] = self._colours[newest].transpose(1, 0, 2)
        n_before_wrap = min(len(newest), N_COLUMNS - first)
        self._write(first, first + n_before_wrap)
        self._write(0, len(newest) - n_before_wrap)
        self.n_columns += len(levels)
        self._turn()

    def clear(self) -> None:
        """An empty picture, before a recording."""
        self.n_columns = 0
        self._pixels[:] = self._colours[0]
        self._write(0, N_COLUMNS)
        self._turn()

    def _write(self, first: int, last: int) -> None:
        """Bring the columns from `first` to before `last` into the texture."""
        if first < last:
            pixels, size = self._pixels[:, first:last], (last - first, N_ROWS)
            self._rectangle.texture.blit_buffer(pixels.tobytes(), size=size, pos=(first, 0), colorfmt="rgb")

    def _restore(self, *_: object) -> None:
        self._write(0, N_COLUMNS)

    def _turn(self) -> None:
        left = (self.n_columns % N_COLUMNS) / N_COLUMNS
        right, top = left + 1.0, self._n_rows / N_ROWS
        self._rectangle.tex_coords = (left, 0.0, right, 0.0, right, top, left, top)

    def _place(self, *_: object) -> None:
        self._rectangle.pos, self._rectangle.size = self.pos, self.size
        edge = dp(3)
        outer = (self.x - edge, self.y - edge, self.width + 2 * edge, self.height + 2 * edge)
        self._corners.rounded_rectangle = (*outer, dp(14))


def _palette() -> np.ndarray:
    """The colour of each of 256 levels, uint8, shape (256, 3)."""
    places, levels = np.linspace(0.0, 1.0, len(COLOURS)), np.linspace(0.0, 1.0, 256)
    channels = [np.interp(levels, places, channel) for channel in zip(*COLOURS, strict=True)]
    return np.rint(255 * np.stack(channels, axis=1)).astype(np.uint8)
