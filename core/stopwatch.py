"""Times the stages of a screening, and sums up the times of many."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
PERCENTILES = (50, 90, 95, 99)
STAGES = ("decode", "resample", "quality", "model", "events", "probes")


class _Stage:
    """A stage as a ``with`` block, made once, and all that is done while its time runs is two readings of the clock.

    A generator for each entry, or calls within calls, would cost several percent of a short stage.
    """

    __slots__ = ("_clock", "_stopwatch", "spent_s")

    def __init__(self, stopwatch: "Stopwatch", clock: Callable[[], float]) -> None:
        self._stopwatch, self._clock, self.spent_s = stopwatch, clock, 0.0

    def __enter__(self) -> None:
        stopwatch = self._stopwatch
        outer = stopwatch.running[-1]
        stopwatch.running.append(self)
        now_s = self._clock()
        outer.spent_s += now_s - stopwatch.since_s
        stopwatch.since_s = now_s

    def __exit__(self, *_: object) -> None:
        now_s, stopwatch = self._clock(), self._stopwatch
        self.spent_s += now_s - stopwatch.since_s
        stopwatch.since_s = now_s
        stopwatch.running.pop()


class Stopwatch:
    """Adds up the time spent in each stage; stages may be entered again and may be nested.

    Time in an inner stage counts for that stage only, so the stages never add up to more than the total.

    Parameters
    ----------
    clock : callable
        Returns seconds, never going back; replaced in tests.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._stages = {name: _Stage(self, clock) for name in STAGES}
        self._outside = _Stage(self, clock)  # what is spent in no stage
        self.running = [self._outside]
        self.since_s = clock()

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Count the time of the ``with`` block for stage `name`, one of `STAGES`; ValueError for another."""
        if name not in self._stages:
            raise ValueError(f"unknown stage {name!r}; expected one of {', '.join(STAGES)}")
        return self._stages[name]

    def resume(self) -> None:
        """Leave out the time since a stage last ran: nothing was there to do."""
        self.since_s = self._clock()

    def iterate(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """Yield `items`, counting only the time that it takes to get each of them for stage `name`."""
        return _timed(items, self.stage(name))

    def iterate_ahead(self, items: Iterable[Item], ahead: "Stopwatch") -> Iterator[Item]:
        """Yield `items` that a thread makes, the time that they are waited for divided among its stages.

        `ahead` has timed that thread: a stage that took half of its time counts for half of the waiting.
        """
        waiting = _Stage(self, self._clock)
        yield from _timed(items, waiting)
        spent_s = sum(stage.spent_s for stage in ahead._stages.values())
        for name, stage in ahead._stages.items():
            self._stages[name].spent_s += waiting.spent_s * stage.spent_s / spent_s if spent_s else 0.0

    @property
    def timing_ms(self) -> dict[str, float]:
        """Milliseconds of each of `STAGES`, 0.0 where never entered, and ``total``: all since construction."""
        with self._outside:  # brings the stage that runs up to now
            pass
        timing_ms = {name: 1000.0 * stage.spent_s for name, stage in self._stages.items()}
        timing_ms["total"] = sum(timing_ms.values()) + 1000.0 * self._outside.spent_s
        return timing_ms


def _timed(items: Iterable[Item], stage: AbstractContextManager[None]) -> Iterator[Item]:
    iterator = iter(items)
    while True:
        with stage:
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def timing_metrics(samples_ms: Sequence[float] | np.ndarray, audio_s: float | None = None) -> dict[str, float]:
    """Percentiles, mean, smallest and largest of times in milliseconds; the real-time factor where there is audio."""
    values = np.asarray(samples_ms, np.float64)
    metrics = {f"p{which}_ms": float(np.percentile(values, which)) for which in PERCENTILES}
    metrics |= {"min_ms": float(values.min()), "max_ms": float(values.max()), "mean_ms": float(values.mean())}
    if audio_s:
        metrics["rtf"] = metrics["p50_ms"] / 1000 / audio_s
    return metrics
