"""Watches a participant or a room for hours: coughs by the hour, and of the sound no more than the study keeps."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.casebook import Casebook
from app.cases.kept_sound import OpenSound
from app.devices.microphone import Microphone
from app.recorder import End, Recorder, Sink
from app.sessions.told_state import Schedule, ToldState
from app.sound.around_events import AroundEvents
from app.sound.watching import HourCount, Watching
from app.study import Study
from core.errors import TussisError
from core.screener import Screener

READY, WAITING, WATCHING, STOPPED, ENDING, ENDED = (
    "ready", "waiting_for_sound", "watching", "stopped", "ending", "ended",
)  # fmt: skip
LIVE = (WAITING, WATCHING, STOPPED)
AROUND_EVENTS = "around_events"
SAVED_EVERY_S = 60.0
LISTENER_BLOCKS = 1500  # half a minute
PATIENCE_S = 120.0
NOT_STORED, NOT_SCREENED = "not_stored", "not_screened"


@dataclass(frozen=True)
class MonitoringState:
    """One moment of watching.

    Attributes
    ----------
    step : str
        ``ready``, ``waiting_for_sound``, ``watching``, ``stopped`` (it stands still: `message` tells why; `start` goes
        on with it, `stop` ends it), ``ending``, ``ended``.
    duration_s : float
        Of the time line: what was heard, and long gaps.
    hours : tuple of HourCount
        The last one as it is now.
    coughs : int or None
        In the hours that could be judged; None where none could.
    message : str or None
        A code: of `app.devices.microphone.Fault`, ``disk_full``, ``not_stored``, or ``not_screened`` without a model.
    gaps : int
    lost_s : float
        How much sound was lost, about.
    record_id : str or None
    """

    step: str = READY
    duration_s: float = 0.0
    hours: tuple[HourCount, ...] = ()
    coughs: int | None = None
    message: str | None = None
    gaps: int = 0
    lost_s: float = 0.0
    record_id: str | None = None


class MonitoringSession:
    """One time of watching; every method is for the main thread and returns at once.

    Parameters
    ----------
    casebook : Casebook
    study : Study
        Decides what is kept: nothing, or sound around coughs.
    screener_loader : callable
        As for a `RecordingSession`.
    microphone : Microphone
    participant_id : str
        "" where a room is watched; then no sound is kept.
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
        self._casebook, self._participant_id = casebook, participant_id
        self._keeps_sound = study.monitoring_keeps == AROUND_EVENTS and participant_id != ""
        self._told = ToldState(MonitoringState(), schedule)
        self._sink: _Nothing | AroundEvents | None = None
        self._saved_at_s = time.monotonic()
        self._watching = Watching(screener_loader, study.limits.max_noise_dbfs, self._want, self._save_if_due)
        self._recorder = Recorder(
            microphone, self._open, (self._watching,), on_change=self._follow, listener_blocks=LISTENER_BLOCKS
        )

    @property
    def state(self) -> MonitoringState:
        """The newest state."""
        return self._told.state

    @property
    def is_running(self) -> bool:
        """Whether sound is taken."""
        return self.state.step in (*LIVE, ENDING)

    def subscribe(self, on_state: Callable[[MonitoringState], None]) -> None:
        """Have `on_state` called on the main thread with every new state, and with the present one now."""
        self._told.subscribe(on_state)

    def unsubscribe(self, on_state: Callable[[MonitoringState], None]) -> None:
        """Call it no more."""
        self._told.unsubscribe(on_state)

    def start(self) -> None:
        """Begin, or go on after a fault."""
        with self._told.lock:
            if self.state.step == READY:
                self._told.change(step=WAITING)
                self._recorder.start()
            elif self.state.step in LIVE:
                self._recorder.go_on()

    def stop(self) -> None:
        """End it; what was found is kept."""
        if self.state.step in LIVE:
            self._recorder.stop()

    # ---- from the recorder's threads -----------------------------------------------------------------------------

    def _open(self, rate_hz: int, facts: dict[str, Any]) -> Sink:
        sound = self._casebook.begin_monitoring(self._participant_id, rate_hz if self._keeps_sound else None, facts)
        self._told.change(record_id=sound.record_id)
        self._sink = AroundEvents(sound, rate_hz) if self._keeps_sound else _Nothing(sound)
        return self._sink

    def _want(self, start_s: float, end_s: float) -> None:
        self._sink.want(start_s, end_s)

    def _follow(self) -> None:
        progress = self._recorder.progress
        with self._told.lock:
            if self.state.step not in LIVE:
                return
            step = STOPPED if progress.fault else WATCHING if progress.first_sound else WAITING
            message = progress.fault.value if progress.fault else NOT_SCREENED if self._watching.has_failed else None
            self._told.change(step=step, message=message, **self._figures())
            if progress.is_closed:
                self._told.change(step=ENDING)
                threading.Thread(target=self._end, name="monitoring-end", daemon=True).start()

    def _figures(self) -> dict[str, Any]:
        progress, hours = self._recorder.progress, self._watching.hours
        counts = [hour.coughs for hour in hours if hour.coughs is not None]
        return {
            "duration_s": self._watching.duration_s,
            "hours": hours,
            "coughs": sum(counts) if counts else None,
            "gaps": progress.n_gaps,
            "lost_s": progress.lost_s,
        }

    def _save_if_due(self) -> None:
        """On the listener's thread: so often that a kill loses a minute at most."""
        if time.monotonic() - self._saved_at_s >= SAVED_EVERY_S:
            self._saved_at_s = time.monotonic()
            self._save()

    def _save(self) -> bool:
        record_id, progress = self.state.record_id, self._recorder.progress
        if record_id is None:
            return True
        results = {**self._watching.results(), "gaps": progress.n_gaps, "lost_s": progress.lost_s}
        try:
            self._casebook.save_monitoring(record_id, self._watching.duration_s, results)
        except (TussisError, OSError):
            return False
        return True

    def _end(self) -> None:
        self._recorder.wait(PATIENCE_S)
        message = None if self._save() else NOT_STORED
        end = self._recorder.progress.end
        if end in (End.DISK_FULL, End.NOT_STORED):
            message = end.value
        with self._told.lock:
            self._told.change(step=ENDED, message=message or self.state.message, **self._figures())


class _Nothing:
    """The sink of a study that keeps no sound."""

    def __init__(self, sound: OpenSound) -> None:
        self._sound = sound

    def want(self, start_s: float, end_s: float) -> None:
        """Nothing is kept."""

    def append(self, samples: np.ndarray) -> None:
        """Nothing is kept."""

    def mark_gap(self, lost_s: float) -> None:
        """Nothing is kept."""

    def sync_if_due(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """The record ends here."""
        self._sound.close()
