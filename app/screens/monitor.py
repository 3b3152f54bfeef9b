"""Watches for coughs over hours: what is kept, the coughs by the hour, and how it ends."""

import time
from pathlib import Path

from kivy.lang import Builder
from kivy.properties import ListProperty, NumericProperty, OptionProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout

from app.monitoring_session import AROUND_EVENTS, ENDED, LIVE, MonitoringState
from app.widgets import charts, live_view, theme
from app.widgets.controls import Notice, Row, Words
from app.widgets.dialogs import WORDS, yes_no
from app.widgets.page import Page
from app.wording import task_words
from app.words import _

UNKNOWN = "?"
HEADINGS = {
    "waiting_for_sound": ("wait", "note", lambda: _("Get ready")),
    "watching": ("cough", "good", lambda: _("Listening for coughs")),
    "stopped": ("stop", "error", lambda: _("It stands still")),
    "ending": ("wait", "note", lambda: _("Coming to an end")),
    "ended": ("stop", "note", lambda: _("Ended")),
}
"""Shape, kind of colours and words of each step."""


class WatchView(BoxLayout):
    """How long it has lasted and what was heard."""

    shape = StringProperty("wait")
    kind = OptionProperty("note", options=list(theme.KINDS))
    heading = StringProperty()
    fault = StringProperty()
    clock = StringProperty()
    clock_unit = StringProperty()
    coughs = StringProperty()
    coughs_unit = StringProperty()
    bars_heading = StringProperty()
    counts = ListProperty()
    first_hour = NumericProperty(0)
    below = StringProperty()


class MonitorPage(Page):
    """Watching a room, or the participant whom the place names; it shows `work.monitoring`."""

    def refresh(self) -> None:
        """Show the step that it is at."""
        self.title = _("Watch for coughs")
        monitoring = self.work.monitoring
        if monitoring is None or not (monitoring.is_running or self.place.draft.get("started")):
            if not self.shows("ready"):
                self._build_ready()
            return
        state = monitoring.state
        if state.step not in HEADINGS:
            return
        if not self.shows(state.step):
            self._build_watching(state.step)
        self._tell(state)

    def press_start(self) -> None:
        """Begin to listen."""
        self.place.draft["started"] = True
        self.work.start_watching(self.place.facts.get("participant_id", ""))

    def press_stop(self) -> None:
        """Ask, then end it."""
        self.work.navigation.confirm("stop_watching", self.work.monitoring.stop)

    def press_done(self) -> None:
        """Leave what has ended."""
        self.work.monitoring = None
        self.work.navigation.leave()

    def _build_ready(self) -> None:
        self.clear()
        participant_id = self.place.facts.get("participant_id", "")
        whom = _("Participant {participant}").format(participant=participant_id) if participant_id else _("A room")
        text = _("The phone listens for hours and counts coughs. Charge it, and cover its microphone with nothing.")
        self.add_widget(Words(text=whom, font_size="20sp", bold=True))
        self.add_widget(Words(text=text, font_size="16sp"))
        self.add_widget(Notice(kind="note", heading=_("What is kept"), text=self._kept_words()))
        row = Row(icon="gauge", text=_("Battery saver"), below=_("Keeps a long listening from being stopped"))
        row.bind(on_release=lambda _: self.work.navigation.go("battery"))
        self.add_widget(row)
        self.add_button(_("Start listening"), self.press_start)

    def _build_watching(self, step: str) -> None:
        self.clear()
        self._watch = WatchView(below=self._kept_words(), bars_heading=_("Coughs by the hour"))
        self.add_widget(self._watch)
        if step in LIVE:
            if step == "stopped":
                self.add_button(_("Go on"), self.work.monitoring.start)
            self.add_button(_("Stop listening"), self.press_stop, filled=step != "stopped", danger=True)
        elif step == ENDED:
            self.add_button(_("Done"), self.press_done)

    def _tell(self, state: MonitoringState) -> None:
        view = self._watch
        view.shape, view.kind, say = HEADINGS[state.step]
        view.heading = say()
        view.fault = task_words.fault_words(state.message) if state.message else ""
        view.clock, view.clock_unit = long_clock(state.duration_s), _("listened")
        view.coughs = UNKNOWN if state.coughs is None else str(state.coughs)
        view.coughs_unit = _("coughs")
        view.counts = [charts.UNJUDGED if hour.coughs is None else hour.coughs for hour in state.hours]
        view.first_hour = time.localtime(time.time() - state.duration_s).tm_hour

    def _kept_words(self) -> str:
        if self.work.study.monitoring_keeps == AROUND_EVENTS and self.place.facts.get("participant_id"):
            return _("Counts by the hour, and the sound around each cough, sealed. No other sound is kept.")
        return _("Counts by the hour. No sound is kept.")


def long_clock(seconds: float) -> str:
    """Hours, minutes and seconds, such as 2:05:07."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


WORDS["stop_watching"] = lambda facts: yes_no(
    _("Stop listening?"),
    _("It ends here. The counts so far are kept."),
    _("Stop listening"),
    _("Go on listening"),
)

# The rules of this page use those of other widgets, which therefore have to be known first.
RULES_NEEDED = (charts, live_view)
Builder.load_file(str(Path(__file__).with_suffix(".kv")))
