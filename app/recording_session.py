"""Leads one participant through a study's tasks: records, judges, and keeps what was decided."""

import contextlib
import queue
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.casebook import Casebook
from app.cases.kept_sound import OpenSound
from app.coach import COUGHS, ROOM_NOISE, Advice, Coach, Verdict
from app.devices.microphone import Microphone
from app.recorder import FLOOR_DBFS, End, Recorder, RecordingProgress
from app.sessions.task_places import TaskPlaces, left_open, room_noise_dbfs
from app.sessions.told_state import Schedule, ToldState
from app.sound.hearing import ColumnRing, Hearing, screen_kept
from app.sound.spectrogram import N_ROWS
from app.study import Study
from core.errors import TussisError
from core.results import Screening
from core.screener import Screener

LISTENERS_PATIENCE_S = 120.0  # for a model that is still loading
READY, WAITING, RECORDING, JUDGING = "ready", "waiting_for_sound", "recording", "judging"
DECIDE, DONE, STOPPED, ABANDONED = "decide", "done", "stopped", "abandoned"
LIVE = (WAITING, RECORDING, STOPPED)  # while a recording is made
NOT_STORED = "not_stored"


@dataclass(frozen=True, eq=False)
class SessionState:
    """One moment of a session; the session replaces it, nobody changes it.

    Attributes
    ----------
    step : str
        ``ready`` (to record), ``waiting_for_sound``, ``recording``, ``stopped`` (the recording stands still: `message`
        tells why; `start` goes on with it, `stop` ends it), ``judging``, ``decide``, ``done`` (all tasks), or
        ``abandoned``.
    task : Task
        Of the study; the last one when done.
    round, attempt : int
        From 1 on.
    elapsed_s : float
        Length of what was recorded: it stands while no sound arrives.
    level_dbfs : float
    n_columns : int
        Of the spectrogram, so far: see `RecordingSession.columns_from`.
    coughs : int or None
        So far while recording; the verdict's after. None where they are not counted.
    advice : Advice
    verdict : Verdict or None
        From ``decide`` on.
    screening : dict or None
        The screening as JSON, from ``decide`` on.
    record_id : str or None
        Of the attempt that is made or decided on.
    message : str or None
        A code: of `app.devices.microphone.Fault`, of `app.recorder.End` where it ended by itself for want of space, or
        ``not_stored``.
    gaps : int
        Places where sound was lost.
    """

    step: str
    task: Any
    round: int = 1
    attempt: int = 1
    elapsed_s: float = 0.0
    level_dbfs: float = FLOOR_DBFS
    n_columns: int = 0
    coughs: int | None = None
    advice: Advice = Advice.GET_READY
    verdict: Verdict | None = None
    screening: dict[str, Any] | None = None
    record_id: str | None = None
    message: str | None = None
    gaps: int = 0


OnState = Callable[[SessionState], None]


