"""Tells what the study says, and changes language, passcode and study."""

from collections.abc import Callable
from pathlib import Path

from kivy.lang import Builder

from app.devices.microphone import sources_of
from app.study import STUDY_SUFFIX
from app.vault import MIN_PASSCODE_LENGTH, BackOffError, WrongPasscodeError
from app.widgets import dialogs
from app.widgets.controls import Card, Heading, Notice, Pair, Row, Words
from app.widgets.inputs import Choice, PasscodeField
from app.widgets.page import Page
from app.wording.record_words import SOURCES, seconds_words
from app.words import LANGUAGES, _, ngettext, shown_language
from core.errors import TussisError


class StudyPage(Page):
    """What the study says; the place's fact ``step`` leads to a change: language, microphone, passcode, study."""

    def __init__(self, *arguments: object, **properties: object) -> None:
        self.field: PasscodeField | None = None
        super().__init__(*arguments, **properties)
        steps = {
            "": self._show_study,
            "language": self._show_languages,
            "microphone": self._show_sources,
            "study": self._show_other_studies,
            "old": self._show_old_passcode,
            "new": self._show_new_passcode,
            "again": self._show_new_passcode_again,
        }
        steps[self.place.facts.get("step", "" if self.work.study else "study")]()

    # ---- what the study says -------------------------------------------------------------------------------------

    def _show_study(self) -> None:
        study = self.work.study
        card = Card()
        card.add_widget(Heading(text=study.title(shown_language())))
        signed = (
            _("not signed")
            if not study.signature.signer
            else _("signed by {key}").format(key=str(study.signature.signer)[:16])
        )
        languages = ", ".join(LANGUAGES.get(code, code) for code in study.languages)
        for name, value in (
            (_("Study"), study.id),
            (_("Version"), str(study.version)),
            (_("Signature"), signed),
            (_("Languages"), languages),
            (_("Consent text"), study.consent.version),
            (_("Locks by itself after"), ngettext("{n} second", "{n} seconds", study.auto_lock_s)),
        ):
            card.add_widget(Pair(name=name, value=value))
        self.add_widget(card)
        self._add_tasks()
        self._add_row("pen", _("Language"), LANGUAGES[shown_language()], lambda: self._go("language"))
        if sources_of(self.work.microphone):
            source = SOURCES[self.work.microphone.source]()
            self._add_row("wave", _("Microphone"), source, lambda: self._go("microphone"))
        below = _("Keeps a long listening from being stopped")
        self._add_row("gauge", _("Battery saver"), below, lambda: self.work.navigation.go("battery"))
        self._add_row("lock", _("Change the passcode"), "", lambda: self._go("old"))
        self._add_row("study", _("Use another study"), _("Or a new version of this one"), lambda: self._go("study"))
        self.add_button(_("Lock now"), self.work.lock, filled=False)

    def _add_tasks(self) -> None:
        card = Card()
        card.add_widget(Heading(text=_("Tasks")))
        for task in self.work.study.tasks:
            rounds = ngettext("{n} round", "{n} rounds", task.rounds)
            length = f"{rounds} · {seconds_words(task.duration_s)}"
            card.add_widget(Pair(name=task.label(shown_language()), value=length))
        self.add_widget(card)

    # ---- changes -------------------------------------------------------------------------------------------------

    def _show_languages(self) -> None:
        self.title = _("Language")
        choice = Choice(options=list(LANGUAGES.items()), value=shown_language())
        choice.bind(value=lambda _, code: self._choose_language(code))
        self.add_widget(choice)

    def _choose_language(self, code: str) -> None:
        try:
            self.work.set_language(code)
        except TussisError as error:
            self.work.show_error(error)
        self.work.navigation.leave()

    def _show_sources(self) -> None:
        self.title = _("Microphone")
        text = _("Keep to one for the whole study. Each recording tells which it was.")
        self.add_widget(Words(text=text))
        sources = [(source, SOURCES[source]()) for source in ("", *sources_of(self.work.microphone))]
        choice = Choice(options=sources, value=self.work.microphone.source)
        choice.bind(value=lambda _, source: self._choose_source(source))
        self.add_widget(choice)

    def _choose_source(self, source: str) -> None:
        try:
            self.work.set_microphone_source(source)
        except TussisError as error:
            self.work.show_error(error)
        self.work.navigation.leave()

    def _show_other_studies(self) -> None:
        self.title = _("Use another study")
        self.add_widget(Words(text=_("Records of the study before stay here until they are handed over.")))
        if self.work.study is None:
            self.add_widget(Notice(kind="error", text=_("The study file on this device cannot be read any more.")))
        ending = _("A file that ends in {suffix}").format(suffix=STUDY_SUFFIX)
        self._add_row("study", _("Open a study file"), ending, self._choose_file)
        if self.work.study is None or not self.work.study.is_practice:
            practice = _("Try everything. These records never count.")
            self._add_row("play", _("Practice"), practice, lambda: self._ask_for(None))

    def _choose_file(self) -> None:
        self.work.choose_file((STUDY_SUFFIX,), self._ask_for)

    def _ask_for(self, path: Path | None) -> None:
        def use() -> None:
            self.work.use_study(path, lambda _: self.work.go_home())

        self.work.navigation.confirm("use_study", use)

    def _show_old_passcode(self) -> None:
        self._show_passcode(_("Enter your passcode"), _("Continue"), self._check_old)

    def _check_old(self, passcode: str) -> None:
        self.work.navigation.replace("study", step="new", old=passcode)

    def _show_new_passcode(self) -> None:
        self._show_passcode(_("New passcode"), _("Continue"), self._take_new)

    def _take_new(self, passcode: str) -> None:
        self.work.navigation.replace("study", step="again", old=self.place.facts["old"], new=passcode)

    def _show_new_passcode_again(self) -> None:
        self._show_passcode(_("The same passcode again"), _("Finish"), self._change_passcode)

    def _change_passcode(self, passcode: str) -> None:
        old, new = self.place.facts["old"], self.place.facts["new"]
        if passcode != new:
            self.work.say("error", _("The two passcodes differ. Enter the same one again."))
            return

        def changed(_result: object) -> None:
            self.work.navigation.leave()
            self.work.say("good", _("The passcode was changed."))

        def refused(error: TussisError) -> None:
            self.work.navigation.leave()
            if isinstance(error, WrongPasscodeError | BackOffError):
                self.work.say("error", _("The old passcode was wrong. Nothing was changed."))
            else:
                self.work.show_error(error)

        self.work.change_passcode(old, new, changed, refused)

    # ---- inside --------------------------------------------------------------------------------------------------

    def _show_passcode(self, label: str, button_text: str, act: Callable[[str], None]) -> None:
        self.title = _("Change the passcode")
        self.field = PasscodeField(label=label)
        self.add_widget(self.field)

        def press() -> None:
            passcode = self.field.value
            self.field.clear()
            act(passcode)

        button = self.add_button(button_text, press)
        button.disabled = True
        self.field.bind(value=lambda _, value: setattr(button, "disabled", len(value) < MIN_PASSCODE_LENGTH))

    def _add_row(self, icon: str, text: str, below: str, act: Callable[[], None]) -> None:
        row = Row(icon=icon, text=text, below=below)
        row.bind(on_release=lambda _: act())
        self.add_widget(row)

    def _go(self, step: str) -> None:
        self.work.navigation.go("study", step=step)


def _use_study_words(facts: dict) -> dialogs.QuestionWords:
    return dialogs.yes_no(
        _("Use the other study?"),
        _("New records belong to it. Participants of another study are not shown any more."),
        _("Use it"),
    )


dialogs.WORDS["use_study"] = _use_study_words
Builder.load_file(str(Path(__file__).with_suffix(".kv")))
