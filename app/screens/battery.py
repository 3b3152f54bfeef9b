"""Tells which settings of a phone keep it from ending a long recording in the background."""

from pathlib import Path

from kivy.lang import Builder

from app.devices.platform import machine_facts
from app.widgets.controls import Card, Heading, Notice, Secondary, Words
from app.widgets.inputs import Chips
from app.widgets.page import Page
from app.wording.battery_words import MAKERS, maker_of
from app.words import _


class BatteryPage(Page):
    """Steps by the maker that is chosen, at first that of this phone."""

    def refresh(self) -> None:
        """Show the maker that is chosen now."""
        maker = self.place.draft.get("maker") or maker_of(machine_facts()["device"])
        if self.shows(maker):
            return
        self.clear()
        self.title = _("Battery saver")
        text = _("Many phones end apps in the background to save the battery. Then a long listening stops unasked.")
        self.add_widget(Words(text=text))
        chips = Chips([(code, each.name()) for code, each in MAKERS.items()], value=maker)
        chips.bind(value=lambda _, code: self._choose(code))
        self.add_widget(chips)
        card = Card()
        card.add_widget(Heading(text=MAKERS[maker].name()))
        steps = (*MAKERS[maker].steps, lambda: _("Switch the phone's own battery saver off, and charge it."))
        for number, say in enumerate(steps, start=1):
            card.add_widget(Words(text=f"{number}. {say()}"))
        self.add_widget(card)
        text = _("The names differ from phone to phone, and these steps were not tried on each. Test a night at home.")
        self.add_widget(Notice(kind="warning", text=text))
        if self.work.facilities.permission.can_open_settings():
            self.add_widget(Secondary(text=_("The button shows the settings of Tussis on this phone.")))
            self.add_button(_("Open the settings"), self.work.facilities.permission.open_settings)

    def _choose(self, code: str) -> None:
        self.place.draft["maker"] = code
        self.refresh()


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