class RecordingSession:
    """One participant's tasks; every method is for the main thread and returns at once.

    All that can take time runs on threads: the recorder's, and one that judges and stores in order. A subscriber is
    called through `schedule` with the newest state, at most about 20 times a second. What makes a recording safe never
    waits for `schedule`.

    Parameters
    ----------
    casebook : Casebook
    study : Study
    screener_loader : callable
        Returns the `Screener`, and waits for it where it is still loading; called on a listener's thread. May raise
        `TussisError`: then recordings are kept and not judged.
    microphone : Microphone
    participant_id : str
    schedule : callable
        Takes a function of no arguments, from any thread, and has the main thread call it.
    """

    def __init__(
        self,
        casebook: Casebook,
        study: Study,
        screener_loader: Callable[[], Screener],
        microphone: Microphone,
        participant_id: str,
        schedule: Schedule,
    ) -> None:
        self._casebook, self._study, self._screener_loader = casebook, study, screener_loader
        self._microphone, self._participant_id = microphone, participant_id
        attempts = list(casebook.attempts(participant_id))
        self._places = TaskPlaces(study.tasks, attempts)
        self._room_noise_dbfs = room_noise_dbfs(study.tasks, attempts)
        self._run: _Run | _LeftOpen | None = None
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._told = ToldState(self._ready_state(), schedule)
        self._lock = self._told.lock
        unfinished = [attempt for attempt in casebook.unfinished() if attempt.participant_id == participant_id]
        self._take_up(left_open(self._places.present, unfinished))
        threading.Thread(target=self._work, name="session", daemon=True).start()

    def _take_up(self, attempt: Any | None) -> None:
        """Judge what is left of an attempt that a kill ended, so that it can be kept or done again."""
        if attempt is None:
            return
        self._run = run = _LeftOpen(self, self.state.task, attempt)
        self._change(
            step=JUDGING,
            attempt=attempt.number,
            elapsed_s=attempt.duration_s,
            record_id=attempt.record_id,
            gaps=len(attempt.gaps),
        )
        self._jobs.put(lambda: self._judge(run))

    # ---- for the screens -----------------------------------------------------------------------------------------

    @property
    def state(self) -> SessionState:
        """The newest state."""
        return self._told.state

    def subscribe(self, on_state: OnState) -> None:
        """Have `on_state` called on the main thread with every new state, and with the present one now."""
        self._told.subscribe(on_state)

    def unsubscribe(self, on_state: OnState) -> None:
        """Call it no more."""
        self._told.unsubscribe(on_state)

    def start(self) -> None:
        """Begin a recording of the present task; after a fault, go on with the one that is made."""
        with self._lock:
            if self.state.step in LIVE and isinstance(self._run, _Run):
                self._run.recorder.go_on()
            elif self.state.step == READY:
                self._run = run = _Run(self, self.state)
                self._change(step=WAITING, message=None)
                run.recorder.start()

    def stop(self) -> None:
        """End the recording that is made; it is judged next."""
        if isinstance(self._run, _Run) and self.state.step in LIVE:
            self._run.recorder.stop()

    def keep(self) -> None:
        """Keep the attempt and go to the next round or task."""
        self._decide("kept")

    def keep_with_reason(self, reason: str) -> None:
        """Keep an attempt that is not good, with why."""
        self._decide("kept_with_reason", reason)

    def redo(self) -> None:
        """Do the round again; the attempt stays in the record."""
        self._decide("redone")

    def next_task(self) -> None:
        """Leave what is left of the present task out; not while something is recorded or waits for a decision."""
        with self._lock:
            if self.state.step == READY:
                self._places.skip_task()
                self._show(self._ready_state())

    def abandon(self) -> None:
        """End the session. A recording that is made is closed and stays, unfinished."""
        with self._lock:
            if isinstance(self._run, _Run):
                self._run.recorder.stop()
            self._change(step=ABANDONED)
            self._jobs.put(None)

    def wait(self, limit_s: float) -> bool:
        """Wait until an abandoned session has closed its recording; not for the main thread."""
        run = self._run
        return not isinstance(run, _Run) or run.recorder.wait(limit_s)

    @property
    def n_steps(self) -> int:
        """Rounds of all tasks."""
        return self._places.n_rounds

    @property
    def n_done(self) -> int:
        """Rounds that are kept or were left out."""
        return self._places.n_rounds - self._places.n_left

    def columns_from(self, number: int) -> np.ndarray:
        """The spectrogram's columns from `number` on, uint8, shape (n, 48), lowest frequency first, 25 a second.

        Of a recording that is made or decided on; those of more than ten seconds ago are gone.
        """
        run = self._run
        return np.zeros((0, N_ROWS), np.uint8) if run is None else run.columns.since(number)

    # ---- from the recorder's threads -----------------------------------------------------------------------------

    def _follow(self, run: "_Run") -> None:
        """Called about 20 times a second while a recording is made, and once after its end."""
        progress = run.recorder.progress
        with self._lock:
            if run is not self._run:
                return
            if self.state.step not in LIVE:
                if progress.fault is not None:  # a microphone that hangs as it is closed
                    self._change(message=progress.fault.value)
                return
            self._change(**run.figures(progress, self.state.message))
            if progress.is_closed:
                self._change(step=JUDGING)
                self._jobs.put(lambda: self._judge(run))

    # ---- on the session's own thread -----------------------------------------------------------------------------

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:  # a casebook that refuses: what was recorded stays on the disk
                if not isinstance(error, TussisError | OSError):
                    traceback.print_exception(error)
                with self._lock:
                    self._change(message=NOT_STORED)

    def _judge(self, run: "_Run | _LeftOpen") -> None:
        if run.record_id is None:  # nothing was recorded
            with self._lock:
                self._show(replace(self._ready_state(), message=run.end_message or self.state.message))
            return
        screening, verdict = run.judged()
        with self._lock:
            self._change(
                step=DECIDE,
                verdict=verdict,
                screening=None if screening is None else screening.to_json(),
                coughs=verdict.coughs,
                n_columns=run.columns.n_columns,
                message=run.end_message or self.state.message,
            )

    def _decide(self, state: str, reason: str = "") -> None:
        with self._lock:
            run, decided = self._run, self.state
            if decided.step != DECIDE or run is None:
                return
            self._change(step=JUDGING, message=None)
        self._jobs.put(lambda: self._store(run, decided, state, reason))

    def _store(self, run: "_Run | _LeftOpen", decided: SessionState, state: str, reason: str) -> None:
        try:
            self._casebook.finish_attempt(
                decided.record_id, decided.screening, decided.verdict.to_json(), state, reason
            )
        except Exception:
            with self._lock:
                self._show(decided)
            raise
        with self._lock:
            if decided.task.kind == ROOM_NOISE and decided.verdict.noise_dbfs is not None:
                self._room_noise_dbfs = decided.verdict.noise_dbfs
            self._places.note(state, is_new=isinstance(run, _Run))
            self._run = None
            self._show(self._ready_state())

    # ---- state ---------------------------------------------------------------------------------------------------

    def _ready_state(self) -> SessionState:
        place = self._places.present
        if place is None:
            return SessionState(DONE, self._study.tasks[-1])
        return SessionState(READY, place.task, place.round, place.attempt)

    def _change(self, **changes: Any) -> None:
        with self._lock:
            self._show(replace(self.state, **changes))

    def _show(self, state: SessionState) -> None:
        with self._lock:
            if self.state.step != ABANDONED:
                self._told.show(state)


