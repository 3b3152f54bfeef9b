"""Lays a screening out: one function per card, from the keys of `tussis.screening/1`."""

from collections.abc import Iterable, Mapping
from typing import Any

from kivy.metrics import dp, sp
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from app import strings
from app.screens import theme
from app.screens.controls import Badge, Bar, Card, PillButton, Timeline, Words
from app.session import Session
from core.bundle import Bundle
from core.results import minutes_and_seconds

Result = Mapping[str, Any]
MAX_ROWS = 40
BADGES = {
    "validated": (theme.GOOD, theme.GOOD_GROUND),
    "unverified": (theme.WARNING, theme.WARNING_GROUND),
    "research": (theme.NOTE, theme.NOTE_GROUND),
    "demonstration": (theme.WARNING, theme.CARD),
}


def result_cards(result: Result, session: Session) -> list[Widget]:
    """The result from top to bottom: what was heard, how good the sound was, the probes, and how it was computed."""
    cards = [_gaps_card(session.n_gaps)] if session.n_gaps else []
    cards += [_headline_card(result), _quality_card(result["quality"])]
    if result["event_scores"] is not None:
        cards.append(_sounds_card(result))
    cards += [_probe_card(probe, _title(probe, session.bundle)) for probe in result["probes"]]
    cards += [_model_card(result, session.bundle), _copy_button(session.report or "")]
    return cards


def error_cards(session: Session) -> list[Widget]:
    """One sentence, and which recording it was about."""
    card = _card(theme.ERROR_GROUND, theme.ERROR)
    _add(card, _heading(strings.ERROR_TITLE, theme.ERROR), Words(text=session.error or ""))
    if session.path is not None and str(session.path) not in (session.error or ""):
        card.add_widget(_secondary(strings.kept(session.path)))
    return [card]


def _gaps_card(n_gaps: int) -> Card:
    card = _card(theme.WARNING_GROUND, theme.WARNING_LINE)
    return _add(card, _heading(strings.GAPS_TITLE, theme.WARNING), Words(text=strings.gaps(n_gaps)))


def _headline_card(result: Result) -> Card:
    recording = result["recording"]
    where = _secondary(f"{_file_name(recording['path'])} · {recording['duration_s']:.1f} s")
    if result["cough_count"] is None:
        return _unscored_card(result["quality"]["reasons"], where)
    card = _card()
    _add(card, Words(text=strings.cough_count(result["cough_count"]), font_size=sp(30), bold=True), where)
    coughs = [event for event in result["events"] if event["label"] == "cough"]
    spans_s = [(event["start_s"], event["end_s"]) for event in coughs]
    card.add_widget(Timeline(duration_s=recording["duration_s"], spans_s=spans_s, size_hint_y=None, height=dp(32)))
    return _add(card, *_limited(_pair(_span(event), _percent(event["probability"])) for event in coughs))


def _unscored_card(reasons: Iterable[str], where: Widget) -> Card:
    card = _card(theme.WARNING_GROUND, theme.WARNING_LINE)
    _add(card, Words(text=strings.NOT_SCORED, font_size=sp(30), bold=True, color=theme.WARNING), where)
    _add(card, *(Words(text=strings.quality_reason(reason)) for reason in reasons))
    return _add(card, Words(text=strings.NOT_SCORED_MEANING, bold=True))


def _quality_card(quality: Result) -> Card:
    card = _card()
    verdict = _badge(strings.ACCEPTABLE, theme.GOOD, theme.GOOD_GROUND)
    if not quality["acceptable"]:
        verdict = _badge(strings.NOT_ACCEPTABLE, theme.WARNING, theme.WARNING_GROUND)
    _add(card, _titled(strings.QUALITY, verdict))
    snr_db = quality["snr_db"]
    return _add(
        card,
        _pair(strings.PEAK, _dbfs(quality["peak_dbfs"])),
        _pair(strings.LOUDNESS, _dbfs(quality["rms_dbfs"])),
        _pair(strings.CLIPPED, f"{100 * quality['clipped_fraction']:.2f} %"),
        _pair(strings.SNR, strings.UNKNOWN if snr_db is None else f"{snr_db:.0f} dB"),
    )


def _sounds_card(result: Result) -> Card:
    card = _add(_card(), _heading(strings.SOUNDS), _secondary(strings.SOUNDS_HINT))
    heard = {event["label"] for event in result["events"]}
    scores = sorted(result["event_scores"].items(), key=lambda item: (item[0] != "cough", -item[1]))
    for label, probability in scores:
        card.add_widget(_score_row(label, probability, is_heard=label in heard))
        spans = [_span(event) for event in result["events"] if event["label"] == label]
        _add(card, *([_secondary(strings.heard_at(spans))] if spans and label != "cough" else []))
    return card


