"""The only place where the stages of a screening are timed."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

Item = TypeVar("Item")
STAGES = ("decode", "resample", "quality", "model", "events", "probes")


class _Stage:
    """A stage as a ``with`` block, made once: a generator for each entry would cost several percent of a short one."""

    __slots__ = ("_name", "_stopwatch")

    def __init__(self, stopwatch: "Stopwatch", name: str) -> None:
        self._stopwatch, self._name = stopwatch, name

    def __enter__(self) -> None:
        self._stopwatch.enter(self._name)

    def __exit__(self, *_: object) -> None:
        self._stopwatch.leave()


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
        self._spent_s = dict.fromkeys(STAGES, 0.0)
        self._running: list[str] = []
        self._stages = {name: _Stage(self, name) for name in STAGES}
        self._started_s = self._since_s = clock()

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Count the time of the ``with`` block for stage `name`, one of `STAGES`; ValueError for another."""
        if name not in self._spent_s:
            raise ValueError(f"unknown stage {name!r}; expected one of {', '.join(STAGES)}")
        return self._stages[name]

    def enter(self, name: str) -> None:
        """Begin a stage within the one that runs; `stage` is for callers."""
        self._settle()
        self._running.append(name)

    def leave(self) -> None:
        """End the stage that runs; what ran before it goes on."""
        self._settle()
        self._running.pop()

    def iterate(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """Yield `items`, counting only the time that it takes to get each of them for stage `name`."""
        iterator = iter(items)
        while True:
            with self.stage(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    @property
    def timing_ms(self) -> dict[str, float]:
        """Milliseconds of each of `STAGES`, 0.0 where never entered, and ``total``: all since construction."""
        self._settle()
        timing_ms = {name: 1000.0 * spent_s for name, spent_s in self._spent_s.items()}
        timing_ms["total"] = 1000.0 * (self._since_s - self._started_s)
        return timing_ms

    def _settle(self) -> None:
        """Give the time since the last change of stage to the stage that was running."""
        now_s = self._clock()
        if self._running:
            self._spent_s[self._running[-1]] += now_s - self._since_s
        self._since_s = now_s