class _Run:
    """One recording of a session, from start to its judgement."""

    def __init__(self, session: RecordingSession, state: SessionState) -> None:
        self._session, self._state = session, state
        self.record_id: str | None = None
        self._coach = Coach(session._study.limits, state.task, session._room_noise_dbfs)
        self.columns = ColumnRing(self._coach)
        self._hearing = Hearing(session._screener_loader, self._coach)
        self.recorder = Recorder(
            session._microphone,
            self._open,
            (self.columns, self._hearing),
            max_s=state.task.duration_s,
            on_change=lambda: session._follow(self),
        )

    def _open(self, rate_hz: int, facts: dict[str, Any]) -> OpenSound:
        state, session = self._state, self._session
        attempt = session._casebook.begin_attempt(session._participant_id, state.task.id, state.round, rate_hz, facts)
        self.record_id = attempt.record_id
        return attempt

    @property
    def end_message(self) -> str | None:
        """Why it ended, where that has to be told."""
        end = self.recorder.progress.end
        return end.value if end in (End.DISK_FULL, End.NOT_STORED) else None

    def figures(self, progress: RecordingProgress, before: str | None) -> dict[str, Any]:
        """What the session's state tells of the recording; the message `before` its end stays."""
        self._coach.has_gaps = progress.n_gaps > 0
        return {
            "step": STOPPED if progress.fault else RECORDING if progress.first_sound else WAITING,
            "elapsed_s": progress.duration_s,
            "level_dbfs": progress.rms_dbfs,
            "n_columns": self.columns.n_columns,
            "coughs": self._hearing.cough_count if self._state.task.kind == COUGHS else None,
            "advice": self._coach.advice if progress.first_sound else Advice.GET_READY,
            "record_id": self.record_id,
            "message": progress.fault.value if progress.fault else before if progress.end else None,
            "gaps": progress.n_gaps,
        }

    def judged(self) -> tuple[Screening | None, Verdict]:
        """The screening and the verdict, of what can be read from the disk where the disk refused."""
        is_heard = self.recorder.wait(LISTENERS_PATIENCE_S)
        if self.recorder.progress.failure is not None:
            return _judged_again(self._session, self._state.task, self.record_id, self._coach.has_gaps)
        screening = self._hearing.screening if is_heard else None
        return screening, self._coach.verdict(screening)


class _LeftOpen:
    """An attempt that a kill ended, of which nothing was decided."""

    end_message = None

    def __init__(self, session: RecordingSession, task: Any, attempt: Any) -> None:
        self._session, self._task, self._attempt = session, task, attempt
        self.record_id = attempt.record_id
        self.columns = ColumnRing(Coach(session._study.limits, task))

    def judged(self) -> tuple[Screening | None, Verdict]:
        """The screening and the verdict of what can be read."""
        return _judged_again(self._session, self._task, self.record_id, bool(self._attempt.gaps))


def _judged_again(
    session: RecordingSession, task: Any, record_id: str, has_gaps: bool
) -> tuple[Screening | None, Verdict]:
    """The screening and the verdict of what the disk holds of a recording."""
    coach = Coach(session._study.limits, task, session._room_noise_dbfs)
    coach.has_gaps = has_gaps
    screening = None
    with contextlib.suppress(TussisError):  # nothing can be read of it
        screening = screen_kept(session._casebook.audio(record_id), session._screener_loader, coach)
    return screening, coach.verdict(screening)
