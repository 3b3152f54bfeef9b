"""Lays a screening out for an engineer: one function per card, from the keys of `tussis.screening/1`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kivy.metrics import dp, sp
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from app.widgets import theme
from app.widgets.charts import CoughStrip
from app.widgets.controls import Badge, Bar, Card, Notice, Pair, Words
from app.wording import task_words
from app.words import _, ngettext
from core.bundle import COUGH, Bundle
from core.results import minutes_and_seconds

Result = Mapping[str, Any]
MAX_LINES = 40  # of coughs; the copied text has all of them
BADGES = {
    "validated": (theme.GOOD, theme.GOOD_GROUND),
    "unverified": (theme.WARNING, theme.WARNING_GROUND),
    "research": (theme.NOTE, theme.NOTE_GROUND),
    "demonstration": (theme.SECONDARY, theme.CARD),
}


def screening_cards(result: Result, bundle: Bundle, hidden_by: Sequence[str] = ()) -> list[Widget]:
    """From top to bottom: what was heard, how good the sound was, the sounds, the probes, and what it took.

    `hidden_by` has the codes of `app.coach` for why noise can hide coughs; then none of their number is told.
    """
    cards = [_headline_card(result, hidden_by), _quality_card(result["quality"])]
    if result["event_scores"] is not None:
        cards.append(_sounds_card(result))
    titles = {probe.name: probe.title for probe in bundle.probes}
    cards += [_probe_card(probe, titles.get(probe["name"], probe["name"])) for probe in result["probes"]]
    return [*cards, _timing_card(result["timing_ms"])]


def _headline_card(result: Result, hidden_by: Sequence[str]) -> Widget:
    recording = result["recording"]
    name = recording["path"].replace("\\", "/").rsplit("/", 1)[-1]
    where = f"{name} · {recording['duration_s']:.1f} s · {recording['sample_rate_hz']} Hz"
    if result["cough_count"] is None:
        reasons = [task_words.quality_words(reason) for reason in result["quality"]["reasons"]]
        return _unjudged_card(_("Not scored"), reasons, where)
    if hidden_by:
        return _unjudged_card(_("Could not be judged"), map(task_words.reason_words, hidden_by), where)
    coughs = [event for event in result["events"] if event["label"] == COUGH]
    count = result["cough_count"]
    said = ngettext("{n} cough", "{n} coughs", count) if count else _("No cough heard")
    spans_s = [(event["start_s"], event["end_s"]) for event in coughs]
    strip = CoughStrip(duration_s=recording["duration_s"], spans_s=spans_s, size_hint_y=None, height=dp(32))
    return _card(Words(text=said, font_size=sp(30), bold=True), _secondary(where), strip, *_cough_lines(coughs))


def _unjudged_card(heading: str, reasons: Iterable[str], where: str) -> Notice:
    said = [*reasons, _("This is not a negative result: the recording could not be judged."), where]
    return Notice(kind="warning", heading=heading, text="\n".join(said))


def _cough_lines(coughs: list[Result]) -> list[Widget]:
    """All lines are one text, so that a long recording takes no longer to show."""
    lines = [f"{_span(cough)}   {_percent(cough['probability'])}" for cough in coughs[:MAX_LINES]]
    if len(coughs) > MAX_LINES:
        hidden = len(coughs) - MAX_LINES
        lines.append(ngettext("and {n} more; the copied text has it", "and {n} more; the copied text has them", hidden))
    return [_secondary("\n".join(lines))] if lines else []


def _quality_card(quality: Result) -> Card:
    snr_db = quality["snr_db"]
    snr = _("not known") if snr_db is None else f"{snr_db:.0f} dB"
    return _card(
        _heading(_("Sound")),
        Pair(name=_("Peak"), value=f"{quality['peak_dbfs']:.1f} dBFS"),
        Pair(name=_("Loudness (RMS)"), value=f"{quality['rms_dbfs']:.1f} dBFS"),
        Pair(name=_("Samples cut off"), value=f"{100 * quality['clipped_fraction']:.2f} %"),
        Pair(name=_("Loud over quiet"), value=snr),
        *(_secondary(task_words.quality_words(reason)) for reason in quality["reasons"] if quality["acceptable"]),
    )


def _sounds_card(result: Result) -> Card:
    hint = _("Probability in the most probable clip. It is not a risk of disease.")
    card = _card(_heading(_("Sounds heard")), _secondary(hint))
    heard = {event["label"] for event in result["events"]}
    scores = sorted(result["event_scores"].items(), key=lambda item: (item[0] != COUGH, -item[1]))
    for label, probability in scores:
        card.add_widget(_score_row(label, probability, is_heard=label in heard))
    return card


def _score_row(label: str, probability: float, is_heard: bool) -> BoxLayout:
    row = BoxLayout(size_hint_y=None, spacing=dp(8))
    row.bind(minimum_height=row.setter("height"))
    row.add_widget(Words(text=task_words.label_words(label), size_hint_x=0.4))
    ink = theme.PRIMARY if is_heard else theme.QUIET_BAR
    bar = Bar(fraction=min(1.0, max(0.0, probability)), ink=ink, size_hint_x=0.4, pos_hint={"center_y": 0.5})
    row.add_widget(bar)
    row.add_widget(Words(text=_percent(probability), halign="right", size_hint_x=0.2))
    return row


def _probe_card(probe: Result, title: str) -> Card:
    ink, ground = BADGES[probe["status"]]
    card = _card(_heading(title), Badge(text=task_words.STATUSES[probe["status"]](), ink=ink, ground=ground))
    if probe["status"] == "demonstration":
        card.ground = card.line = theme.TRACK
        return _add(card, Words(text=_("Not a medical result"), bold=True), _secondary(probe["reason"]))
    score = "" if probe["score"] is None else f"{probe['score']:.2f} {probe['unit']}"
    decision = task_words.DECISIONS[probe["decision"]]() if probe["decision"] else ""
    said = f"{decision} ({score})" if decision and score else decision or score
    return _add(card, Words(text=said, font_size=sp(20), bold=True), *_optional(probe["reason"]))


def _timing_card(timing_ms: Mapping[str, float]) -> Card:
    rows = (Pair(name=task_words.stage_words(stage), value=f"{ms:.1f} ms") for stage, ms in timing_ms.items())
    return _card(_heading(_("Time taken")), *rows)


def _optional(text: str | None) -> list[Words]:
    return [_secondary(text)] if text else []


def _card(*rows: Widget) -> Card:
    return _add(Card(), *rows)


def _add(card: Card, *rows: Widget) -> Card:
    for row in rows:
        card.add_widget(row)
    return card


def _heading(text: str) -> Words:
    return Words(text=text, font_size=sp(17), bold=True)


def _secondary(text: str) -> Words:
    return Words(text=text, font_size=sp(14), color=theme.SECONDARY)


def _span(event: Result) -> str:
    return f"{minutes_and_seconds(event['start_s'])} - {minutes_and_seconds(event['end_s'])}"


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %"
