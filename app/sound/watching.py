"""Hears a stream without an end: coughs by the hour, and how noisy each hour was."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import numpy as np

from app.sound.around_events import filled_s
from app.sound.hearing import to_float
from app.sound.spectrogram import TINY, Spectrogram
from core.bundle import COUGH
from core.errors import TussisError
from core.monitoring.hourly_totals import HOUR_S, HourTotals
from core.monitoring.monitor import Findings, Monitor
from core.screener import Screener

LEVELS_DBFS = np.arange(-120, 21)  # edges of the histogram of an hour's levels


@dataclass(frozen=True)
class HourCount:
    """One hour of watching, or what there is of it.

    ``coughs`` is None where it cannot be judged, for noise or because nothing reached the microphone: never "no cough".
    ``scored_s`` is the time that the count is of, ``noise_dbfs`` the hour's median level from 300 to 4800 Hz.
    """

    number: int
    scored_s: float
    coughs: int | None
    noise_dbfs: float | None = None


@dataclass
class _OpenHour:
    coughs: int = 0
    n_samples: int = 0
    levels: np.ndarray = field(default_factory=lambda: np.zeros(len(LEVELS_DBFS) + 1, np.int64))

    @property
    def noise_dbfs(self) -> float | None:
        counts = np.cumsum(self.levels)
        if not counts[-1]:
            return None
        return float(LEVELS_DBFS[min(int(np.searchsorted(counts, counts[-1] / 2)), len(LEVELS_DBFS) - 1)])


class Watching:
    """A recorder's listener; sound is forgotten within seconds, and memory does not grow but by one line an hour.

    Parameters
    ----------
    screener_loader : callable
    max_noise_dbfs : float
        The study's: an hour that is noisier has no count.
    want : callable
        Takes start and end of each cough, seconds from the beginning.
    on_find : callable
        Called when a cough or an hour was found, and about every second.
    """

    def __init__(
        self,
        screener_loader: Callable[[], Screener],
        max_noise_dbfs: float,
        want: Callable[[float, float], None],
        on_find: Callable[[], None],
    ) -> None:
        self._screener_loader, self._max_noise_dbfs = screener_loader, max_noise_dbfs
        self._want, self._on_find = want, on_find
        self._monitor: Monitor | None = None
        self._spectrogram: Spectrogram | None = None
        self._open: dict[int, _OpenHour] = {}
        self._closed: tuple[HourCount, ...] = ()
        self._n_samples = self._rate_hz = 0
        self.has_failed = False

    @property
    def hours(self) -> tuple[HourCount, ...]:
        """All hours so far, the last one as it is now."""
        numbers = range(len(self._closed), max(self._open, default=-1) + 1)
        return self._closed + tuple(self._count(number) for number in numbers)

    @property
    def duration_s(self) -> float:
        """Length of the time line so far."""
        return self._n_samples / self._rate_hz if self._rate_hz else 0.0

    def miss(self, lost_s: float) -> None:
        """A long gap is dead air: it counts as time that was not heard."""
        if self._monitor is None:
            return
        for _ in range(round(filled_s(lost_s))):
            self._take(np.zeros(self._rate_hz, np.float32))

    def hear(self, samples: np.ndarray, sample_rate_hz: int) -> None:
        """Take int16 samples; waits for the screener the first time."""
        if self.has_failed:
            return
        if self._monitor is None:
            try:
                screener = self._screener_loader()
            except TussisError:
                self.has_failed = True
                return
            self._rate_hz, self._spectrogram = sample_rate_hz, Spectrogram(sample_rate_hz)
            self._monitor = Monitor(screener.bundle, screener.interpreter, sample_rate_hz)
        sound = to_float(samples)
        hour = self._hour(int(self.duration_s // HOUR_S))
        hour.n_samples += len(samples)
        powers = self._spectrogram.push(sound).band_powers.sum(axis=1)
        levels = np.searchsorted(LEVELS_DBFS, 10 * np.log10(powers + TINY))
        hour.levels += np.bincount(levels, minlength=len(hour.levels))
        self._take(sound)

    def finish(self) -> None:
        """End the last hour."""
        if self._monitor is not None:
            self._note(self._monitor.finish())

    def results(self) -> dict[str, Any]:
        """Plain values, as a casebook keeps them."""
        hours = [
            {"number": one.number, "scored_s": one.scored_s, "coughs": one.coughs, "noise_dbfs": one.noise_dbfs}
            for one in self.hours
        ]
        return {"hours": hours}

    def _take(self, sound: np.ndarray) -> None:
        whole_s = int(self.duration_s)
        self._n_samples += len(sound)
        findings = self._monitor.push(sound)
        self._note(findings)
        if findings.events or findings.hours or int(self.duration_s) > whole_s:
            self._on_find()

    def _note(self, findings: Findings) -> None:
        for event in findings.events:
            if event.label == COUGH:
                self._want(event.start_s, event.end_s)
                self._hour(max(0, ceil(event.end_s / HOUR_S) - 1)).coughs += 1
        for totals in findings.hours:
            self._close(totals)

    def _close(self, totals: HourTotals) -> None:
        number = round(totals.start_s / HOUR_S)
        count = replace(self._count(number), scored_s=totals.scored_s)
        if totals.event_counts is None:
            count = replace(count, coughs=None, scored_s=0.0)
        self._open.pop(number, None)
        self._closed += (count,)

    def _count(self, number: int) -> HourCount:
        hour = self._open.get(number, _OpenHour())
        noise_dbfs = hour.noise_dbfs
        is_hidden = noise_dbfs is None or noise_dbfs > self._max_noise_dbfs
        scored_s = hour.n_samples / max(1, self._rate_hz)
        return HourCount(number, scored_s, None if is_hidden else hour.coughs, noise_dbfs)

    def _hour(self, number: int) -> _OpenHour:
        return self._open.setdefault(number, _OpenHour())
