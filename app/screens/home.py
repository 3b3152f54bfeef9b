"""Shows what can be done, unfinished work first."""

from pathlib import Path

from kivy.lang import Builder

from app.casebook import Attempt
from app.study import Study
from app.widgets.controls import Badge, IconButton, Notice, Row
from app.widgets.page import Page
from app.wording.record_words import altered_words, rescued_words, seconds_words, task_label
from app.words import _, ngettext, shown_language

SHOWN_UNFINISHED = 5


class HomePage(Page):
    """The first page of an unlocked application."""

    def __init__(self, *arguments: object, **properties: object) -> None:
        super().__init__(*arguments, **properties)
        lock = IconButton(name="lock", pos_hint={"center_y": 0.5})
        lock.bind(on_release=lambda _: self.work.lock())
        self.ids.bar.add_widget(lock)
        self.ids.lock_button = lock

    def refresh(self) -> None:
        """Show what there is now."""
        casebook, study = self.work.casebook, self.work.study
        if casebook is None:
            return
        unfinished = tuple(casebook.unfinished()[:SHOWN_UNFINISHED])
        n_participants = len(casebook.participants())
        n_waiting = sum(not attempt.handed_over for attempt in casebook.attempts())
        records = self.work.records
        troubles = (self.work.screener_error, records.unreadable, len(records.altered), self.work.n_rescued)
        if self.shows(unfinished, n_participants, n_waiting, troubles):
            return
        self.clear()
        self.title = study.title(shown_language())
        if study.is_practice:
            self.add_widget(Badge(text=_("PRACTICE: these records never count")))
        self._add_troubles()
        for attempt in unfinished:
            self._add_row("alert", *_unfinished_words(study, attempt), "recording", record_id=attempt.record_id)
        people = ngettext("{n} participant", "{n} participants", n_participants)
        waiting = ngettext("{n} recording waits", "{n} recordings wait", n_waiting) if n_waiting else _("Nothing waits")
        self._add_row("people", _("Participants"), people, "participants")
        self._add_row("wave", _("Watch for coughs"), _("Listen for hours, unattended"), "monitor")
        self._add_row("clock", _("History"), _("Every recording, with notes"), "history")
        self._add_row("send", _("Hand over"), waiting, "handover")
        self._add_row("study", _("Study and settings"), _("Language, passcode, study"), "study")
        self._add_row("gauge", _("For engineers"), _("Model, timing, a recording file"), "engineer")
        self.add_button(_("Add a participant"), lambda: self.work.navigation.go("enrolment"))

    def _add_troubles(self) -> None:
        if self.work.screener_error:
            self.add_widget(Notice(kind="error", heading=_("No model"), text=self.work.screener_error))
        if n_sealed := self.work.records.unreadable:
            words = ngettext(
                "{n} earlier record is sealed here. It can still be handed over.",
                "{n} earlier records are sealed here. They can still be handed over.",
                n_sealed,
            )
            self.add_widget(Notice(kind="note", text=words))
        self._add_damage(len(self.work.records.altered), self.work.n_rescued)

    def _add_damage(self, n_altered: int, n_rescued: int | None) -> None:
        if n_rescued is not None:
            self.add_widget(Notice(kind="warning", text=rescued_words(n_rescued)))
        if n_altered:
            self.add_widget(Notice(kind="error", text=altered_words(n_altered)))
        if n_altered or n_rescued is not None:
            self._add_row("alert", _("Which records"), _("Saved, altered and missing ones"), "damage")

    def _add_row(self, icon: str, text: str, below: str, place: str, **facts: object) -> None:
        row = Row(icon=icon, text=text, below=below)
        row.bind(on_release=lambda _: self.work.navigation.go(place, **facts))
        self.add_widget(row)


def _unfinished_words(study: Study, attempt: Attempt) -> tuple[str, str]:
    """Whose recording was left in its middle; which task it is, and how much of it is there."""
    kept = _("{task}: {time} kept").format(
        task=task_label(study, attempt.task_id), time=seconds_words(attempt.duration_s)
    )
    return _("Finish {participant}").format(participant=attempt.participant_id), kept


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