def _score_row(label: str, probability: float, is_heard: bool) -> BoxLayout:
    row = _pair(strings.label(label), _percent(probability))
    words, value = reversed(row.children)
    words.size_hint_x, value.size_hint_x = 0.38, 0.17
    ink = theme.PRIMARY if is_heard else theme.QUIET_BAR
    bar = Bar(fraction=min(1.0, max(0.0, probability)), ink=ink, size_hint_x=0.45, pos_hint={"center_y": 0.5})
    row.add_widget(bar, index=1)
    return row


def _probe_card(probe: Result, title: str) -> Card:
    is_demonstration = probe["status"] == "demonstration"
    card = _card(theme.WARNING_GROUND, theme.WARNING_LINE) if is_demonstration else _card()
    ink, ground = BADGES[probe["status"]]
    _add(card, _heading(title), _badge(strings.STATUS[probe["status"]], ink, ground))
    card.add_widget(Words(text=strings.probe_words(probe), font_size=sp(20), bold=True))
    _add(card, *([Words(text=strings.UNVERIFIED_MEANING)] if probe["status"] == "unverified" else []))
    return _add(card, *([Words(text=probe["reason"])] if probe["reason"] else []))


def _model_card(result: Result, bundle: Bundle | None) -> Card:
    model, timing_ms = result["model"], result["timing_ms"]
    card = _add(_card(), _heading(strings.MODEL))
    _add(card, _pair(strings.BUNDLE, model["bundle"]), _pair(strings.SHA256, model["sha256"][:12]))
    _add(card, *([_secondary(f"{strings.SIGNATURE}: {bundle.signature.words}")] if bundle else []))
    _add(card, _pair(strings.FORMAT, str(model["format_version"])), _heading(strings.TIMING))
    return _add(card, *(_pair(strings.label(stage), f"{ms:.1f} ms") for stage, ms in timing_ms.items()))


def _copy_button(report: str) -> PillButton:
    button = PillButton(text=strings.COPY, filled=False)

    def copy(*_: object) -> None:
        from kivy.core.clipboard import Clipboard

        Clipboard.copy(report)
        button.text = strings.COPIED

    button.bind(on_release=copy)
    return button


def _title(probe: Result, bundle: Bundle | None) -> str:
    """The bundle's title of a probe; the name where the bundle is not known."""
    titles = {known.name: known.title for known in bundle.probes} if bundle else {}
    return titles.get(probe["name"], probe["name"])


def _limited(rows: Iterable[Widget]) -> list[Widget]:
    rows = list(rows)
    return rows if len(rows) <= MAX_ROWS else [*rows[:MAX_ROWS], _secondary(strings.more(len(rows) - MAX_ROWS))]


def _card(ground: list[float] = theme.CARD, line: list[float] = theme.LINE) -> Card:
    return Card(ground=ground, line=line)


def _add(card: Card, *rows: Widget) -> Card:
    for row in rows:
        card.add_widget(row)
    return card


def _heading(text: str, ink: list[float] = theme.TEXT) -> Words:
    return Words(text=text, font_size=sp(17), bold=True, color=ink)


def _secondary(text: str) -> Words:
    return Words(text=text, font_size=sp(14), color=theme.SECONDARY)


def _badge(text: str, ink: list[float], ground: list[float]) -> Badge:
    return Badge(text=text, ink=ink, ground=ground)


def _titled(title: str, badge: Badge) -> BoxLayout:
    """A heading with a badge at its right."""
    row = BoxLayout(size_hint_y=None, spacing=dp(8))
    row.bind(minimum_height=row.setter("height"))
    heading = _heading(title)
    heading.pos_hint = badge.pos_hint = {"center_y": 0.5}
    row.add_widget(heading)
    row.add_widget(badge)
    return row


def _pair(left: str, right: str) -> BoxLayout:
    row = BoxLayout(size_hint_y=None, spacing=dp(8))
    words, value = Words(text=left), Words(text=right, halign="right", color=theme.SECONDARY)
    row.bind(minimum_height=row.setter("height"))
    row.add_widget(words)
    row.add_widget(value)
    return row


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def _span(event: Result) -> str:
    return f"{minutes_and_seconds(event['start_s'])}-{minutes_and_seconds(event['end_s'])}"


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %"


def _dbfs(level: float) -> str:
    return f"{level:.1f} dBFS"
