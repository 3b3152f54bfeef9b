"""Defines what every page of the application has: a title with Back, a body that scrolls, and buttons at its foot."""

from collections.abc import Callable
from pathlib import Path

from kivy.clock import Clock
from kivy.lang import Builder
from kivy.metrics import dp
from kivy.properties import AliasProperty, BooleanProperty, ObjectProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.scrollview import ScrollView
from kivy.uix.widget import Widget

from app.widgets import controls, inputs, lists

WIDEST_DP = 560
BODY_SHARE_ABOVE_LIST = 0.45
FOOT_SHARE = 0.4  # a foot that takes more of the page's height scrolls with the body


class TitleBar(BoxLayout):
    """The page's title, with Back at its left; a page may add an `IconButton` at its right."""

    page = ObjectProperty(None, allownone=True)
    title = StringProperty()
    has_back = BooleanProperty(True)


class PageScroll(ScrollView):
    """The part that scrolls; a touch on a signature pad draws and does not scroll.

    A field in which somebody writes stays in sight where the keyboard takes room.
    """

    def on_height(self, *_: object) -> None:
        """Kivy's call for another height."""
        for field in self.walk(restrict=True):
            if isinstance(field, inputs.EntryLine) and field.focus:
                Clock.schedule_once(lambda _, field=field: self.scroll_to(field, padding=dp(8), animate=False))

    def on_touch_down(self, touch: object) -> bool:
        """Kivy's call for a touch: give it to a pad first."""
        if self.collide_point(*touch.pos):
            for pad in self.walk(restrict=True):
                if isinstance(pad, inputs.SignaturePad) and pad.collide_point(*pad.parent.to_widget(*touch.pos)):
                    touch.push()
                    touch.apply_transform_2d(pad.parent.to_widget)
                    pad.on_touch_down(touch)
                    touch.pop()
                    return True
        return super().on_touch_down(touch)


class Foot(BoxLayout):
    """Holds the rows of buttons below the body."""


class FootRow(BoxLayout):
    """Buttons that stay in sight below the body: side by side where the page is wide enough for that."""


class Page(BoxLayout):
    """One page. A subclass names its rule in a `.kv` file beside it; what the rule lists goes into the body.

    A `FootRow` goes to the foot. A `RowList` takes what the body leaves of the page's height. `refresh` shows the
    application's state: it is called once at the end of building and with every change that `FieldWork` tells. What a
    person enters belongs into `place.draft`, so that a page that is built anew shows the same.

    Parameters
    ----------
    work : FieldWork
    place : Place
    """

    title = StringProperty()
    has_back = BooleanProperty(True)
    work = ObjectProperty()
    place = ObjectProperty()

    def __init__(self, work: object, place: object, **properties: object) -> None:
        self._buttons: FootRow | None = None
        self._facts: tuple[object, ...] | None = None
        super().__init__(work=work, place=place, **properties)
        self._settle = Clock.create_trigger(self._place_foot)
        self.ids.foot.bind(minimum_height=self._settle)
        self.bind(height=self._settle)
        self.bind(parent=lambda _, parent: None if parent else self.leave())
        self.refresh()

    margin = AliasProperty(lambda self: max(dp(16), (self.width - dp(WIDEST_DP)) / 2), bind=("width",))

    def add_widget(self, widget: Widget, *arguments: object, **options: object) -> None:
        """Put what a page's own rule lists into its body, and rows of buttons into its foot."""
        if isinstance(widget, TitleBar | PageScroll | Foot):
            super().add_widget(widget, *arguments, **options)
        elif isinstance(widget, FootRow):
            foot = self.ids.foot
            foot.padding = (self.margin, dp(10), self.margin, dp(14))
            self.bind(margin=lambda _, margin: setattr(foot, "padding", (margin, dp(10), margin, dp(14))))
            foot.add_widget(widget)
        elif isinstance(widget, lists.RowList):
            self._add_list(widget)
        else:
            self.ids.body.add_widget(widget, *arguments, **options)

    def refresh(self) -> None:
        """Show the application's state as it is now."""

    def add_button(
        self, text: str, act: Callable[[], None], filled: bool = True, danger: bool = False
    ) -> controls.PillButton:
        """Put a button into the row at the page's foot."""
        if self._buttons is None:
            self._buttons = FootRow()
            self.add_widget(self._buttons)
        button = controls.PillButton(text=text, filled=filled, danger=danger)
        button.bind(on_release=lambda _: act())
        self._buttons.add_widget(button)
        return button

    def shows(self, *facts: object) -> bool:
        """Whether the page was drawn for these facts already; if not, it is noted that it is from now on."""
        if facts == self._facts:
            return True
        self._facts = facts
        return False

    def clear(self) -> None:
        """Take everything out of the body and the foot."""
        self.ids.body.clear_widgets()
        self.ids.foot.clear_widgets()
        self._buttons = None

    def leave(self) -> None:
        """Called as the page is taken away: stop what only this page does."""

    def go_back(self) -> None:
        """What Back does; the device's own Back does the same."""
        self.work.navigation.back()

    def _add_list(self, rows: lists.RowList) -> None:
        """Put a list below the body, which then takes no more height than it needs, and than bar and foot leave."""
        scroll, body, bar, foot = (self.ids[name].__self__ for name in ("scroll", "body", "bar", "foot"))

        def share(*_: object) -> None:
            left = self.height - bar.height - (foot.height if foot.parent is self else 0)
            scroll.height = max(0, min(body.minimum_height, BODY_SHARE_ABOVE_LIST * self.height, left))

        scroll.size_hint_y = None
        self.bind(height=share, margin=rows.setter("side"))
        body.bind(minimum_height=share)
        bar.bind(height=share)
        foot.bind(height=share, parent=share)
        body.padding = (self.margin, dp(12), self.margin, dp(4))
        self.bind(margin=lambda _, margin: setattr(body, "padding", (margin, dp(12), margin, dp(4))))
        rows.side = self.margin
        super().add_widget(rows, index=self.children.index(self.ids.foot.__self__) + 1)

    def _place_foot(self, *_: object) -> None:
        """Let a foot that would leave too little of the body scroll with it."""
        foot = self.ids.foot.__self__
        wanted = self.ids.body.__self__ if foot.minimum_height > FOOT_SHARE * self.height else self
        if foot.parent is wanted or self.height < dp(100):
            return
        foot.parent.remove_widget(foot)
        if wanted is self:
            BoxLayout.add_widget(self, foot)
        else:
            wanted.add_widget(foot)
        inside = wanted is not self
        side = 0 if inside else self.margin
        foot.padding = (side, dp(10), side, dp(14))


# The rules of pages use the small widgets' rules, which therefore have to be known first.
RULES_NEEDED = (controls, inputs, lists)
Builder.load_file(str(Path(__file__).with_suffix(".kv")))
