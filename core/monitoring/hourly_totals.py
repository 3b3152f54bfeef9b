"""Counts the events of a stream hour by hour; an hour that cannot be judged has no count."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from core.audio import SAMPLE_RATE_HZ
from core.events import Event
from core.quality import Quality, QualityMeter

HOUR_S = 3600.0
MEASURED_SAMPLES = 2 * SAMPLE_RATE_HZ  # at once, because measuring half seconds costs twice as much


@dataclass(frozen=True)
class HourTotals:
    """The counts of one hour of a stream, or of the part of it before the stream ended.

    ``event_counts`` is by label; an event counts in the hour in which it ends. It is None where the hour's quality is
    not acceptable: *unscored*, which is not "no cough". The model was not run on a gated clip, because its level was
    measured and nothing stood out. It counts as heard without an event. Dead air (``quality.dead_s``, and by minute in
    ``dead_s_by_minute``) was not heard and is not scored.
    """

    start_s: float
    duration_s: float
    quality: Quality
    event_counts: Mapping[str, int] | None
    n_clips_run: int
    n_clips_gated: int
    dead_s_by_minute: tuple[int, ...] = ()

    @property
    def scored_s(self) -> float:
        """Time that the counts are of."""
        return 0.0 if self.event_counts is None else self.duration_s - self.quality.dead_s

    def to_json(self) -> dict[str, Any]:
        """The hour's object in the contract."""
        counts = None if self.event_counts is None else dict(self.event_counts)
        return {**asdict(self), "scored_s": self.scored_s, "event_counts": counts}


@dataclass(frozen=True)
class Totals:
    """Sums over the hours of a stream; ``event_counts`` is None where no hour could be scored.

    ``scored_s`` is the time that the counts are of, ``unscored_s`` that of dead air and of hours that could not be
    scored.
    """

    scored_s: float = 0.0
    unscored_s: float = 0.0
    event_counts: Mapping[str, int] | None = None
    n_clips_run: int = 0
    n_clips_gated: int = 0

    def __add__(self, hour: HourTotals) -> "Totals":
        is_scored = hour.event_counts is not None
        counts = self.event_counts
        if is_scored:
            counts = {label: n + (counts or {}).get(label, 0) for label, n in hour.event_counts.items()}
        return Totals(
            scored_s=self.scored_s + hour.scored_s,
            unscored_s=self.unscored_s + hour.duration_s - hour.scored_s,
            event_counts=counts,
            n_clips_run=self.n_clips_run + hour.n_clips_run,
            n_clips_gated=self.n_clips_gated + hour.n_clips_gated,
        )

    @property
    def gated_share(self) -> float | None:
        """Gated clips over all clips; None before the first clip."""
        n_clips = self.n_clips_run + self.n_clips_gated
        return self.n_clips_gated / n_clips if n_clips else None

    def per_hour(self, label: str) -> float | None:
        """Events of a label in an hour of scored time; None where none was scored."""
        return self.event_counts[label] / (self.scored_s / HOUR_S) if self.event_counts is not None else None


@dataclass
class _OpenHour:
    counts: dict[str, int]
    meter: QualityMeter
    unmeasured: list[np.ndarray] = field(default_factory=list)
    n_unmeasured: int = 0
    n_samples: int = 0
    n_run: int = 0
    n_gated: int = 0

    def take(self, samples: np.ndarray) -> None:
        self.unmeasured.append(samples)
        self.n_unmeasured += len(samples)
        self.n_samples += len(samples)
        if self.n_unmeasured >= MEASURED_SAMPLES:
            self.measure()

    def measure(self) -> None:
        if self.unmeasured:
            self.meter.push(np.concatenate(self.unmeasured))
        self.unmeasured, self.n_unmeasured = [], 0


class HourlyTotals:
    """Counts samples, clips and events into hours and gives each hour once nothing can be added to it.

    Parameters
    ----------
    labels : tuple of str
    settling_s : float
        How long after its end an event may still become known, at most: an hour is open for so long after its end.
    hour_s : float
        Its length, a whole number of samples at 16 kHz.
    """

    def __init__(self, labels: tuple[str, ...], settling_s: float, hour_s: float = HOUR_S) -> None:
        self._labels, self._settling_s, self._hour_s = labels, settling_s, hour_s
        self._hour_samples = round(hour_s * SAMPLE_RATE_HZ)
        self._first = 0  # number of the oldest open hour
        self._n_passed = 0
        self._open: deque[_OpenHour] = deque()

    @property
    def dead_since_s(self) -> float | None:
        """Where the dead air began that lasts until now, or its part in this hour; None where there is sound."""
        if not self._open or (since_s := self._open[-1].meter.dead_air.since_s) is None:
            return None
        return (self._first + len(self._open) - 1) * self._hour_s + since_s

    def push(self, block: np.ndarray) -> None:
        """Take the next samples at 16 kHz, shape (n,), of which quality is judged; they must not be changed after."""
        while len(block):
            if not self._open or self._open[-1].n_samples == self._hour_samples:
                if self._open:
                    self._open[-1].measure()
                was_dead = self.dead_since_s is not None
                self._open.append(_OpenHour(dict.fromkeys(self._labels, 0), QualityMeter(was_dead)))
            hour = self._open[-1]
            taken = block[: self._hour_samples - hour.n_samples]
            hour.take(taken)
            block = block[len(taken) :]

    def push_passed(self, block: np.ndarray) -> None:
        """Take the next samples behind the high-pass, shape (n,); none comes before its own from `push`."""
        while len(block):
            number, place = divmod(self._n_passed, self._hour_samples)
            taken = block[: self._hour_samples - place]
            self._hour(number).meter.push_passed(taken)
            self._n_passed += len(taken)
            block = block[len(taken) :]

    def count_clip(self, start_s: float, is_gated: bool) -> None:
        """Count a clip in the hour in which it starts."""
        hour = self._hour(int(start_s // self._hour_s))
        hour.n_gated += is_gated
        hour.n_run += not is_gated

    def count_event(self, event: Event) -> None:
        """Count an event in the hour in which it ends."""
        self._hour(math.ceil(event.end_s / self._hour_s) - 1).counts[event.label] += 1

    def close_before(self, start_s: float) -> list[HourTotals]:
        """The hours that are complete when the newest clip starts at `start_s`."""
        closed = []
        while (self._first + 1) * self._hour_s + self._settling_s <= start_s:
            closed.append(self._close())
        return closed

    def finish(self) -> list[HourTotals]:
        """The hours that are left; the stream has ended."""
        return [self._close() for _ in range(len(self._open))]

    def _hour(self, number: int) -> _OpenHour:
        return self._open[min(max(number - self._first, 0), len(self._open) - 1)]

    def _close(self) -> HourTotals:
        hour, start_s = self._open.popleft(), self._first * self._hour_s
        self._first += 1
        hour.measure()
        quality = hour.meter.verdict()
        is_scored = quality.acceptable and quality.dead_s < hour.n_samples / SAMPLE_RATE_HZ
        return HourTotals(
            start_s=start_s,
            duration_s=hour.n_samples / SAMPLE_RATE_HZ,
            quality=quality,
            event_counts=hour.counts if is_scored else None,
            n_clips_run=hour.n_run,
            n_clips_gated=hour.n_gated,
            dead_s_by_minute=tuple(hour.meter.dead_air.by_minute_s()),
        )
