"""Hands records over as one file, takes the receipt, and then offers to delete what was received."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kivy.lang import Builder

from app.handover import HandOver, HandOverNote, check_receipt, handover_note, handovers
from app.widgets import dialogs
from app.widgets.controls import Card, Heading, Notice, Pair, Row, Words
from app.widgets.inputs import NumberField
from app.widgets.lists import RowList
from app.widgets.page import Page
from app.wording.record_words import bytes_words, time_words
from app.words import _, ngettext

RECEIPT_LENGTH = 13


class HandoverPage(Page):
    """Steps, by the place's fact ``step``: what can be handed over, ``choose`` participants, or a ``receipt``."""

    def __init__(self, *arguments: object, **properties: object) -> None:
        self._step = ""
        super().__init__(*arguments, **properties)
        self._step = self.place.facts.get("step", "all")
        self.refresh()

    def refresh(self) -> None:
        """Show what is known now."""
        show = {"": lambda: None, "all": self._show_all, "choose": self._show_choice, "receipt": self._show_receipt}
        if self.work.records is not None:
            show[self._step]()

    # ---- what can be handed over ---------------------------------------------------------------------------------

    def _show_all(self) -> None:
        notes = handovers(self.work.records.folder)
        attempts = self.work.casebook.attempts() if self.work.casebook else []
        n_waiting = sum(not attempt.handed_over for attempt in attempts)
        if self.shows(notes, n_waiting):
            return
        self.clear()
        text = _("The file is sealed: only your study can open it, and this device cannot read it back.")
        waiting = ngettext("{n} recording waits", "{n} recordings wait", n_waiting) if n_waiting else _("Nothing waits")
        self.add_widget(Notice(kind="note", heading=waiting, text=text))
        self._add_row("send", _("Hand over everything"), _("All records on this device"), lambda: self._write(None))
        if self.work.casebook is not None:
            below = _("Their recordings, answers and consent")
            self._add_row("people", _("Choose participants"), below, lambda: self._go("choose"))
        if notes:
            self.add_widget(Heading(text=_("Handed over before")))
        for note in reversed(notes):
            self._add_row("check", time_words(note.written_s), _size_words(note), lambda note=note: self._ask(note))

    def _ask(self, note: HandOverNote) -> None:
        self._go("receipt", handover_id=note.id)

    def _write(self, ids: set[str] | None) -> None:
        self.work.choose_file((), lambda folder: self.work.hand_over(folder, ids, self._written))

    def _written(self, written: HandOver) -> None:
        navigation = self.work.navigation
        navigation.up_to("handover")
        navigation.go("handover", step="receipt", handover_id=written.id, path=written.path)

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
        self._write(self.work.record_ids(self.place.draft["chosen"]))

    # ---- the receipt ---------------------------------------------------------------------------------------------

    def _show_receipt(self) -> None:
        note = handover_note(self.work.records.folder, self.place.facts["handover_id"])
        is_right = self.place.draft.get("receipt_is_right", False)
        if self.shows(note, is_right):
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


dialogs.WORDS["delete_handed_over"] = _delete_words
Builder.load_file(str(Path(__file__).with_suffix(".kv")))
