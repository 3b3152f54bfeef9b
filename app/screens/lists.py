"""Defines the list for many rows, of which only those in sight are widgets."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kivy.lang import Builder
from kivy.properties import NumericProperty, ObjectProperty
from kivy.uix.recycleview import RecycleView

from app.screens.controls import Row


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

    def show(self, rows: Iterable[dict[str, Any]], choose: Callable[[Any], None]) -> None:
        """Show `rows`: each a dict of the properties of `Row`, and `value`, which `choose` gets at a press."""
        self.data = [{"below": "", "aside": "", "icon": "", **row, "choose": choose} for row in rows]


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
