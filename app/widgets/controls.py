"""Defines the small widgets that the screens are made of."""

from pathlib import Path

from kivy.animation import Animation
from kivy.core.text import Label as CoreLabel
from kivy.lang import Builder
from kivy.metrics import dp, sp
from kivy.properties import (
    AliasProperty,
    BooleanProperty,
    BoundedNumericProperty,
    ColorProperty,
    ListProperty,
    NumericProperty,
    OptionProperty,
    StringProperty,
)
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.label import Label
from kivy.uix.widget import Widget

from app.widgets import theme
from app.widgets.icons import Icon

METER_FLOOR_DBFS = -60.0
QUIET_PEAK_DBFS = -30.0
LOUD_PEAK_DBFS = -1.0


def natural_width(text: str, font_size: float, bold: bool = False) -> float:
    """The width of a text on one line, in pixels."""
    return CoreLabel(font_size=font_size, bold=bold).get_extents(text)[0] + dp(2) if text else 0.0


def longest_word_width(text: str, font_size: float, bold: bool = False) -> float:
    """The width of the longest word of a text, in pixels."""
    return max((natural_width(word, font_size, bold) for word in text.split()), default=0.0)


class Words(Label):
    """Text as wide as its parent gives it, and as high as it then needs to be."""

    def _natural_width(self) -> float:
        return natural_width(self.text, self.font_size, self.bold)

    natural_width = AliasProperty(_natural_width, bind=("text", "font_size", "bold"))


class Card(BoxLayout):
    """A white, rounded group of rows."""

    ground = ColorProperty(theme.CARD)
    line = ColorProperty(theme.LINE)


class Badge(Label):
    """A few words in a pill."""

    ink = ColorProperty(theme.NOTE)
    ground = ColorProperty(theme.NOTE_GROUND)

    def _room(self) -> float:
        """Its words' width, as far as its parent is as wide."""
        wanted = natural_width(self.text, self.font_size, self.bold) + dp(20)
        return min(wanted, self.parent_width) if self.parent_width else wanted

    parent_width = NumericProperty(0)
    room = AliasProperty(_room, bind=("text", "font_size", "bold", "parent_width"))

    def on_parent(self, _: Widget, parent: Widget | None) -> None:
        """Kivy's call: follow the width of what holds it."""
        if parent is not None:
            parent.bind(width=self._follow, padding=self._follow)
            self._follow(parent)

    def _follow(self, parent: Widget, *_: object) -> None:
        left, _top, right, _foot = parent.padding
        self.parent_width = parent.width - left - right


class Heading(Words):
    """The words over a group of rows."""


class Secondary(Words):
    """Words that explain."""


class BigWords(Words):
    """One line in large print, such as a clock or a count, made smaller where it would not fit."""

    largest = NumericProperty("40sp")

    def __init__(self, **properties: object) -> None:
        super().__init__(**properties)
        for name in ("width", "text", "largest"):
            self.fbind(name, self._fit)
        self._fit()

    def _fit(self, *_: object) -> None:
        whole = CoreLabel(font_size=self.largest, bold=self.bold, font_name=self.font_name)
        needed = whole.get_extents(self.text)[0] + dp(4)
        self.font_size = self.largest * min(1.0, self.width / needed) if self.width > 0 else self.largest


class PillButton(ButtonBehavior, Label):
    """A pill to press; filled for what one is expected to do next, red where something is lost for good."""

    filled = BooleanProperty(True)
    danger = BooleanProperty(False)

    def _ground(self) -> list[float]:
        if self.disabled:
            return theme.TRACK
        up, down = (theme.RECORD, theme.RECORD_DOWN) if self.danger else (theme.PRIMARY, theme.PRIMARY_DOWN)
        if self.filled:
            return down if self.state == "down" else up
        return theme.TRACK if self.state == "down" else theme.CARD

    def _ink(self) -> list[float]:
        if self.filled:
            return theme.ON_COLOUR
        return theme.ERROR if self.danger else theme.PRIMARY

    ground = AliasProperty(_ground, bind=("filled", "danger", "state", "disabled"))
    ink = AliasProperty(_ink, bind=("filled", "danger"))


class LinkButton(ButtonBehavior, Words):
    """Words to press for what is seldom done."""


class IconButton(ButtonBehavior, Icon):
    """A picture to press."""


class Row(ButtonBehavior, BoxLayout):
    """A line of a list to press: picture, words, words below them, and what stands at its right."""

    icon = StringProperty()
    text = StringProperty()
    below = StringProperty()
    aside = StringProperty()
    onward = BooleanProperty(True)
    ink = ColorProperty(theme.PRIMARY)
    fixed_height = NumericProperty(0)


