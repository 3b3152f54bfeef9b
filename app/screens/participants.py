"""Finds a participant."""

from pathlib import Path

from kivy.lang import Builder

from app.widgets.page import Page
from app.wording.record_words import CONSENTS
from app.words import _, ngettext


class ParticipantsPage(Page):
    """The participants whose id holds what is searched for."""

    def __init__(self, *arguments: object, **properties: object) -> None:
        super().__init__(*arguments, **properties)
        self.add_button(_("Add a participant"), lambda: self.work.navigation.go("enrolment"))

    def search(self, text: str) -> None:
        """Keep to what is searched for."""
        self.place.draft["search"] = text
        self.refresh()

    def refresh(self) -> None:
        """List them."""
        casebook = self.work.casebook
        if casebook is None:
            return
        found = casebook.participants(self.place.draft.get("search", ""))
        rows = []
        for participant in found:
            state = casebook.consent_state(participant.participant_id)
            n_attempts = len(casebook.attempts(participant.participant_id))
            rows.append(
                {
                    "icon": "person",
                    "text": participant.participant_id,
                    "below": CONSENTS[str(state)](),
                    "aside": ngettext("{n} recording", "{n} recordings", n_attempts),
                    "value": participant.participant_id,
                }
            )
        if not self.shows(rows):
            self.ids.empty.text = "" if rows else _("Nobody is found.")
            self.ids.list.show(rows, self._choose)

    def _choose(self, participant_id: str) -> None:
        self.work.navigation.go("participant", participant_id=participant_id)


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
