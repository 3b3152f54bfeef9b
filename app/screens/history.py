"""Lists the recordings, the latest first, with a search and a filter by state."""

from pathlib import Path
from typing import Any

from kivy.lang import Builder

from app.widgets.inputs import Chips
from app.widgets.page import Page
from app.wording.record_words import STATES, seconds_words, task_label, time_words
from app.words import _

ALL = "all"
ICONS = {"unfinished": "alert", "kept": "check", "kept_with_reason": "check", "redone": "again", "altered": "close"}
FILTERS = ("unfinished", "kept", "redone")


class HistoryPage(Page):
    """The recordings of everybody, or of the participant whom the place names."""

    def __init__(self, *arguments: object, **properties: object) -> None:
        super().__init__(*arguments, **properties)
        options = [(ALL, _("All")), *((state, STATES[state]()) for state in FILTERS)]
        chips = Chips(options=options, value=self.place.draft.get("state", ALL))
        chips.bind(value=lambda _, state: self._filter(state))
        self.add_widget(chips)

    def search(self, text: str) -> None:
        """Keep to what is searched for."""
        self.place.draft["search"] = text
        self.refresh()

    def refresh(self) -> None:
        """List them."""
        casebook, draft = self.work.casebook, self.place.draft
        if casebook is None:
            return
        state = draft.get("state", ALL)
        found = casebook.attempts(
            participant_id=self.place.facts.get("participant_id"),
            text=draft.get("search", ""),
            state=None if state == ALL else state,
        )
        if self.shows(found):
            return
        self.ids.empty.text = "" if found else _("No recordings.")
        self.ids.list.show([self._row(attempt) for attempt in reversed(found)], self._choose)

    def _filter(self, state: str) -> None:
        self.place.draft["state"] = state
        self.refresh()

    def _row(self, attempt: Any) -> dict[str, Any]:
        what = f"{task_label(self.work.study, attempt.task_id)} {attempt.round}"
        return {
            "icon": ICONS[attempt.state],
            "text": attempt.participant_id,
            "below": f"{what} · {STATES[attempt.state]()}\n{time_words(attempt.started_s)}",
            "aside": seconds_words(attempt.duration_s),
            "value": attempt.record_id,
        }

    def _choose(self, record_id: str) -> None:
        self.work.navigation.go("recording", record_id=record_id)


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
