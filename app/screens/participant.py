"""Shows one participant: who it is by number, the consent, the tasks and their state."""

from pathlib import Path

from kivy.lang import Builder

from app.study import Question, Task
from app.widgets import dialogs
from app.widgets.controls import BigWords, Card, Heading, LinkButton, Notice, Pair, Row
from app.widgets.page import Page
from app.wording.record_words import CONSENTS, SEXES
from app.words import _, ngettext, shown_language

KINDS = {"none": "warning", "given": "good", "outdated": "warning", "withdrawn": "error"}
KEPT = ("kept", "kept_with_reason")


class ParticipantPage(Page):
    """One participant; the place's fact ``participant_id`` says who."""

    def refresh(self) -> None:
        """Show what is known now."""
        casebook, participant_id = self.work.casebook, self.place.facts["participant_id"]
        if casebook is None:
            return
        participant = casebook.participant(participant_id)
        state, attempts = str(casebook.consent_state(participant_id)), casebook.attempts(participant_id)
        if self.shows(participant, state, attempts):
            return
        self.clear()
        self.title = participant_id
        self._add_consent(state)
        if state == "given":
            done = {(attempt.task_id, attempt.round) for attempt in attempts if attempt.state in KEPT}
            self._add_tasks(done)
            self._add_row("wave", _("Watch for coughs"), _("Listen for hours, unattended"), "monitor")
        if attempts:
            self._add_row("check", _("Result"), _("Coughs, quality, next step"), "result")
            n_recordings = ngettext("{n} recording", "{n} recordings", len(attempts))
            self._add_row("clock", _("Recordings"), n_recordings, "history")
        self._add_facts(participant)
        if state in ("given", "outdated"):
            link = LinkButton(text=_("Withdraw the consent"))
            link.bind(on_release=lambda _: self._ask_to_withdraw(len(attempts)))
            self.add_widget(link)

    def _add_consent(self, state: str) -> None:
        self.add_widget(Notice(kind=KINDS[state], heading=CONSENTS[state]()))
        if state != "given":
            self.add_button(_("Read and sign the consent"), lambda: self._go("consent"))

    def _add_tasks(self, done: set[tuple[str, int]]) -> None:
        study = self.work.study
        card = Card()
        card.add_widget(Heading(text=_("Tasks")))
        n_done = [sum(task_id == task.id for task_id, _ in done) for task in study.tasks]
        for task, n_rounds in zip(study.tasks, n_done, strict=True):
            card.add_widget(Pair(name=task.label(shown_language()), value=_rounds_words(task, n_rounds)))
        self.add_widget(card)
        is_done = all(n_rounds >= task.rounds for task, n_rounds in zip(study.tasks, n_done, strict=True))
        words = _("Record again") if is_done else _("Go on recording") if any(n_done) else _("Start recording")
        self.add_button(words, lambda: self.work.start_tasks(self.place.facts["participant_id"]), filled=not is_done)

    def _add_facts(self, participant: object) -> None:
        card = Card()
        card.add_widget(Pair(name=_("Year of birth"), value=str(participant.year_of_birth)))
        sex = SEXES[participant.sex]() if participant.sex in SEXES else participant.sex
        card.add_widget(Pair(name=_("Sex"), value=sex))
        for question in self.work.study.questions:
            if question.id in participant.answers:
                words = _answer_words(question, participant.answers[question.id])
                card.add_widget(Pair(name=question.label(shown_language()), value=words))
        self.add_widget(card)

    def _add_row(self, icon: str, text: str, below: str, place: str) -> None:
        row = Row(icon=icon, text=text, below=below)
        row.bind(on_release=lambda _: self._go(place))
        self.add_widget(row)

    def _go(self, place: str) -> None:
        self.work.navigation.go(place, participant_id=self.place.facts["participant_id"])

    def _ask_to_withdraw(self, n_recordings: int) -> None:
        facts = {"participant_id": self.place.facts["participant_id"], "n_recordings": n_recordings}
        self.work.navigation.confirm("withdraw", self._withdraw, **facts)

    def _withdraw(self) -> None:
        casebook, participant_id = self.work.casebook, self.place.facts["participant_id"]

        def tell(n_erased: int) -> None:
            self.work.say("good", ngettext("{n} recording was erased.", "{n} recordings were erased.", n_erased))

        self.work.run(lambda: casebook.withdraw(participant_id), tell)


def _rounds_words(task: Task, n_done: int) -> str:
    if task.rounds == 1:
        return _("done") if n_done else _("to do")
    return _("{done} of {rounds}").format(done=min(n_done, task.rounds), rounds=task.rounds)


def _answer_words(question: Question, answer: object) -> str:
    labels = {choice.id: choice.label(shown_language()) for choice in question.choices}
    return labels.get(answer, str(answer))


def _withdraw_words(facts: dict) -> dialogs.QuestionWords:
    erased = ngettext(
        "{n} recording is erased from this device for good.",
        "{n} recordings are erased from this device for good.",
        facts["n_recordings"],
    )
    return dialogs.yes_no(
        _("Withdraw the consent of {participant}?").format(participant=facts["participant_id"]),
        erased + " " + _("The next hand-over tells the study, so that it erases what it has."),
        _("Withdraw and erase"),
        danger=True,
    )


dialogs.WORDS["withdraw"] = _withdraw_words
RULES_NEEDED = BigWords
Builder.load_file(str(Path(__file__).with_suffix(".kv")))
