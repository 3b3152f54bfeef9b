"""Shows on one plain page what a participant's recordings gave, and what the study wants done next."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kivy.lang import Builder
from kivy.metrics import dp
from kivy.properties import BooleanProperty, ColorProperty, ListProperty, NumericProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.label import Label

from app.outcome import UNJUDGED, Outcome, ProbeOutcome, latest_kept, outcome_of
from app.widgets import charts, live_view, theme
from app.widgets.page import Page
from app.wording import task_words
from app.words import _, ngettext, shown_language
from core.bundle import COUGH
from core.probes import Decision

QUALITY_KINDS = {"good": "good", "poor": "warning", UNJUDGED: "grey"}


class StripRow(BoxLayout):
    """One recording: its name, when its coughs were, and how many."""

    text = StringProperty()
    value = StringProperty()
    duration_s = NumericProperty(1.0)
    spans_s = ListProperty()


class ProbeMark(Label):
    """A disc or a ring with one character, which differ in grey print too."""

    is_filled = BooleanProperty(False)


class ProbeCard(BoxLayout):
    """What one probe may say.

    Without any colour too they differ: *refer* has a thick line and a filled mark, *not referred* a thin line, *not
    scored* a double one, a demonstration a grey ground.
    """

    mark = StringProperty()
    decision = StringProperty()
    title = StringProperty()
    status = StringProperty()
    text = StringProperty()
    is_filled = BooleanProperty(False)
    is_doubled = BooleanProperty(False)
    line_width = NumericProperty(dp(1))
    ground = ColorProperty(theme.CARD)
    line = ColorProperty(theme.QUIET_BAR)
    ink = ColorProperty(theme.TEXT)


class ResultPage(Page):
    """The result of the recordings that were kept; `place.facts` names the participant."""

    headline = StringProperty()
    below = StringProperty()
    quality = StringProperty()
    quality_kind = StringProperty("grey")
    quality_reasons = StringProperty()
    next_step = StringProperty()

    def refresh(self) -> None:
        """Show what the casebook has."""
        study, participant_id = self.work.study, self.place.facts["participant_id"]
        attempts = latest_kept(self.work.casebook.attempts(participant_id))
        cough_tasks = [task.id for task in study.tasks if task.kind == "coughs"]
        outcome = outcome_of(attempts, cough_tasks)
        self.title = _("Result of {participant}").format(participant=participant_id)
        self.headline, self.below = headline(outcome), recordings_words(outcome)
        self.quality_kind = QUALITY_KINDS[outcome.quality]
        self.quality = task_words.QUALITY_HEADINGS[outcome.quality]()
        self.quality_reasons = "\n".join(task_words.reason_words(code) for code in outcome.reasons)
        step = study.next_steps.get(outcome.next_step)
        self.next_step = step(shown_language()) if step else ""
        self._show_strips(attempt for attempt in attempts if attempt.task_id in cough_tasks)
        probes = self.work.screener.bundle.probes if self.work.screener is not None else ()
        titles = {probe.name: probe.title for probe in probes}
        self._fill("probes", [probe_card(probe, titles.get(probe.name, probe.name)) for probe in outcome.probes])

    def press_done(self) -> None:
        """Up to the participant."""
        self.work.navigation.up_to("participant")

    def _show_strips(self, attempts: Iterable[Any]) -> None:
        self._fill("strips", [strip_row(attempt) for attempt in attempts])

    def _fill(self, name: str, widgets: list[Any]) -> None:
        self.ids[name].clear_widgets()
        for widget in widgets:
            self.ids[name].add_widget(widget)


def headline(outcome: Outcome) -> str:
    """The number of coughs, or that it could not be judged."""
    if outcome.coughs is None:
        return _("Could not be judged")
    return ngettext("{n} cough", "{n} coughs", outcome.coughs) if outcome.coughs else _("No cough heard")


def recordings_words(outcome: Outcome) -> str:
    """In how many recordings, and how many could not be judged."""
    parts = []
    if outcome.n_judged:
        parts.append(ngettext("in {n} recording", "in {n} recordings", outcome.n_judged))
    if outcome.n_unjudged and outcome.n_judged:
        parts.append(ngettext("{n} could not be judged", "{n} could not be judged", outcome.n_unjudged))
    elif outcome.n_unjudged:
        parts.append(ngettext("{n} recording", "{n} recordings", outcome.n_unjudged))
    return " · ".join(parts)


def strip_row(attempt: Any) -> StripRow:
    """The row of one recording of coughs."""
    is_judged = (attempt.verdict or {}).get("outcome", UNJUDGED) != UNJUDGED
    events = (attempt.screening or {}).get("events", ()) if is_judged else ()
    return StripRow(
        text=_("Round {n}").format(n=attempt.round),
        value=str(attempt.verdict["coughs"]) if is_judged else "?",
        duration_s=max(0.1, attempt.duration_s),
        spans_s=[(event["start_s"], event["end_s"]) for event in events if event["label"] == COUGH],
    )


def probe_card(probe: ProbeOutcome, title: str) -> ProbeCard:
    """The card of one probe; a demonstration never shows a decision or a number."""
    status = task_words.STATUSES[probe.status]()
    if probe.status == "demonstration":
        return ProbeCard(
            mark="i", decision=_("Not a medical result"), title=title, status=status,
            text=_("This probe only shows how probes work. It says nothing about this person."),
            ground=theme.TRACK, line=theme.TRACK, ink=theme.SECONDARY,
        )  # fmt: skip
    if probe.strongest == Decision.REFER.value:
        return ProbeCard(
            mark="!", decision=_("Refer"), title=title, status=status, text=_tally(probe),
            is_filled=True, line=theme.TEXT, line_width=dp(4),
        )  # fmt: skip
    if probe.strongest == Decision.NOT_REFERRED.value:
        return ProbeCard(mark="\N{EN DASH}", decision=_("Not referred"), title=title, status=status, text=_tally(probe))
    if probe.values:
        values = ", ".join(f"{value:.2f}" for value in probe.values)
        return ProbeCard(mark="#", decision=f"{values} {probe.unit}", title=title, status=status)
    reasons = [_("This is not a negative result."), *dict.fromkeys(map(task_words.unscored_words, probe.reasons))]
    return ProbeCard(
        mark="?", decision=_("Not scored"), title=title, status=status, text=" ".join(reasons), is_doubled=True
    )


def _tally(probe: ProbeOutcome) -> str:
    """In how many recordings each decision was made, where they differ."""
    if len(probe.decisions) < 2:
        return ""
    counts = [(say(), probe.decisions[code]) for code, say in task_words.DECISIONS.items() if code in probe.decisions]
    return " · ".join(f"{name}: " + ngettext("{n} recording", "{n} recordings", n) for name, n in counts)


# The rules of this page use those of other widgets, which therefore have to be known first.
RULES_NEEDED = (charts, live_view)
Builder.load_file(str(Path(__file__).with_suffix(".kv")))
