"""Shows one recording: whose it is, how it went, its sound and its notes; offers to finish one that was left."""

from pathlib import Path
from typing import Any

from kivy.lang import Builder

from app.sessions.left_attempt import LEFT
from app.widgets.controls import Card, Heading, Notice, Pair, PillButton, Words
from app.widgets.inputs import TextField
from app.widgets.page import Page
from app.wording.record_words import STATES, seconds_words, task_label, time_words
from app.wording.task_words import QUALITY_HEADINGS, keep_reason_words, reason_words
from app.words import _, ngettext

LONGEST_NOTE = 500


class RecordingPage(Page):
    """The recording that the place names by ``record_id``."""

    def refresh(self) -> None:
        """Show what is known now."""
        attempt, record_id = self._attempt(), self.place.facts["record_id"]
        is_playing = self.work.playing == record_id
        if attempt is None or self.shows(attempt, is_playing):
            return
        self.clear()
        self._add_facts(attempt)
        if attempt.state == "unfinished":
            self._add_unfinished(attempt)
        if attempt.verdict:
            self._add_verdict(attempt.verdict)
        self._add_notes(attempt)
        if is_playing:
            self.add_button(_("Stop"), self.work.stop_playing)
        else:
            self.add_button(_("Play"), lambda: self.work.play(record_id))

    def leave(self) -> None:
        """Play nothing that cannot be stopped any more."""
        self.work.stop_playing()

    def _attempt(self) -> Any:
        attempts = self.work.casebook.attempts() if self.work.casebook is not None else ()
        return next((each for each in attempts if each.record_id == self.place.facts["record_id"]), None)

    def _add_facts(self, attempt: Any) -> None:
        card = Card()
        card.add_widget(Heading(text=task_label(self.work.study, attempt.task_id)))
        gaps = ngettext("{n} gap", "{n} gaps", len(attempt.gaps)) if attempt.gaps else _("none")
        pairs = [
            (_("Participant"), attempt.participant_id),
            (_("Round and attempt"), f"{attempt.round} · {attempt.number}"),
            (_("Recorded"), time_words(attempt.started_s)),
            (_("Length"), seconds_words(attempt.duration_s)),
            (_("Lost sound"), gaps),
            (_("State"), STATES[attempt.state]()),
            *([(_("Reason"), _reason_words(attempt.reason))] if attempt.reason else []),
            (_("Handed over"), _("yes") if attempt.handed_over else _("not yet")),
        ]
        for name, value in pairs:
            card.add_widget(Pair(name=name, value=value))
        self.add_widget(card)

    def _add_unfinished(self, attempt: Any) -> None:
        text = _("This recording was left in its middle. Keep what is there, or go on with the tasks.")
        notice = Notice(kind="warning", heading=_("Unfinished"), text=text)
        for words, act, filled in (
            (_("Keep what is there"), lambda: self.work.finish_unfinished(attempt), False),
            (_("Go on with the tasks"), lambda: self._go_on(attempt), True),
        ):
            button = PillButton(text=words, filled=filled)
            button.bind(on_release=lambda _, act=act: act())
            notice.add_widget(button)
        self.add_widget(notice)

    def _go_on(self, attempt: Any) -> None:
        self.work.navigation.up_to("home")
        self.work.navigation.go("participant", participant_id=attempt.participant_id)

    def _add_verdict(self, verdict: dict[str, Any]) -> None:
        card = Card()
        card.add_widget(Heading(text=QUALITY_HEADINGS[verdict["outcome"]]()))
        for code in verdict.get("reasons", ()):
            card.add_widget(Words(text=reason_words(code)))
        if verdict.get("coughs") is not None and verdict["outcome"] != "could_not_be_judged":
            card.add_widget(Words(text=ngettext("{n} cough", "{n} coughs", verdict["coughs"])))
        self.add_widget(card)

    def _add_notes(self, attempt: Any) -> None:
        card = Card()
        card.add_widget(Heading(text=_("Notes")))
        for note in attempt.notes:
            card.add_widget(Words(text=str(note["text"] if isinstance(note, dict) else note)))
        field = TextField(hint=_("Write a note; no names"), text=self.place.draft.get("note", ""), multiline=True)
        field.bind(text=lambda _, text: self.place.draft.__setitem__("note", text))
        card.add_widget(field)
        button = PillButton(text=_("Add the note"), filled=False)
        button.bind(on_release=lambda _: self._add_note())
        card.add_widget(button)
        self.add_widget(card)

    def _add_note(self) -> None:
        text = " ".join(self.place.draft.get("note", "").split())
        if not text:
            return
        if len(text) > LONGEST_NOTE:
            self.work.say("error", _("A note has at most {n} characters.").format(n=LONGEST_NOTE))
            return
        casebook, record_id = self.work.casebook, self.place.facts["record_id"]
        self.place.draft["note"] = ""
        self.work.run(lambda: casebook.add_note(record_id, text))


def _reason_words(reason: str) -> str:
    return _("It was left in its middle") if reason == LEFT else keep_reason_words(reason)


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
