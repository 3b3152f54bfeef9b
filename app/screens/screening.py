"""The one screen: shows the controller's session, and passes on what is pressed."""

from pathlib import Path

from kivy.clock import Clock
from kivy.lang import Builder
from kivy.properties import BooleanProperty, NumericProperty, ObjectProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from app import strings
from app.controller import Controller
from app.screens.controls import LOUD_PEAK_DBFS, QUIET_PEAK_DBFS
from app.screens.open_recording import OpenRecording
from app.screens.result_cards import error_cards, result_cards
from app.session import Session, State
from app.wav_recorder import RecordingProgress
from core.results import minutes_and_seconds

REFRESH_S = 1 / 20


class RecordPanel(BoxLayout):
    """The record button, and while recording the time and the level."""

    screen = ObjectProperty()
    recording = BooleanProperty(False)
    elapsed = StringProperty(minutes_and_seconds(0.0))
    hint = StringProperty(strings.RECORD_HINT)
    level_words = StringProperty()
    footer = StringProperty()
    rms_dbfs = NumericProperty(-100.0)
    peak_dbfs = NumericProperty(-100.0)

    def show_session(self, session: Session) -> None:
        """Follow the state, and say which model is there."""
        self.recording = session.state is State.RECORDING
        self.hint = session.path.name if self.recording and session.path else strings.RECORD_HINT
        self.footer = session.bundle_error or model_line(session)

    def show_progress(self, progress: RecordingProgress) -> None:
        """Follow the level and the time."""
        self.elapsed = minutes_and_seconds(progress.duration_s)
        self.rms_dbfs, self.peak_dbfs = progress.rms_dbfs, progress.peak_dbfs
        self.level_words = strings.gaps_so_far(progress.n_gaps) if progress.n_gaps else level_words(progress)


class WorkingPanel(BoxLayout):
    """Says that a recording is being screened."""

    file_name = StringProperty()


class EndPanel(BoxLayout):
    """A result or an error as cards, and what one can do next."""

    screen = ObjectProperty()


class ScreeningScreen(BoxLayout):
    """The root of the window."""

    purpose = StringProperty(strings.CONSENT)

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self.controller = controller
        self.record_panel = RecordPanel(screen=self)
        self._refresh = Clock.schedule_interval(self._show_progress, REFRESH_S)
        self._refresh.cancel()
        self._shown: Session | None = None
        controller.subscribe(self.show)

    @property
    def panel(self) -> Widget:
        """The panel that fills the screen below the heading."""
        return self.ids.body.children[0]

    def show(self, session: Session) -> None:
        """Show `session`; the controller calls this with every change."""
        may_record = session.state in (State.IDLE, State.RECORDING)
        self.purpose = strings.CONSENT if may_record else strings.NOT_A_DIAGNOSIS
        if may_record:
            self.record_panel.show_session(session)
        if session.state is State.RECORDING:
            self._refresh()
        else:
            self._refresh.cancel()
        if self._shown is None or self._shown.state is not session.state:
            self._replace_panel(session)
        self._shown = session

    def press_record(self) -> None:
        """Start, or stop and screen."""
        if self.controller.session.state is State.RECORDING:
            self.controller.stop_recording()
        else:
            self.record_panel.show_progress(RecordingProgress())
            self.controller.start_recording()

    def press_open(self) -> None:
        """Let the user choose a recording, then screen it."""
        OpenRecording(self.controller.folder, self.controller.screen).open()

    def press_again(self) -> None:
        """Back to the record button."""
        self.controller.show_idle()

    def _replace_panel(self, session: Session) -> None:
        self.ids.body.clear_widgets()
        self.ids.body.add_widget(self._panel_for(session))

    def _panel_for(self, session: Session) -> Widget:
        if session.state is State.SCREENING:
            return WorkingPanel(file_name=session.path.name if session.path else "")
        if session.result is not None:
            return self._end_panel(result_cards(session.result, session))
        if session.state is State.ERROR:
            return self._end_panel(error_cards(session))
        return self.record_panel

    def _end_panel(self, cards: list[Widget]) -> EndPanel:
        panel = EndPanel(screen=self)
        for card in cards:
            panel.ids.cards.add_widget(card)
        return panel

    def _show_progress(self, _: float) -> None:
        self.record_panel.show_progress(self.controller.progress)
        self.controller.check_recording()


def level_words(progress: RecordingProgress) -> str:
    """The level in dBFS and what to do about it."""
    if progress.peak_dbfs >= LOUD_PEAK_DBFS:
        advice = strings.TOO_LOUD
    else:
        advice = strings.TOO_QUIET if progress.peak_dbfs < QUIET_PEAK_DBFS else strings.GOOD_LEVEL
    return f"{advice}   {progress.rms_dbfs:.0f} dBFS"


def model_line(session: Session) -> str:
    """The bundle's name, the beginning of its hash and who signed it."""
    if session.bundle is None:
        return strings.LOADING_MODEL
    bundle = session.bundle
    return f"{strings.MODEL} {bundle.name} · {bundle.model_sha256[:12]} · {bundle.signature.words}"


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
