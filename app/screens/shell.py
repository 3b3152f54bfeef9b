"""Shows the page of the place at the top of the stack, and what lies over it."""

from importlib import import_module
from pathlib import Path

from kivy.lang import Builder
from kivy.properties import ListProperty
from kivy.uix.floatlayout import FloatLayout

from app.errands import Message
from app.field_work import FieldWork
from app.navigation import Place, Question
from app.widgets.dialogs import MessageBar, Sheet, Working
from app.widgets.page import Page

BACK_KEY = 27  # Escape, and Back on a phone
PAGES = {
    "unlock": "UnlockPage",
    "home": "HomePage",
    "participants": "ParticipantsPage",
    "enrolment": "EnrolmentPage",
    "participant": "ParticipantPage",
    "consent": "ConsentPage",
    "history": "HistoryPage",
    "recording": "RecordingPage",
    "handover": "HandoverPage",
    "study": "StudyPage",
    "files": "FilesPage",
    "task": "TaskPage",
    "result": "ResultPage",
    "monitor": "MonitorPage",
    "engineer": "EngineerPage",
    "latency": "LatencyPage",
    "damage": "DamagePage",
    "battery": "BatteryPage",
    "permission": "PermissionPage",
}
"""The module of each page, by the name of its place, and its class."""


class Shell(FloatLayout):
    """The root of the window; what it shows follows from `work` alone.

    `insets` are the strips in pixels that the system covers: left, top, right, bottom.
    """

    insets = ListProperty([0, 0, 0, 0])

    def __init__(self, work: FieldWork, pages: dict[str, str] | None = None, **properties: object) -> None:
        super().__init__(**properties)
        self.work, self._pages = work, PAGES if pages is None else pages
        self.page: Page | None = None
        self.sheet: Sheet | None = None
        self._working: Working | None = None
        self._shown: tuple[Question | None, Message | None] = (None, None)
        self.bind(parent=self._listen_for_back)
        work.navigation.subscribe(self.follow)
        work.subscribe(self.follow)
        self.follow()

    def follow(self) -> None:
        """Show the state as it is now; the page is built anew only where the place is another one."""
        place = self.work.navigation.top
        if self.page is None or self.page.place is not place:
            self.work.message = None if self.page is not None else self.work.message
            self._show_page(place)
        else:
            self.page.refresh()
        self._show_question(self.work.navigation.question)
        self._show_message(self.work.message)
        self._show_working(self.work.is_waited_for)

    def rebuild(self) -> None:
        """Build the page anew, as after a change of the language or a pause; it shows the same."""
        self._show_page(self.work.navigation.top)
        self._shown = (None, None)
        self._show_question(None)
        self.follow()

    def on_touch_down(self, touch: object) -> bool:
        """Kivy's call for a touch: somebody is there."""
        self.work.touched()
        return super().on_touch_down(touch)

    def _listen_for_back(self, _: object, parent: object) -> None:
        """Take the device's Back while the window shows this; without that, Kivy ends the application."""
        from kivy.core.window import Window

        if parent is None:
            Window.unbind(on_keyboard=self._take_key)
        else:
            Window.bind(on_keyboard=self._take_key)

    def _take_key(self, _: object, key: int, *__: object) -> bool:
        self.work.touched()
        if key != BACK_KEY:
            return False
        if not self.work.is_waited_for:
            self.work.navigation.back()
        return True

    def _show_page(self, place: Place) -> None:
        if self.page is not None:
            self.page.place.draft["scroll_y"] = self.page.ids.scroll.scroll_y
            self.ids.page_place.remove_widget(self.page)
        name = self._pages[place.name]
        self.page = getattr(import_module(f"app.screens.{place.name}"), name)(self.work, place)
        self.page.ids.scroll.scroll_y = place.draft.get("scroll_y", 1.0)
        self.ids.page_place.add_widget(self.page)

    def _show_question(self, question: Question | None) -> None:
        if question is self._shown[0]:
            return
        if self.sheet is not None:
            self.remove_widget(self.sheet)
            self.sheet = None
        if question is not None:
            self.sheet = Sheet(self.work.navigation, question, insets=self.insets)
            self.bind(insets=self.sheet.setter("insets"))
            self.add_widget(self.sheet)
        self._shown = (question, self._shown[1])

    def _show_message(self, message: Message | None) -> None:
        if message is self._shown[1]:
            return
        self.ids.message_place.clear_widgets()
        if message is not None:
            bar = MessageBar(kind=message.kind, text=message.text, close=self.work.hush)
            self.ids.message_place.add_widget(bar)
        self._shown = (self._shown[0], message)

    def _show_working(self, is_working: bool) -> None:
        if is_working and self._working is None:
            self._working = Working()
            self.add_widget(self._working)
        elif not is_working and self._working is not None:
            self.remove_widget(self._working)
            self._working = None


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
