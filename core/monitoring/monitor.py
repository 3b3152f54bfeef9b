"""Monitors a stream without an end: events as they become final, totals by the hour."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from core.bundle import Bundle, ScreeningSettings
from core.clips import CLIP_S
from core.errors import AudioError, SettingsError
from core.events import Event, EventFinder
from core.interpreter import Interpreter
from core.listening import HeardClip, Listener, check_block, check_sample_rate, is_live
from core.monitoring.gate import Gate, GateSettings
from core.monitoring.hourly_totals import HourlyTotals, HourTotals, Totals
from core.stopwatch import Stopwatch


@dataclass(frozen=True)
class MonitorSettings:
    """The settings of a monitor.

    Attributes
    ----------
    hop_s : float in (0, 2]
        From the start of one 2-second clip to the next; at least a frame of the model's activity, to whose grid each
        start is rounded. At 0.5 s four clips cover each moment.
    gate : GateSettings or None
        Which clips are run; None for all of them.
    """

    hop_s: float = 0.5
    gate: GateSettings | None = field(default_factory=GateSettings)

    def __post_init__(self) -> None:
        if not 0 < self.hop_s <= CLIP_S:
            raise SettingsError(f"the hop is {self.hop_s:g} s; expected more than 0 and at most {CLIP_S:g} s")


@dataclass(frozen=True)
class Findings:
    """The results that became final since the last call: events in the order in which they did, and whole hours.

    ``dead_air`` tells where dead air began (``is_over`` False) and ended (True), seconds from the start.
    """

    events: tuple[Event, ...]
    hours: tuple[HourTotals, ...]
    dead_air: tuple["DeadAirChange", ...] = ()


@dataclass(frozen=True)
class DeadAirChange:
    """Nothing reaches the microphone since ``start_s``; where ``is_over``, until ``end_s``, about now."""

    start_s: float
    end_s: float
    is_over: bool


class Monitor:
    """Hears one stream; use it from one thread.

    Nothing accumulates: events and hours are handed over and forgotten, sound is kept for a few seconds. A cough is
    handed over within about three seconds of its end, another label's event once a clip begins beyond it. What is
    found does not depend on how the stream is cut into blocks.

    Parameters
    ----------
    bundle : Bundle
    interpreter : Interpreter
        What runs the bundle's model.
    sample_rate_hz : int in [4000, 384000]
        Of the stream.
    settings : MonitorSettings or None
    name : str
        What sentences call the stream.
    stopwatch : Stopwatch or None

    Raises
    ------
    AudioError
        If the rate is out of range.
    SettingsError
        If the hop is shorter than a frame of the model's activity.

    Attributes
    ----------
    totals : Totals
        Of the hours that have been handed over.
    """

    def __init__(
        self,
        bundle: Bundle,
        interpreter: Interpreter,
        sample_rate_hz: int,
        settings: MonitorSettings | None = None,
        name: str = "the stream",
        stopwatch: Stopwatch | None = None,
    ):
        check_sample_rate(sample_rate_hz, name)
        self.settings = settings or MonitorSettings()
        step_s = bundle.screening.activity_frame_step_s
        if self.settings.hop_s < step_s:
            raise SettingsError(f"the hop is {self.settings.hop_s:g} s; expected at least a frame, {step_s:g} s")
        self.totals = Totals()
        self._name, self._rate_hz = name, sample_rate_hz
        self._stopwatch = stopwatch or Stopwatch()
        self._hours = HourlyTotals(bundle.event_labels, _settling_s(bundle.screening))
        self._events = EventFinder(bundle.event_labels, bundle.screening)
        admits = is_live if self.settings.gate is None else Gate(self.settings.gate).admits
        self._listener = Listener(
            interpreter, sample_rate_hz, self.settings.hop_s, step_s, self._stopwatch, self._hours, admits
        )
        self._waiting: list[np.ndarray] = []  # less than a hop, so that small blocks cost no more than large ones
        self._n_waiting = self._n_heard = 0
        self._dead_since_s: float | None = None

    def push(self, block: np.ndarray) -> Findings:
        """Take the next samples at the stream's rate, shape (n,), float32 in [-1, 1]; what is final with them.

        Raises
        ------
        AudioError
            If a sample is not a finite number.
        """
        check_block(block, self._name)
        self._waiting.append(np.array(block, np.float32))  # a copy: a microphone may fill the same memory again
        self._n_waiting += len(block)
        if self._n_waiting < self.settings.hop_s * self._rate_hz:
            return Findings((), ())
        return self._take(self._listener.hear(self._joined()))

    def finish(self) -> Findings:
        """End the stream; what is left. AudioError where there was no sample."""
        heard = self._listener.hear(self._joined()) + self._listener.finish()
        if self._n_heard == 0:
            raise AudioError(f"{self._name} holds no samples; expected sound.")
        findings = self._take(heard)
        with self._stopwatch.stage("events"):
            last_events = self._events.finish(self.duration_s)
            for event in last_events:
                self._hours.count_event(event)
        hours = findings.hours + self._handed_over(self._hours.finish())
        return Findings(findings.events + last_events, hours, findings.dead_air)

    def listen(self, blocks: Iterable[np.ndarray]) -> Iterator[Findings]:
        """Push blocks one by one, the time to get them counted as ``decode``, then finish; findings that hold any."""
        for block in self._stopwatch.iterate("decode", blocks):
            findings = self.push(block)
            if findings.events or findings.hours or findings.dead_air:
                yield findings
        yield self.finish()

    @property
    def duration_s(self) -> float:
        """Length of the stream so far."""
        return self._n_heard / self._rate_hz

    @property
    def timing_ms(self) -> dict[str, float]:
        """Milliseconds of each stage and in total, as `Stopwatch.timing_ms`; the gate's are part of ``quality``."""
        return self._stopwatch.timing_ms

    def _joined(self) -> np.ndarray:
        joined = np.concatenate([np.zeros(0, np.float32), *self._waiting])
        self._waiting, self._n_waiting = [], 0
        self._n_heard += len(joined)
        return joined

    def _take(self, heard: list[HeardClip]) -> Findings:
        with self._stopwatch.stage("events"):
            for clip in heard:
                self._hours.count_clip(clip.start_s, clip.is_gated)
                if clip.is_gated:
                    self._events.pass_over(clip.start_s)
                else:
                    self._events.push(clip.window)
            events = self._events.release()
            for event in events:
                self._hours.count_event(event)
            hours = self._hours.close_before(heard[-1].start_s) if heard else []
        return Findings(events, self._handed_over(hours), self._dead_air())

    def _dead_air(self) -> tuple[DeadAirChange, ...]:
        """What changed: dead air that was found, or its end."""
        since_s = self._hours.dead_since_s
        if (since_s is None) == (self._dead_since_s is None):
            return ()
        change = DeadAirChange(self._dead_since_s or since_s or 0.0, self.duration_s, is_over=since_s is None)
        self._dead_since_s = since_s
        return (change,)

    def _handed_over(self, hours: list[HourTotals]) -> tuple[HourTotals, ...]:
        for hour in hours:
            self.totals += hour
        return tuple(hours)


def _settling_s(screening: ScreeningSettings) -> float:
    """How far beyond an event's end a clip has to start before the event is sure to be known."""
    return screening.merge_gap_s + screening.max_event_s + 2 * screening.activity_frame_step_s + CLIP_S