class Pair(BoxLayout):
    """What something is called, and its value at the right; below it where a word would not fit."""

    name = StringProperty()
    value = StringProperty()
    is_stacked = BooleanProperty(False)
    name_share = NumericProperty(0.5)

    def __init__(self, **properties: object) -> None:
        super().__init__(**properties)
        for name in ("width", "name", "value"):
            self.fbind(name, self._fit)
        self._fit()

    def _fit(self, *_: object) -> None:
        """Give each the room that it needs: on one line, wrapped side by side, or one below the other."""
        room = self.width - dp(12)
        name, value = natural_width(self.name, sp(15)), natural_width(self.value, sp(15))
        name_word, value_word = longest_word_width(self.name, sp(15)), longest_word_width(self.value, sp(15))
        self.is_stacked = name_word + value_word > room
        if name + value <= room:
            self.name_share = (name + (room - name - value) / 2) / room
        else:
            self.name_share = min(max(0.48, name_word / room), 1 - value_word / room) if room > 0 else 0.5


class Notice(Card):
    """A card of one kind of `theme.KINDS` with a heading and a sentence."""

    kind = OptionProperty("note", options=list(theme.KINDS))
    heading = StringProperty()
    text = StringProperty()


class RecordButton(ButtonBehavior, Widget):
    """The round button: a microphone while idle, a square while recording."""

    recording = BooleanProperty(False)

    def _mark_size(self) -> tuple[float, float]:
        return (dp(34), dp(34)) if self.recording else (dp(20), dp(34))

    def _cradle(self) -> tuple[float, ...]:
        width, height = dp(36), dp(36)
        return (self.center_x - width / 2, self.center_y - height / 2 + dp(4), width, height, 90, 270)

    def _stand(self) -> list[float]:
        top, foot = self.center_y - dp(14), self.center_y - dp(23)
        return [self.center_x, top, self.center_x, foot]

    mark_size = AliasProperty(_mark_size, bind=("recording",))
    mark_radius = AliasProperty(lambda self: dp(5) if self.recording else dp(10), bind=("recording",))
    mark_lift = AliasProperty(lambda self: 0 if self.recording else dp(9), bind=("recording",))
    cradle = AliasProperty(_cradle, bind=("pos", "size"))
    stand = AliasProperty(_stand, bind=("pos", "size"))


class LevelMeter(Widget):
    """The level in dBFS from `METER_FLOOR_DBFS` to 0: a bar for the RMS, a line for the peak, colour for too loud."""

    rms_dbfs = NumericProperty(-100.0)
    peak_dbfs = NumericProperty(-100.0)

    @staticmethod
    def fraction(level_dbfs: float) -> float:
        """Where on the meter, 0 to 1, a level lies."""
        return min(1.0, max(0.0, 1.0 - level_dbfs / METER_FLOOR_DBFS))

    def _ink(self) -> list[float]:
        if self.peak_dbfs >= LOUD_PEAK_DBFS:
            return theme.RECORD
        return theme.QUIET_BAR if self.peak_dbfs < QUIET_PEAK_DBFS else theme.GOOD

    rms_fraction = AliasProperty(lambda self: self.fraction(self.rms_dbfs), bind=("rms_dbfs",))
    peak_fraction = AliasProperty(lambda self: self.fraction(self.peak_dbfs), bind=("peak_dbfs",))
    ink = AliasProperty(_ink, bind=("peak_dbfs",))
    peak_ink = AliasProperty(lambda self: theme.TEXT if self.peak_fraction > 0 else theme.CLEAR, bind=("peak_dbfs",))


class Bar(Widget):
    """A probability as a length."""

    fraction = BoundedNumericProperty(0.0, min=0.0, max=1.0)
    ink = ColorProperty(theme.PRIMARY)


class Timeline(Widget):
    """The whole recording as a strip, with a mark for each cough."""

    duration_s = NumericProperty(1.0)
    spans_s = ListProperty()

    def __init__(self, **properties: object) -> None:
        super().__init__(**properties)
        for name in ("pos", "size", "duration_s", "spans_s"):
            self.fbind(name, self._draw)

    def _draw(self, *_: object) -> None:
        from kivy.graphics import Color, RoundedRectangle

        self.canvas.clear()
        with self.canvas:
            Color(*theme.TRACK)
            RoundedRectangle(pos=self.pos, size=self.size, radius=[dp(8)])
            Color(*theme.PRIMARY)
            for start_s, end_s in self.spans_s:
                left = self.width * min(1.0, start_s / self.duration_s)
                length = max(dp(4), self.width * (end_s - start_s) / self.duration_s)
                left = min(left, self.width - length)
                RoundedRectangle(pos=(self.x + left, self.y), size=(length, self.height), radius=[dp(2)])


class WorkingIndicator(Widget):
    """A turning arc, turning only while it can be seen."""

    angle = NumericProperty(0.0)

    def on_parent(self, _: Widget, parent: Widget | None) -> None:
        """Kivy's call when the indicator is shown or taken away."""
        Animation.cancel_all(self)
        if parent is not None:
            turn = Animation(angle=360_000.0, duration=1000.0)
            turn.start(self)


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
