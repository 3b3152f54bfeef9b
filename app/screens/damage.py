"""Shows which records were altered, saved from a damaged file, or are not there any more."""

from pathlib import Path
from typing import Any

from kivy.clock import Clock
from kivy.lang import Builder

from app.cases.damage import Damage, NumberedRecord, damage_of
from app.records import LOG_KIND
from app.widgets.controls import Secondary, Words
from app.widgets.lists import RowList
from app.widgets.page import Page
from app.wording.record_words import KINDS, rescued_words
from app.words import _, ngettext

SHOWN_GAPS = 20


class DamagePage(Page):
    """Every row of the records' file by its number, what was altered first; the log is named where it was altered."""

    def __init__(self, *arguments: object, **properties: object) -> None:
        super().__init__(*arguments, **properties)
        if "damage" not in self.place.draft:
            Clock.schedule_once(lambda _: self._look_through())  # what runs tells of a change, which needs this page

    def _look_through(self) -> None:
        records, draft = self.work.records, self.place.draft
        if records is not None:
            self.work.run(lambda: damage_of(records), lambda damage: draft.update(damage=damage))

    def refresh(self) -> None:
        """Show what was found."""
        damage, n_rescued = self.place.draft.get("damage"), self.work.n_rescued
        if damage is None or self.shows(damage, n_rescued):
            return
        if n_rescued is not None:
            self.add_widget(Words(text=rescued_words(n_rescued)))
        if damage.altered:
            text = _("An altered record stays sealed. It can be handed over, and the study sees that it was altered.")
            self.add_widget(Words(text=text))
        if damage.missing:
            self.add_widget(Secondary(text=missing_words(damage)))
        self.ids["list"] = RowList()
        self.add_widget(self.ids["list"])
        whole = [row for row in damage.rows if not row.is_altered and row.kind != LOG_KIND]
        self.ids["list"].show([row_words(row) for row in (*damage.altered, *whole)], self._choose)

    def _choose(self, row: NumberedRecord) -> None:
        if row.kind == "attempt" and row.record is not None:
            self.work.navigation.go("recording", record_id=row.id)


def row_words(row: NumberedRecord) -> dict[str, Any]:
    """A row of the list: what kind of record, whose, and its number."""
    whose = row.record.content.get("participant_id", "") if row.record is not None else ""
    below = _("Altered: it cannot be read") if row.is_altered else _("Sealed earlier") if row.record is None else whose
    return {
        "icon": "alert" if row.is_altered else "check",
        "text": KINDS[row.kind]() if row.kind in KINDS else row.kind,
        "below": below,
        "aside": _("no. {n}").format(n=row.sequence),
        "onward": row.kind == "attempt" and row.record is not None,
        "value": row,
    }


def missing_words(damage: Damage) -> str:
    """Which numbers have no record."""
    n_missing = sum(last - first + 1 for first, last in damage.missing)
    shown = [f"{first}-{last}" if last > first else str(first) for first, last in damage.missing[:SHOWN_GAPS]]
    more = " …" if len(damage.missing) > SHOWN_GAPS else ""
    said = ngettext(
        "{n} number has no record: it was erased or lost.",
        "{n} numbers have no record: they were erased or lost.",
        n_missing,
    )
    return f"{said} {', '.join(shown)}{more}"


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
