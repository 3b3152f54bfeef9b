"""Adds a participant: the id, the year of birth, the sex and the study's questions; never a name."""

from datetime import date
from pathlib import Path
from typing import Any

from kivy.lang import Builder
from kivy.uix.widget import Widget

from app.studies.participant_id import IdError
from app.studies.study_parts import StudyError
from app.study import Question
from app.widgets.controls import LinkButton, Secondary, Words
from app.widgets.inputs import Choice, NumberField, TextField
from app.widgets.page import Page
from app.wording.record_words import SEXES
from app.words import _, shown_language
from core.errors import TussisError

OLDEST = 120


class EnrolmentPage(Page):
    """One form; what was entered stays in the place until it is saved or left."""

    def __init__(self, *arguments: object, **properties: object) -> None:
        super().__init__(*arguments, **properties)
        study = self.work.study
        pattern = study.id_pattern
        self.add_widget(Secondary(text=_("Enter no names, neither here nor in a note.")))
        example = _("Such as {example}").format(example=study.new_id(min(17, pattern.highest_serial)))
        self._add("id", NumberField(label=_("Participant id"), hint=example, longest=pattern.n_digits))
        if study.is_practice:
            link = LinkButton(text=_("Take the next free id"))
            link.bind(on_release=lambda _: self._take_next_id())
            self.add_widget(link)
        self._add("year_of_birth", NumberField(label=_("Year of birth"), longest=4))
        self._add("sex", Choice(label=_("Sex"), options=[(code, say()) for code, say in SEXES.items()]))
        for question in study.questions:
            self._add(f"answer {question.id}", question_field(question))
        self.add_button(_("Save"), self._save)

    def _add(self, key: str, field: Any) -> None:
        """Show a field, and keep in the draft what is entered there."""
        name = "text" if isinstance(field, TextField) else "value"
        setattr(field, name, self.place.draft.get(key, ""))
        field.bind(**{name: lambda _, value: self.place.draft.__setitem__(key, value)})
        self.add_widget(field)
        self.ids[key] = field

    def _take_next_id(self) -> None:
        study = self.work.study
        taken = {participant.participant_id for participant in self.work.casebook.participants()}
        serials = range(1, study.id_pattern.highest_serial + 1)
        free = next((study.new_id(serial) for serial in serials if study.new_id(serial) not in taken), "")
        self.ids["id"].value = "".join(character for character in free if character.isdigit())

    def _save(self) -> None:
        try:
            participant = self._checked()
        except FormError as error:
            self.work.say("error", str(error))
            return
        casebook = self.work.casebook
        self.work.run(lambda: casebook.add_participant(*participant), self._added)

    def _added(self, participant: Any) -> None:
        self.work.navigation.replace("participant", participant_id=participant.participant_id)

    def _checked(self) -> tuple[str, int, str, dict[str, Any]]:
        """What is saved; `FormError` says what is missing or wrong."""
        draft = self.place.draft
        participant_id = self._checked_id(draft.get("id", ""))
        year, this_year = draft.get("year_of_birth", ""), date.today().year
        if not year.isdigit() or not this_year - OLDEST <= int(year) <= this_year:
            raise FormError(
                _("Enter the year of birth, from {first} to {last}.").format(first=this_year - OLDEST, last=this_year)
            )
        if not draft.get("sex"):
            raise FormError(_("Choose the sex, or that it was not told."))
        return participant_id, int(year), draft["sex"], self._checked_answers()

    def _checked_id(self, typed: str) -> str:
        try:
            participant_id = self.work.study.check_id(typed)
        except IdError as error:
            if error.reason == "check_digit":
                raise FormError(_("The id has a typing error: its last digit does not fit. Read it again.")) from error
            raise FormError(_("Enter all digits of the participant's id.")) from error
        if any(known.participant_id == participant_id for known in self.work.casebook.participants()):
            raise FormError(_("{participant} is here already.").format(participant=participant_id))
        return participant_id

    def _checked_answers(self) -> dict[str, Any]:
        answers: dict[str, Any] = {}
        for question in self.work.study.questions:
            given = self.place.draft.get(f"answer {question.id}", "").strip()
            label = question.label(shown_language())
            if not given and question.required:
                raise FormError(_("Answer the question: {question}").format(question=label))
            if given:
                answers[question.id] = int(given) if question.kind == "number" else given
                try:
                    question.check(answers[question.id])
                except StudyError as error:
                    raise FormError(_unfit_words(question, label)) from error
        return answers


class FormError(TussisError):
    """Something in the form that is missing or wrong, in the words of the person's language."""


def question_field(question: Question) -> Widget:
    """The field of one question: choices and a number pad before free text."""
    language = shown_language()
    label = question.label(language)
    if not question.required:
        label = _("{question} (may stay empty)").format(question=label)
    if question.kind == "choice":
        return Choice(label=label, options=[(choice.id, choice.label(language)) for choice in question.choices])
    if question.kind == "number":
        return NumberField(label=label, longest=len(f"{question.max:.0f}"))
    return TextField(label=label)


def _unfit_words(question: Question, label: str) -> str:
    if question.kind != "number":
        return _("Enter a shorter answer: {question}").format(question=label)
    return _("{question}: enter a number from {lowest} to {highest}.").format(
        question=label, lowest=f"{question.min:g}", highest=f"{question.max:g}"
    )


RULES_NEEDED = Words
Builder.load_file(str(Path(__file__).with_suffix(".kv")))
