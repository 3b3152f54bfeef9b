"""Shows an engineer the model, its hashes and its signature, and what a screening takes; imports models."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kivy.lang import Builder
from kivy.properties import BooleanProperty
from kivy.uix.widget import Widget

from app import imported_model
from app.coach import COUGHS, Coach, Limits, Outcome
from app.screens.screening_cards import screening_cards
from app.study import practice_study
from app.widgets import charts, dialogs
from app.widgets.controls import Card, LinkButton, Notice, Pair, PillButton, Row, Words
from app.widgets.page import Page
from app.wording import task_words
from app.words import _
from core.audio import open_recording
from core.bundle import Bundle
from core.errors import TussisError
from core.results import Screening, describe

RECORDING_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aif", ".aiff")
MODEL_SUFFIXES = (".tussis",)
MODEL_CARD = "model_card.md"
HASH_GROUP = 8


class EngineerPage(Page):
    """The engineer's page; `place.facts` may name a `recording` to screen, `place.draft` keeps the last result."""

    has_model = BooleanProperty(False)

    def refresh(self) -> None:
        """Show the model that is there, and screen what was named once it is."""
        screener = self.work.screener
        self.has_model = screener is not None
        notice = self.place.draft.get("error", "") or self.work.screener_error
        if not self.shows(screener, notice, self.place.draft.get("screening"), self.place.draft.get("model_card")):
            self._fill([Notice(kind="error", text=notice)] if notice else [])
        recording = self.place.facts.get("recording")
        if recording is not None and screener is not None and "asked" not in self.place.draft:
            self.place.draft["asked"] = True
            self.screen(Path(recording))

    def press_open(self) -> None:
        """Let a person choose a recording, then screen it."""
        self.work.choose_file(RECORDING_SUFFIXES, self.screen)

    def press_import(self) -> None:
        """Let a person choose a model, then check and keep it."""
        self.work.choose_file(MODEL_SUFFIXES, self.import_model)

    def screen(self, path: Path) -> None:
        """Screen one recording on a thread."""
        screener, draft = self.work.screener, self.place.draft

        limits = (self.work.study or practice_study()).limits

        def job() -> dict[str, Any]:
            screening = screener.screen(path)
            hidden_by = why_unjudged(path, screening, limits)
            return {
                "screening": screening.to_json(),
                "hidden_by": hidden_by,
                "report": describe(screening),
                "error": "",
            }

        self.work.run(job, draft.update, lambda error: draft.update(screening=None, error=str(error)))

    def import_model(self, path: Path) -> None:
        """Check a model on a thread, and screen with it from now on."""
        self._with_another_model(lambda: imported_model.import_model(path, self.work.folder, self.work.trust))

    def press_forget(self) -> None:
        """Go back to the model that comes with Tussis."""
        self._with_another_model(lambda: imported_model.forget_imported(self.work.folder))

    def _with_another_model(self, change: Callable[[], Any]) -> None:
        draft = self.place.draft

        def use(_: Any) -> None:
            draft.update(screening=None, error="", model_card=None)
            self.work.load_model()

        def refuse(error: TussisError) -> None:
            draft.update(error=str(error))

        self.work.run(change, use, refuse)

    def _screening_cards(self) -> list[Widget]:
        result = self.place.draft.get("screening")
        if result is None or self.work.screener is None:
            return []
        copy = PillButton(text=_("Copy result as text"), filled=False)
        copy.bind(on_release=lambda _: self._copy())
        hidden_by = self.place.draft.get("hidden_by", ())
        return [*screening_cards(result, self.work.screener.bundle, hidden_by), copy]

    def _copy(self) -> None:
        from kivy.core.clipboard import Clipboard

        Clipboard.copy(self.place.draft["report"])
        self.work.say("good", _("Copied"))

    def _model_cards(self) -> list[Widget]:
        if self.work.screener is None:
            return []
        bundle = self.work.screener.bundle
        cards = [_bundle_card(bundle), _probes_card(bundle)]
        cards += self._model_card_rows(bundle)
        if (self.work.folder / imported_model.IMPORTED_NAME).exists():
            forget = LinkButton(text=_("Use the model that comes with Tussis"))
            forget.bind(on_release=lambda _: self.press_forget())
            cards.append(forget)
        return cards

    def _model_card_rows(self, bundle: Bundle) -> list[Widget]:
        text = self.place.draft.get("model_card")
        if text is not None:
            return [Words(text=paragraph) for paragraph in text.split("\n\n") if paragraph.strip()]
        if MODEL_CARD not in bundle.files:
            return []
        show = LinkButton(text=_("Show the model card"))
        show.bind(on_release=lambda _: self.work.run(lambda: _read_card(bundle), self._show_card))
        return [show]

    def _show_card(self, text: str) -> None:
        self.place.draft["model_card"] = text

    def _fill(self, notices: list[Widget]) -> None:
        speed = Row(icon="gauge", text=_("Speed"), below=_("How long a screening takes on this device"))
        speed.bind(on_release=lambda _: self.work.navigation.go("latency"))
        self.ids.content.clear_widgets()
        for widget in (*notices, *self._screening_cards(), speed, *self._model_cards()):
            self.ids.content.add_widget(widget)


def why_unjudged(path: Path, screening: Screening, limits: Limits) -> tuple[str, ...]:
    """Codes of why noise can hide coughs in a recording that was screened; raises `AudioError`."""
    coach = Coach(limits, AnyCoughs())
    with open_recording(path) as recording:
        for samples in recording.blocks():
            coach.push(samples, recording.sample_rate_hz)
    verdict = coach.verdict(screening)
    return verdict.reasons if verdict.outcome == Outcome.COULD_NOT_BE_JUDGED else ()


@dataclass(frozen=True)
class AnyCoughs:
    """A task of any number of coughs, as a recording is that came from elsewhere."""

    kind: str = COUGHS
    min_coughs: int = 0


def _bundle_card(bundle: Bundle) -> Card:
    card = Card()
    card.add_widget(Words(text=bundle.name, font_size="20sp", bold=True))
    for name, value in (
        (_("Signature"), bundle.signature.words),
        (_("Made"), bundle.created_utc),
        (_("Format version"), str(bundle.format_version)),
        (_("Model SHA-256"), grouped(bundle.model_sha256)),
        (_("Bundle SHA-256"), grouped(bundle.sha256)),
    ):
        card.add_widget(Pair(name=name, value=value))
    return card


def _probes_card(bundle: Bundle) -> Card:
    card = Card()
    card.add_widget(Words(text=_("Probes"), font_size="17sp", bold=True))
    for probe in bundle.probes:
        card.add_widget(Pair(name=probe.title, value=task_words.STATUSES[probe.status]()))
    return card


def _read_card(bundle: Bundle) -> str:
    return bundle.read_files()[MODEL_CARD].decode("utf-8", "replace")


def grouped(sha256: str) -> str:
    """A hash in groups, so that it can be read aloud and breaks at the end of a line."""
    return " ".join(sha256[start : start + HASH_GROUP] for start in range(0, len(sha256), HASH_GROUP))


# The rules of this page use those of other widgets, which therefore have to be known first.
RULES_NEEDED = (charts, dialogs)
Builder.load_file(str(Path(__file__).with_suffix(".kv")))
