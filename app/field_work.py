"""Holds the application's state outside every widget, and what can be done with it."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from app import words
from app.casebook import Casebook
from app.devices.device_secret import DeviceSecret
from app.devices.facilities import Facilities
from app.devices.microphone import Microphone, sources_of
from app.errands import Schedule, outcome_of
from app.monitoring_session import MonitoringSession
from app.navigation import Navigation, Question
from app.preferences import FROM_FILE, PRACTICE, read_preferences
from app.recording_session import JUDGING, LIVE, RecordingSession, SessionState
from app.records import Records
from app.sessions.handing_over import HandOvers, mark_unmarked
from app.sessions.left_attempt import keep_what_is_there
from app.sessions.playing import PlayingErrands
from app.study import Study, check_update, practice_study, read_study
from app.vault import Vault
from core.errors import TussisError
from core.files import write_atomically
from core.screener import Screener
from core.signing import ANYBODY, TrustPolicy

STUDY_NAME = "study.tussis-study"
LOCK_CHECK_S, CLOSING_S = 1.0, 2.0
MAIN_THREAD_PATIENCE_S = 5.0  # a main thread that takes nothing for so long stands still in the background
ACTIVE_STEPS = (*LIVE, JUDGING)


class FieldWork(PlayingErrands):
    """What the application knows and does; used alike by the window, the tests and the whole-day test.

    Every method is for the main thread and returns at once. Slow work runs on a thread and hands its result to
    `schedule`, which has the main thread take it.

    Parameters
    ----------
    folder : Path
        The data folder.
    device_secret : DeviceSecret
    microphone : Microphone
    facilities : Facilities
    schedule : callable
        Takes a function of no arguments, from any thread, and has the main thread call it.
    load_screener : callable
        Returns the `Screener`; called on a thread. May raise `TussisError`.
    trust : TrustPolicy
        Whose signature a model needs that is imported.
    clock : callable
        Seconds that go on while the device sleeps, for the automatic lock.

    Attributes
    ----------
    study : Study or None
        None until one was chosen and read.
    records, casebook : Records, Casebook or None
        None while locked.
    session : RecordingSession or None
        The tasks of one participant that are being done.
    monitoring : MonitoringSession or None
    handovers : HandOvers
        Hands over, locked or not.
    screener : Screener or None
        None while it loads, and where that failed with `screener_error`.
    """

    def __init__(
        self,
        folder: Path,
        device_secret: DeviceSecret,
        microphone: Microphone,
        facilities: Facilities,
        schedule: Schedule,
        load_screener: Callable[[], Screener],
        trust: TrustPolicy = ANYBODY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(schedule, facilities.playback)
        self.folder, self.microphone, self.facilities = folder, microphone, facilities
        self.vault = Vault(folder, device_secret)
        self.handovers = HandOvers(self, folder, self.vault, facilities.files)
        self.navigation = Navigation("unlock")
        self.navigation.guard = self._question_before_leaving
        self.preferences = read_preferences(folder)
        self.study: Study | None = None
        self.records: Records | None = None
        self.casebook: Casebook | None = None
        self.session: RecordingSession | None = None
        self.monitoring: MonitoringSession | None = None
        self.screener: Screener | None = None
        self.screener_error = ""
        self._session_shown: tuple[Any, ...] = ()
        self.trust = trust
        self._load_screener, self._clock = load_screener, clock
        self._touched_at_s = clock()
        self._screener_settled, self._closed = threading.Event(), threading.Event()
        words.set_language(self.preferences.language)
        if self.preferences.microphone_source in sources_of(microphone):
            microphone.source = self.preferences.microphone_source

    def open(self) -> None:
        """Read the study, begin to load the model, and watch for the time to lock."""
        if self.preferences.study:
            self.run(self._read_study, self._take_study, in_background=True)
        self.load_model()
        threading.Thread(target=self._watch_lock, name="lock", daemon=True).start()

    def close(self) -> None:
        """Finish a recording that is made, and lock."""
        self._closed.set()
        self.end_session()
        self.handovers.stop()
        self.handovers.wait(CLOSING_S)
        self._shut()

    # ---- set-up, lock and study ----------------------------------------------------------------------------------

    def load_model(self) -> None:
        """Load the model in the background; called again where another one was chosen."""
        self._screener_settled.clear()
        self.screener, self.screener_error = None, ""

        def settle(screener: Screener | None, error: str = "") -> None:
            self.screener, self.screener_error = screener, error
            self._screener_settled.set()

        def load() -> None:
            screener, error = outcome_of(self._load_screener)
            settle(screener, str(error or ""))

        self.run(load, in_background=True)

    def loaded_screener(self) -> Screener:
        """The screener, once it is there; for other threads than the main one. Raises the `TussisError` of loading."""
        self._screener_settled.wait()
        if self.screener is None:
            raise TussisError(self.screener_error)
        return self.screener

    def set_language(self, language: str) -> None:
        """Show words in another language from now on."""
        words.set_language(language)
        self._keep(language=words.shown_language())

    def set_microphone_source(self, source: str) -> None:
        """Record from one of the microphone's ``sources`` from now on, "" for the best that the device has."""
        self.microphone.source = source
        self._keep(microphone_source=source)

    def set_up(self, passcode: str, study_file: Path | None) -> None:
        """Set the first passcode and the study, None for the practice study, and open."""

        def job() -> Study:
            study = self._chosen_study(study_file)
            self.vault.create(passcode)
            self._keep_study(study_file)
            return study

        self.run(job, self._begin_with)

    def unlock(self, passcode: str, otherwise: Callable[[TussisError], None]) -> None:
        """Open with a passcode; `otherwise` gets `WrongPasscodeError`, `BackOffError`, `LostDeviceSecretError` …"""
        self.run(lambda: self.vault.unlock(passcode), lambda _: self._begin(), otherwise)

    def start_anew(self, passcode: str) -> None:
        """Go on after a forgotten passcode: earlier records stay sealed, and can still be handed over."""
        self.run(lambda: self.vault.start_anew(passcode), lambda _: self._begin())

    def change_passcode(
        self, old: str, new: str, then: Callable[[Any], None], otherwise: Callable[[TussisError], None]
    ) -> None:
        """Set another passcode."""
        self.run(lambda: self.vault.change_passcode(old, new), then, otherwise)

    def use_study(self, study_file: Path | None, then: Callable[[Any], None]) -> None:
        """Go on with another study, or a new version of this one; None for the practice study."""

        def job() -> Study:
            study = self._chosen_study(study_file)
            if self.study is not None and study.id == self.study.id:
                check_update(self.study, study)
            self._keep_study(study_file)
            return study

        def take(study: Study) -> None:
            self._close_records()
            self._take_study(study)
            self._open_records(lambda: then(study))

        self.run(job, take)

    def lock(self) -> None:
        """Forget what is readable, and ask for the passcode."""
        self.end_session()
        self._shut()
        self.message = None
        self.navigation.restart("unlock")

    def touched(self) -> None:
        """A person used the application: count the time to the automatic lock anew."""
        self._touched_at_s = self._clock()

    def lock_if_due(self) -> None:
        """Lock where nobody used the application for the study's time; never in a recording or while working."""
        if self._is_lock_due():
            self.lock()

    def choose_file(self, suffixes: tuple[str, ...], choose: Callable[[Path], None]) -> None:
        """Have a person choose a file that ends so; without suffixes, a folder."""
        files = self.facilities.files
        if suffixes and files.can_ask():
            files.ask_to_open(lambda path: self.schedule(lambda: choose(path)) if path is not None else None)
        else:
            self.navigation.go("files", suffixes=suffixes, choose=choose)

    # ---- tasks, monitoring and playback --------------------------------------------------------------------------

    @property
    def is_recording(self) -> bool:
        """Whether sound is taken at this moment, so that nothing may lock or leave unasked."""
        is_watching = self.monitoring is not None and self.monitoring.is_running
        return is_watching or (self.session is not None and self.session.state.step in ACTIVE_STEPS)

    @property
    def n_rescued(self) -> int | None:
        """See `Records.n_rescued`; also of a file that was found damaged while locked."""
        opened = None if self.records is None else self.records.n_rescued
        return self.handovers.n_rescued if opened is None else opened

    @property
    def is_working(self) -> bool:
        """Whether something runs that the person asked for, a hand-over too, which can be watched and stopped."""
        return self.is_waited_for or self.handovers.is_running

    def start_tasks(self, participant_id: str) -> None:
        """Begin or go on with the tasks of a participant whose consent is there."""
        if self._may_record(partial(self.start_tasks, participant_id)):
            self.session = self._session_of(RecordingSession, participant_id)
            self.session.subscribe(self._follow_session)
            self.navigation.go("task", participant_id=participant_id)

    def start_watching(self, participant_id: str) -> None:
        """Watch a participant for hours, "" for a room; the page asks before it is left meanwhile."""
        if self._may_record(partial(self.start_watching, participant_id)):
            self.monitoring = self._session_of(MonitoringSession, participant_id)
            self.monitoring.subscribe(lambda _: self.changed())
            self.monitoring.start()

    def _may_record(self, then: Callable[[], None]) -> bool:
        """Whether the system lets the microphone be used; where not, a page says why it is needed, and then goes on."""
        may_record = self.facilities.permission.may_record()
        if not may_record:
            self.navigation.go("permission", then=then)
        return may_record

    def _session_of(self, kind: type, participant_id: str) -> Any:
        self.stop_playing()
        self.end_session()
        return kind(self.casebook, self.study, self.loaded_screener, self.microphone, participant_id, self.schedule)

    def end_session(self) -> None:
        """End the tasks that are done, or the watching; what was recorded stays."""
        session, self.session = self.session, None
        if session is not None:
            session.abandon()
            self.facilities.screen.keep_on(False)
        if self.monitoring is not None:
            self.monitoring.stop()

    def finish_unfinished(self, attempt: Any) -> None:
        """Screen and keep what is there of a recording that was left in its middle."""
        casebook, study = self.casebook, self.study
        self.run(lambda: keep_what_is_there(casebook, study, self.loaded_screener, attempt))

    def play(self, record_id: str) -> None:
        """Play a recording, where none is made."""
        if not self.is_recording:
            casebook = self.casebook
            self.play_audio(record_id, lambda: casebook.audio(record_id))

    # ---- inside --------------------------------------------------------------------------------------------------

    def _keep(self, **changes: str) -> None:
        self.preferences = replace(self.preferences, **changes)
        self.preferences.write(self.folder)

    def _chosen_study(self, study_file: Path | None) -> Study:
        return practice_study() if study_file is None else read_study(study_file)

    def _keep_study(self, study_file: Path | None) -> None:
        if study_file is not None:
            write_atomically(self.folder / STUDY_NAME, study_file.read_bytes(), replaces_any=True)
        self._keep(study=PRACTICE if study_file is None else FROM_FILE)

    def _read_study(self) -> Study:
        return self._chosen_study(None if self.preferences.study == PRACTICE else self.folder / STUDY_NAME)

    def _take_study(self, study: Study) -> None:
        self.study = study

    def _begin_with(self, study: Study) -> None:
        self._take_study(study)
        self._begin()

    def _begin(self) -> None:
        """Open the records after the vault was opened, and go home; without a study, ask for one."""
        self.touched()
        if self.study is None:
            self.navigation.restart("study")
        else:
            self._open_records(self.go_home)

    def _open_records(self, then: Callable[[], None]) -> None:
        study = self.study

        def job() -> tuple[Records, Casebook]:
            records = Records(self.folder, self.vault, study.handover_public_key)
            casebook = Casebook(records, study)
            with contextlib.suppress(TussisError):  # a full disk: the next unlock tries again
                mark_unmarked(casebook)
            return records, casebook

        def take(opened: tuple[Records, Casebook]) -> None:
            self.records, self.casebook = opened
            self.facilities.screen.keep_secret(not study.allow_screenshots)
            then()

        self.run(job, take)

    def go_home(self) -> None:
        """Show the first page of an unlocked application."""
        self.navigation.restart("home")

    def _close_records(self) -> None:
        records, self.records, self.casebook = self.records, None, None
        if records is not None:
            records.close()

    def _shut(self) -> None:
        self.stop_playing()
        self._close_records()
        self.vault.lock()

    def _is_lock_due(self) -> bool:
        if not self.vault.is_open or self.is_recording or self.is_working or self.study is None:
            return False
        return self._clock() - self._touched_at_s >= self.study.auto_lock_s

    def _watch_lock(self) -> None:
        """Have the main thread lock in time; where it stands still in the background, wipe the key without it."""
        while not self._closed.wait(LOCK_CHECK_S):
            if self._is_lock_due():
                taken = threading.Event()
                self.schedule(lambda taken=taken: (taken.set(), self.lock_if_due()))
                if not taken.wait(MAIN_THREAD_PATIENCE_S) and self._is_lock_due():
                    self.vault.lock()

    def _follow_session(self, state: SessionState) -> None:
        self.touched()
        self.facilities.screen.keep_on(state.step in ACTIVE_STEPS)
        shown = (state.step, state.task, state.round, state.attempt, state.message)
        if shown != self._session_shown:  # what moves while recording, the page draws by itself
            self._session_shown = shown
            self.changed()

    def _question_before_leaving(self) -> Question | None:
        if self.navigation.top.name == "task" and self.is_recording:
            return Question("leave_recording", {"yes": self._leave_task, "no": lambda: None})
        if self.navigation.top.name == "monitor" and self.is_recording:
            return Question("stop_watching", {"yes": self.monitoring.stop, "no": lambda: None})
        if self.handovers.is_running:
            return Question("stop_handover", {"yes": self.handovers.stop, "no": lambda: None})
        return None

    def _leave_task(self) -> None:
        self.end_session()
        self.navigation.leave()
