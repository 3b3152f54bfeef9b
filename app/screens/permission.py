"""Says why the microphone is needed before the system asks, and leads to its settings where it asks no more."""

from pathlib import Path

from kivy.clock import Clock
from kivy.lang import Builder

from app.widgets.controls import Notice, Words
from app.widgets.page import Page
from app.words import _

LOOKED_EVERY_S = 0.5


class PermissionPage(Page):
    """It goes on with the place's fact ``then`` as soon as the microphone may be used."""

    def __init__(self, *arguments: object, **properties: object) -> None:
        super().__init__(*arguments, **properties)
        self._looking = Clock.schedule_interval(lambda _: self._look(), LOOKED_EVERY_S)

    def refresh(self) -> None:
        """Show the reason, and what can be done now."""
        permission = self.work.facilities.permission
        is_denied = permission.is_denied_for_ever()
        if self.shows(is_denied):
            return
        self.clear()
        self.title = _("Microphone")
        text = _("It records only while a recording or the listening runs. The sound is sealed on this device.")
        self.add_widget(Notice(kind="note", heading=_("Tussis needs the microphone"), text=text))
        if is_denied:
            text = _("The phone asks no more. Open the settings, then Permissions, Microphone, and allow it.")
            self.add_widget(Notice(kind="warning", heading=_("The microphone is not allowed"), text=text))
            self.add_button(_("Open the settings"), permission.open_settings)
        else:
            self.add_widget(Words(text=_("The phone asks you next. Answer that it is allowed while you use the app.")))
            self.add_button(_("Continue"), permission.ask_to_record)

    def leave(self) -> None:
        """Look no more."""
        self._looking.cancel()

    def _look(self) -> None:
        if self.work.facilities.permission.may_record():
            self._looking.cancel()
            self.work.navigation.leave()
            self.place.facts["then"]()
        else:
            self.refresh()


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
