"""Shows the study's consent in the participant's language, and takes the tick and the signature."""

from pathlib import Path

from kivy.lang import Builder

from app.widgets.controls import Card, Heading, LinkButton, Notice, Secondary, Words
from app.widgets.inputs import Chips, SignaturePad, TickRow
from app.widgets.page import Page
from app.words import LANGUAGES, _, shown_language

LEAST_POINTS = 4  # a single tap signs nothing


class ConsentPage(Page):
    """The consent of the participant that the place names."""

    def __init__(self, *arguments: object, **properties: object) -> None:
        super().__init__(*arguments, **properties)
        study, draft = self.work.study, self.place.draft
        preferred = shown_language() if shown_language() in study.languages else study.languages[0]
        draft.setdefault("language", preferred)
        if str(self.work.casebook.consent_state(self.place.facts["participant_id"])) == "outdated":
            text = _("The study changed its text since this participant signed. Read the new one and ask again.")
            self.add_widget(Notice(kind="warning", text=text))
        if len(study.languages) > 1:
            self._add_languages()
        self._text = Words()
        card = Card()
        card.add_widget(Secondary(text=_("Version {version}").format(version=study.consent.version)))
        card.add_widget(self._text)
        self.add_widget(card)
        self._add_signature()
        self._agree = self.add_button(_("Save the consent"), self._save)
        self._follow()

    def _add_languages(self) -> None:
        options = [(code, LANGUAGES.get(code, code)) for code in self.work.study.languages]
        self.add_widget(Heading(text=_("Language of the participant")))
        chips = Chips(options=options, value=self.place.draft["language"])
        chips.bind(value=lambda _, code: self._set("language", code))
        self.add_widget(chips)

    def _add_signature(self) -> None:
        tick = TickRow(text=_("The participant read or heard this text and agrees."))
        tick.active = self.place.draft.get("ticked", False)
        tick.bind(active=lambda _, active: self._set("ticked", active))
        self.add_widget(tick)
        self.add_widget(Heading(text=_("Signature, or a mark")))
        pad = SignaturePad(strokes=self.place.draft.get("strokes", []))
        pad.bind(strokes=lambda _, strokes: self._set("strokes", strokes))
        self.add_widget(pad)
        self.ids.pad = pad
        again = LinkButton(text=_("Clear the signature"))
        again.bind(on_release=lambda _: pad.clear())
        self.add_widget(again)

    def _set(self, key: str, value: object) -> None:
        self.place.draft[key] = value
        self._follow()

    def _follow(self) -> None:
        """Show the text in its language; a consent can be saved once it is ticked and signed."""
        draft = self.place.draft
        self._text.text = self.work.study.consent.text(draft["language"])
        is_signed = sum(len(stroke) for stroke in draft.get("strokes", ())) >= LEAST_POINTS
        self._agree.disabled = not (draft.get("ticked") and is_signed)

    def _save(self) -> None:
        casebook, draft, participant_id = self.work.casebook, self.place.draft, self.place.facts["participant_id"]
        strokes = [[tuple(point) for point in stroke] for stroke in draft["strokes"]]
        self.work.run(
            lambda: casebook.give_consent(participant_id, draft["language"], strokes),
            lambda _: self.work.navigation.leave(),
        )


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
