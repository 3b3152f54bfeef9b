"""Hands records over as one file, takes the receipt, and then offers to delete what was received."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kivy.clock import Clock
from kivy.lang import Builder

from app.handover import HandOver, HandOverNote, HandOverStoppedError, check_receipt, handover_note, handovers
from app.sessions.handing_over import ids_of
from app.widgets import dialogs
from app.widgets.controls import Bar, Card, Heading, Notice, Pair, Row, Secondary, Words
from app.widgets.inputs import NumberField
from app.widgets.lists import RowList
from app.widgets.page import Page
from app.wording.record_words import bytes_words, time_words
from app.words import _, ngettext
from core.errors import TussisError

RECEIPT_LENGTH = 13
MOVED_EVERY_S = 0.2


class HandoverPage(Page):
    """Steps, by the place's fact ``step``; while locked there are the first and the last two.

    ``all``, where none is named: what can be handed over. ``choose`` participants. ``writing``: how far it is.
    ``receipt`` of the hand-over ``handover_id``.
    """

    def __init__(self, *arguments: object, **properties: object) -> None:
        self._step = ""
        super().__init__(*arguments, **properties)
        self._step = self.place.facts.get("step", "all")
        self._moving = Clock.schedule_interval(lambda _: self._move(), MOVED_EVERY_S)
        self.refresh()

    def refresh(self) -> None:
        """Show what is known now."""
        show = {
            "": lambda: None,
            "all": self._show_all,
            "choose": self._show_choice,
            "writing": self._show_writing,
            "receipt": self._show_receipt,
        }
        if self.work.casebook is not None or self._step != "choose":
            show[self._step]()

    def leave(self) -> None:
        """Look no more how far a hand-over is."""
        self._moving.cancel()

    # ---- what can be handed over ---------------------------------------------------------------------------------

    def _show_all(self) -> None:
        notes, casebook, study = handovers(self.work.folder), self.work.casebook, self.work.study
        n_waiting = sum(not attempt.handed_over for attempt in casebook.attempts()) if casebook is not None else None
        if self.shows(notes, n_waiting, study):
            return
        self.clear()
        if study is None:
            text = _("The study's file is not there or cannot be read. Nothing can be handed over without it.")
            self.add_widget(Notice(kind="warning", text=text))
            return
        text = _("The file is sealed: only your study can open it, and this device cannot read it back.")
        self.add_widget(Notice(kind="note", heading=_waiting_words(n_waiting), text=text))
        self._add_row("send", _("Hand over everything"), _("All records on this device"), lambda: self._write(None))
        if casebook is not None:
            below = _("Their recordings, answers and consent")
            self._add_row("people", _("Choose participants"), below, lambda: self._go("choose"))
        if notes:
            self.add_widget(Heading(text=_("Handed over before")))
        for note in reversed(notes):
            self._add_row("check", time_words(note.written_s), _size_words(note), lambda note=note: self._ask(note))

    def _ask(self, note: HandOverNote) -> None:
        self._go("receipt", handover_id=note.id)

    def _write(self, ids: set[str] | None) -> None:
        if self.work.facilities.files.can_ask():
            self._write_to(None, ids)
        else:
            self.work.choose_file((), lambda folder: self._write_to(folder, ids))

    def _write_to(self, folder: Path | None, ids: set[str] | None) -> None:
        work = self.work
        self._go("writing")
        work.handovers.write(work.study, work.casebook, folder, ids, self._written, self._not_written)

    def _written(self, written: HandOver) -> None:
        self._settle_question()
        path = written.path if written.path.exists() else None
        self.work.navigation.replace("handover", step="receipt", handover_id=written.id, path=path)

    def _not_written(self, error: TussisError) -> None:
        self._settle_question()
        self.work.navigation.leave()
        if isinstance(error, HandOverStoppedError):
            self.work.say("note", _("The hand-over was stopped. Nothing was handed over."))
        else:
            self.work.show_error(error)

    def _settle_question(self) -> None:
        """Take the question away whether to stop what is over now."""
        question = self.work.navigation.question
        if question is not None and question.code == "stop_handover":
            self.work.navigation.answer("no")

    # ---- how far it is -------------------------------------------------------------------------------------------

    def _show_writing(self) -> None:
        if self.shows("writing"):
            return
        card = Card()
        self._done, self._bar, self._bytes = Heading(), Bar(), Secondary()
        for widget in (self._done, self._bar, self._bytes):
            card.add_widget(widget)
        self.add_widget(card)
        self.add_widget(Words(text=_("Keep Tussis open until the file is whole.")))
        self.add_button(_("Stop"), self.work.navigation.back, filled=False)
        self._move()

    def _move(self) -> None:
        if self._step != "writing":
            return
        progress = self.work.handovers.progress
        if self.work.handovers.is_saving:
            self._done.text = _("Choose where the file goes")
        else:
            done = _("{n} of {all} records").format(n=progress.n_records, all=progress.n_all_records)
            self._done.text = done if progress.n_all_records else _("Counting the records")
        self._bar.fraction = min(1.0, progress.n_bytes / max(1, progress.n_all_bytes))
        self._bytes.text = _("{done} of {all}").format(
            done=bytes_words(progress.n_bytes), all=bytes_words(progress.n_all_bytes)
        )

    # ---- participants --------------------------------------------------------------------------------------------

    def _show_choice(self) -> None:
        chosen = self.place.draft.setdefault("chosen", set())
        casebook = self.work.casebook
        participants = casebook.participants()
        if self.shows(participants, frozenset(chosen)):
            return
        if "list" not in self.ids:
            self.title = _("Choose participants")
            self.ids["list"] = RowList()
            self.add_widget(self.ids["list"])
            self._button = self.add_button("", self._write_chosen)
        self.ids["list"].show([self._person(each.participant_id, chosen) for each in participants], self._toggle)
        self._button.text = ngettext("Hand over {n} participant", "Hand over {n} participants", len(chosen))
        self._button.disabled = not chosen

    def _person(self, participant_id: str, chosen: set[str]) -> dict[str, Any]:
        is_chosen = participant_id in chosen
        icon = "check" if is_chosen else "person"
        aside = _("chosen") if is_chosen else ""
        return {"icon": icon, "text": participant_id, "aside": aside, "onward": False, "value": participant_id}

    def _toggle(self, participant_id: str) -> None:
        self.place.draft["chosen"] ^= {participant_id}
        self.refresh()

    def _write_chosen(self) -> None:
        self._write(ids_of(self.work.records, self.place.draft["chosen"]))

    # ---- the receipt ---------------------------------------------------------------------------------------------

    def _show_receipt(self) -> None:
        note = handover_note(self.work.folder, self.place.facts["handover_id"])
        is_right = self.place.draft.get("receipt_is_right", False)
        if self.shows(note, is_right, self.work.casebook is None):
            return
        self.clear()
        self.title = _("Receipt")
        self._add_file(note)
        if is_right:
            text = _("The study has the records. You may delete the recordings that were handed over.")
            self.add_widget(Notice(kind="good", heading=_("The receipt is right"), text=text))
            self.add_button(_("Delete the recordings"), lambda: self._ask_to_delete(note), filled=False, danger=True)
            return
        text = _("Give the file to your coordinator. Whoever receives it tells you a receipt of {n} digits.")
        self.add_widget(Words(text=text.format(n=RECEIPT_LENGTH)))
        if self.work.casebook is None:
            self.add_widget(Words(text=_("Unlock to enter the receipt. Then the recordings can be deleted here.")))
            return
        field = NumberField(label=_("Receipt"), longest=RECEIPT_LENGTH, value=self.place.draft.get("receipt", ""))
        field.bind(value=lambda _, value: self._follow(value))
        self.add_widget(field)
        self._button = self.add_button(_("Check the receipt"), self._check)
        self._follow(field.value)

    def _add_file(self, note: HandOverNote) -> None:
        card = Card()
        card.add_widget(Pair(name=_("Written"), value=time_words(note.written_s)))
        card.add_widget(Pair(name=_("Size"), value=_size_words(note)))
        if self.place.facts.get("path") is not None:
            card.add_widget(Words(text=_("File: {name}").format(name=self.place.facts["path"].name)))
        self.add_widget(card)

    def _follow(self, receipt: str) -> None:
        self.place.draft["receipt"] = receipt
        self._button.disabled = len(receipt) < RECEIPT_LENGTH

    def _check(self) -> None:
        records, handover_id, typed = self.work.records, self.place.facts["handover_id"], self.place.draft["receipt"]

        def tell(is_right: bool) -> None:
            self.place.draft["receipt_is_right"] = is_right
            if not is_right:
                self.work.say("error", _("This is the receipt of another hand-over."))

        self.work.run(lambda: check_receipt(records, handover_id, typed), tell)

    def _ask_to_delete(self, note: HandOverNote) -> None:
        self.work.navigation.confirm("delete_handed_over", self._delete, n_records=note.n_records)

    def _delete(self) -> None:
        casebook, facts, draft = self.work.casebook, self.place.facts, self.place.draft

        def tell(n_deleted: int) -> None:
            self.work.navigation.leave()
            self.work.say("good", ngettext("{n} recording was deleted.", "{n} recordings were deleted.", n_deleted))

        self.work.run(lambda: casebook.delete_handed_over(facts["handover_id"], draft["receipt"]), tell)

    # ---- inside --------------------------------------------------------------------------------------------------

    def _add_row(self, icon: str, text: str, below: str, act: Callable[[], None]) -> None:
        row = Row(icon=icon, text=text, below=below)
        row.bind(on_release=lambda _: act())
        self.add_widget(row)

    def _go(self, step: str, **facts: object) -> None:
        self.work.navigation.go("handover", **{"step": step, **facts})


def _waiting_words(n_waiting: int | None) -> str:
    if n_waiting is None:
        return _("This works without the passcode")
    return ngettext("{n} recording waits", "{n} recordings wait", n_waiting) if n_waiting else _("Nothing waits")


def _size_words(note: HandOverNote) -> str:
    records = ngettext("{n} record", "{n} records", note.n_records)
    return f"{records} · {bytes_words(note.n_bytes)}"


def _delete_words(facts: dict) -> dialogs.QuestionWords:
    return dialogs.yes_no(
        _("Delete what was handed over?"),
        _("The recordings of this hand-over are deleted from this device for good. The study has them."),
        _("Delete"),
        danger=True,
    )


def _stop_words(_facts: dict) -> dialogs.QuestionWords:
    return dialogs.yes_no(
        _("Stop the hand-over?"),
        _("Nothing is handed over then. Every record stays on this device."),
        _("Stop"),
        _("Go on"),
    )


dialogs.WORDS.update(delete_handed_over=_delete_words, stop_handover=_stop_words)
Builder.load_file(str(Path(__file__).with_suffix(".kv")))
