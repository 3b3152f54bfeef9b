"""Defines the list for many rows, of which only those in sight are widgets."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kivy.clock import Clock
from kivy.core.text import Label
from kivy.lang import Builder
from kivy.metrics import dp, sp
from kivy.properties import NumericProperty, ObjectProperty
from kivy.uix.recycleview import RecycleView

from app.widgets.controls import Row, longest_word_width, natural_width

PLAIN = {"text": "", "below": "", "aside": "", "icon": "", "onward": True}


class ListRow(Row):
    """A row of a `RowList`."""

    value = ObjectProperty(None, allownone=True)
    choose = ObjectProperty(None, allownone=True)

    def on_release(self) -> None:
        """Kivy's call for a press."""
        if self.choose is not None:
            self.choose(self.value)


class RowList(RecycleView):
    """Rows to press, as many as there are; `side` is the space at their left and right."""

    side = NumericProperty(0)

    def __init__(self, **properties: object) -> None:
        self._rows: list[dict[str, Any]] = []
        super().__init__(**properties)
        self._measure_again = Clock.create_trigger(self._measure)
        self.bind(width=self._measure_again, side=self._measure_again)

    def show(self, rows: Iterable[dict[str, Any]], choose: Callable[[Any], None]) -> None:
        """Show `rows`: each a dict of the properties of `Row`, and `value`, which `choose` gets at a press."""
        self.data = self._rows = [{**PLAIN, **row, "choose": choose} for row in rows]
        self._measure_again()

    def _measure(self, *_: object) -> None:
        """Tell the layout how high each row is, which it cannot find out for those that are out of sight."""
        width = self.width - 2 * self.side
        rows = [fitted(row, width) for row in self._rows]
        for row in rows:
            height = row_height(row, width)
            row.update(fixed_height=height, row_size=(None, height))
        self.data = rows


def fitted(row: dict[str, Any], width: float) -> dict[str, Any]:
    """The row with what stands at its right put below its words, where those would not fit beside it."""
    room = _room(row, width)
    if row["aside"] and longest_word_width(row["aside"], sp(14)) > 0.35 * width:
        room = 0.0
    if row["aside"] and max(natural_width(row["text"], sp(16), True), longest_word_width(row["below"], sp(14))) > room:
        return {**row, "aside": "", "below": "\n".join(filter(None, (row["below"], row["aside"])))}
    return dict(row)


def row_height(row: dict[str, Any], width: float) -> float:
    """The height in pixels of a `Row` of this width, as its rule in controls.kv lays it out."""
    room = _room(row, width)
    words = text_height(row["text"], sp(16), True, room) + dp(2) + text_height(row["below"], sp(14), False, room)
    return max(dp(60), words + dp(22), text_height(row["aside"], sp(14), False, 0.35 * width) + dp(16))


def _room(row: dict[str, Any], width: float) -> float:
    """The width that a row leaves for its words."""
    aside = min(0.35 * width, natural_width(row["aside"], sp(14)))
    return width - dp(14 + 10 + 3 * 12) - (dp(26) if row["icon"] else 0) - aside - (dp(20) if row["onward"] else 0)


def text_height(text: str, font_size: float, bold: bool, width: float) -> float:
    """The height of a text that wraps at `width`, in pixels."""
    if not text:
        return 0.0
    label = Label(text=text, font_size=font_size, bold=bold, text_size=(max(1, int(width)), None))
    if natural_width(text, font_size, bold) <= width:
        return label.get_extents(text)[1]
    label.refresh()
    return label.texture.height


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
