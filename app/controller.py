"""Decides what happens when, from idle to a result or an error, without knowing any widget."""

import queue
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from app import strings
from app.devices.microphone import Microphone
from app.recorder import Recorder, RecordingProgress
from app.session import Session, State, new_recording_path
from core.bundle import Bundle
from core.errors import BundleError, TussisError
from core.results import Screening, describe

STALL_S = 3.0

Job = Callable[[], None]
Schedule = Callable[[Job], None]
OnChange = Callable[[Session], None]


class LoadedScreener(Protocol):
    """The part of a `core.screener.Screener` that the controller uses."""

    bundle: Bundle

    def screen(self, path: Path) -> Screening:
        """Screen one recording; may raise `TussisError`."""
        ...


class Controller:
    """Owns the session; every method is for the main thread, and returns at once.

    Slow work (loading the model, screening) runs on one thread of its own, in order. So the model is loaded once and
    never used by two at a time. That thread touches nothing here: it hands its outcome to `schedule`, which runs it on
    the main thread.

    Parameters
    ----------
    load_screener : callable
        Returns the screener; called once, on the working thread. May raise `TussisError`.
    microphone : Microphone
    folder : Path
        Where new recordings go; made when the first one is.
    schedule : callable
        Takes a function of no arguments, from any thread, and has the main thread call it.
    """

    def __init__(
        self, load_screener: Callable[[], LoadedScreener], microphone: Microphone, folder: Path, schedule: Schedule
    ) -> None:
        self.folder = folder
        self.session = Session()
        self._load_screener = load_screener
        self._microphone = microphone
        self._schedule = schedule
        self._screener: LoadedScreener | None = None
        self._load_error = ""
        self._recorder: Recorder | None = None
        self._listeners: list[OnChange] = []
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._worker = threading.Thread(target=self._work, name="screening", daemon=True)

    @property
    def progress(self) -> RecordingProgress:
        """Length and level of the recording that is being made; zeros where there is none."""
        return self._recorder.progress if self._recorder else RecordingProgress()

    def subscribe(self, on_change: OnChange) -> None:
        """Have `on_change` called, on the main thread, with every new session, and with the present one now."""
        self._listeners.append(on_change)
        on_change(self.session)

    def open(self) -> None:
        """Begin to load the model in the background."""
        self._worker.start()
        self._jobs.put(self._load)

    def start_recording(self) -> None:
        """Begin a new recording; without effect while one is made or screened."""
        if self.session.busy:
            return
        recorder = Recorder(self._microphone, new_recording_path(self.folder))
        try:
            recorder.start()
        except TussisError as error:
            self._show(State.ERROR, error=str(error))
            return
        self._recorder = recorder
        self._show(State.RECORDING, path=recorder.path)

    def stop_recording(self) -> None:
        """End the recording and screen it; without effect when none is made."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return
        end = recorder.stop()
        if end.error:
            self._show(State.ERROR, path=recorder.path, error=end.error, n_gaps=end.n_gaps)
        else:
            self._screen(recorder.path, end.n_gaps)

    def screen(self, path: Path) -> None:
        """Screen a recording that exists; without effect while one is made or screened."""
        if not self.session.busy:
            self._screen(path, n_gaps=0)

    def check_recording(self) -> None:
        """End a recording whose disk refused or whose microphone fell silent; to be called a few times a second."""
        progress = self.progress
        if progress.error:
            self.stop_recording()
        elif progress.stalled_for_s > STALL_S and self._recorder:
            path = self._recorder.path
            kept = self._recorder.stop()
            self._recorder = None
            self._show(State.ERROR, path=path, error=strings.stalled(STALL_S, kept.duration_s), n_gaps=kept.n_gaps)

    def show_idle(self) -> None:
        """Leave a result or an error; without effect while a recording is made or screened."""
        if not self.session.busy:
            self._show(State.IDLE)

    def close(self) -> None:
        """Finish the file of a recording that is being made, and let the working thread end."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.stop()
        self._jobs.put(None)

    def _screen(self, path: Path, n_gaps: int) -> None:
        self._show(State.SCREENING, path=path, n_gaps=n_gaps)
        self._jobs.put(lambda: self._screen_on_worker(path))

    def _show(self, state: State, **changes: Any) -> None:
        """Enter `state` with nothing of the last recording but what is given; what is known of the bundle stays."""
        self._change(Session(state, bundle=self.session.bundle, bundle_error=self.session.bundle_error, **changes))

    def _change(self, session: Session) -> None:
        self.session = session
        for on_change in self._listeners:
            on_change(session)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _load(self) -> None:
        try:
            self._screener = self._load_screener()
        except Exception as error:
            self._load_error = sentence = _sentence(error)
            self._schedule(lambda: self._refuse_bundle(sentence))
        else:
            bundle = self._screener.bundle
            self._schedule(lambda: self._change(replace(self.session, bundle=bundle)))

    def _screen_on_worker(self, path: Path) -> None:
        try:
            if self._screener is None:
                raise BundleError(strings.no_model(self._load_error))
            screening = self._screener.screen(path)
            result, report = screening.to_json(), describe(screening)
        except Exception as error:
            sentence = _sentence(error)
            self._schedule(lambda: self._finish(State.ERROR, error=sentence))
        else:
            self._schedule(lambda: self._finish(State.RESULT, result=result, report=report))

    def _refuse_bundle(self, sentence: str) -> None:
        self._change(replace(self.session, bundle_error=sentence))
        if not self.session.busy:
            self._show(State.ERROR, error=sentence)

    def _finish(self, state: State, **outcome: Any) -> None:
        self._change(replace(self.session, state=state, **outcome))


def _sentence(error: Exception) -> str:
    """The sentence for the user; the traceback of an error that nobody raised on purpose goes to stderr."""
    if isinstance(error, TussisError):
        return str(error)
    traceback.print_exception(error)
    return strings.unexpected(error)
