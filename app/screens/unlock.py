"""Sets the application up at first, and asks for the passcode from then on."""

import math
from functools import partial
from pathlib import Path

from kivy.clock import Clock
from kivy.lang import Builder
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from app.study import STUDY_SUFFIX
from app.vault import MIN_PASSCODE_LENGTH, BackOffError, LostDeviceSecretError, WrongPasscodeError
from app.widgets import theme
from app.widgets.controls import LinkButton, Notice, PillButton, Row, Words
from app.widgets.inputs import Choice, PasscodeField
from app.widgets.page import Page
from app.words import LANGUAGES, _, ngettext, shown_language
from core.errors import TussisError

COUNT_DOWN_S = 0.5


class Brand(BoxLayout):
    """The name of the application."""


class BrandMark(Widget):
    """The application's sign."""


class UnlockPage(Page):
    """One step of the set-up, or the passcode; which one, the place tells by its fact ``step``.

    Steps: ``""`` is the passcode, or the language where none was set yet. ``study``, ``passcode`` and ``repeat`` follow
    the language. ``forgotten`` tells what starting anew means; ``passcode`` and ``repeat`` follow it as well.
    """

    def __init__(self, *arguments: object, **properties: object) -> None:
        self.field: PasscodeField | None = None
        self._built = False
        super().__init__(*arguments, **properties)
        self.step = self.place.facts.get("step", "" if self.work.vault.exists else "language")
        self._build()
        self._ticking = Clock.schedule_interval(lambda _: self.refresh(), COUNT_DOWN_S)
        self._built = True
        self.refresh()

    def refresh(self) -> None:
        """Count the time down until a passcode is taken."""
        if not self._built or self.step != "":
            return
        wait_s = self.work.vault.wait_s
        trouble = self.place.draft.get("trouble", "")
        if wait_s > 0:
            trouble = _("Wrong too often. Try again in {time}.").format(time=waiting_words(wait_s))
        self.field.disabled = self.unlock_button.disabled = wait_s > 0
        self.trouble.text = trouble

    def leave(self) -> None:
        """Stop counting."""
        self._ticking.cancel()

    def _build(self) -> None:
        builders = {
            "": self._build_unlock,
            "language": self._build_language,
            "study": self._build_study,
            "passcode": self._build_passcode,
            "repeat": self._build_repeat,
            "forgotten": self._build_forgotten,
        }
        builders[self.step]()

    # ---- the passcode --------------------------------------------------------------------------------------------

    def _build_unlock(self) -> None:
        self.add_widget(Brand())
        self.field = PasscodeField(label=_("Enter your passcode"))
        self.trouble = Words(color=theme.ERROR, halign="center")
        self.add_widget(self.trouble)
        self.add_widget(self.field)
        forgotten = LinkButton(text=_("Forgot the passcode?"))
        forgotten.bind(on_release=lambda _: self._go("forgotten"))
        self.add_widget(forgotten)
        hand_over = LinkButton(text=_("Hand over without unlocking"))
        hand_over.bind(on_release=lambda _: self.work.navigation.go("handover"))
        self.add_widget(hand_over)
        self.unlock_button = self.add_button(_("Unlock"), self._unlock)

    def _unlock(self) -> None:
        passcode = self.field.value
        self.field.clear()
        self.place.draft["trouble"] = ""
        self.work.unlock(passcode, self._refused)

    def _refused(self, error: TussisError) -> None:
        if isinstance(error, LostDeviceSecretError):
            self._go("forgotten", reason="device_secret")
        elif isinstance(error, WrongPasscodeError | BackOffError):
            self.place.draft["trouble"] = _("That passcode is wrong.")
        else:
            self.work.show_error(error)

    def _build_forgotten(self) -> None:
        self.title = _("Start anew")
        lost = self.place.facts.get("reason") == "device_secret"
        why = _("This device lost the secret that belongs to your passcode, so no passcode opens the records here.")
        self.add_widget(
            Notice(
                kind="warning",
                heading=_("What starting anew means"),
                text=(why + " " if lost else "")
                + _(
                    "You set a new passcode. Earlier records stay on this device and can still be handed over to the "
                    "study. You cannot read or play them here any more."
                ),
            )
        )
        if not lost:
            self.add_widget(Words(text=_("Go back if somebody in your team may know the passcode.")))
        self.add_button(_("Set a new passcode"), lambda: self._go("passcode", anew=True))
        self.add_button(_("Hand over first"), lambda: self.work.navigation.go("handover"), filled=False)

    # ---- the set-up ----------------------------------------------------------------------------------------------

    def _build_language(self) -> None:
        self.add_widget(Brand())
        choice = Choice(label=_("Language"), options=list(LANGUAGES.items()), value=shown_language())
        choice.bind(value=lambda _, code: self._choose_language(code))
        self.add_widget(choice)
        self.add_button(_("Continue"), lambda: self._go("study"))

    def _choose_language(self, code: str) -> None:
        try:
            self.work.set_language(code)
        except TussisError as error:
            self.work.show_error(error)
        self.work.navigation.restart("unlock")

    def _build_study(self) -> None:
        self.title = _("Which study?")
        self.add_widget(Words(text=_("Your coordinator gives you a study file. It holds all settings.")))
        rows = (
            (_("Open a study file"), _("A file that ends in {suffix}").format(suffix=STUDY_SUFFIX), self._choose_file),
            (_("Practice"), _("Try everything. These records never count."), partial(self._go, "passcode", study=None)),
        )
        for icon, (text, below, act) in zip(("study", "play"), rows, strict=True):
            row = Row(icon=icon, text=text, below=below)
            row.bind(on_release=lambda _, act=act: act())
            self.add_widget(row)

    def _choose_file(self) -> None:
        def chosen(path: Path) -> None:
            self.work.navigation.replace("unlock", step="passcode", study=path)

        self.work.choose_file((STUDY_SUFFIX,), chosen)

    def _build_passcode(self) -> None:
        self.title = _("Set a passcode")
        least = ngettext("At least {n} digit.", "At least {n} digits.", MIN_PASSCODE_LENGTH)
        self.add_widget(Words(text=_("Whoever holds this device needs it to see the records.") + " " + least))
        self.field = PasscodeField(label=_("New passcode"))
        self.add_widget(self.field)
        button = self.add_button(_("Continue"), self._repeat)
        self._enable_from(MIN_PASSCODE_LENGTH, button)

    def _repeat(self) -> None:
        passcode = self.field.value
        self.field.clear()
        self._go(**{**self.place.facts, "step": "repeat", "passcode": passcode})

    def _build_repeat(self) -> None:
        self.title = _("Set a passcode")
        self.field = PasscodeField(label=_("The same passcode again"))
        self.add_widget(self.field)
        button = self.add_button(_("Finish"), self._finish)
        self._enable_from(MIN_PASSCODE_LENGTH, button)

    def _finish(self) -> None:
        facts, passcode = self.place.facts, self.field.value
        self.field.clear()
        if passcode != facts["passcode"]:
            self.work.say("error", _("The two passcodes differ. Enter the same one again."))
        elif facts.get("anew"):
            self.work.start_anew(passcode)
        else:
            self.work.set_up(passcode, facts["study"])

    # ---- inside --------------------------------------------------------------------------------------------------

    def _go(self, step: str, **facts: object) -> None:
        self.work.navigation.go("unlock", **{"step": step, **facts})

    def _enable_from(self, least: int, button: PillButton) -> None:
        def follow(*_: object) -> None:
            button.disabled = len(self.field.value) < least

        self.field.bind(value=follow)
        follow()


def waiting_words(wait_s: float) -> str:
    """A time to wait in whole seconds, or in whole minutes from two minutes on."""
    if wait_s < 120:
        return ngettext("{n} second", "{n} seconds", math.ceil(wait_s))
    return ngettext("{n} minute", "{n} minutes", math.ceil(wait_s / 60))


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
