"""The only place that lets a monitor listen for minutes on end and notes what each block of sound cost meanwhile."""

import time
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.results.device import fastest_clock_mhz, thermal_zones
from benchmarks.workstation.monitoring import resident_bytes
from core.monitoring.monitor import Monitor

BLOCK_S = 1.0  # two hops: on the grid of activity frames one alone is 0.48 s and 0.52 s in turns
N_PARTS = 10
POINT_S = 10.0
WARM_UP_BLOCKS = 10

Point = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """A tenth of the time: seconds from the start to its beginning and end, seconds of each block, and points."""

    begin_s: float
    end_s: float
    times_s: np.ndarray
    points: list[Point]

    @property
    def audio_s_per_s(self) -> float:
        """Seconds of sound that were heard in a second."""
        return len(self.times_s) * BLOCK_S / (self.end_s - self.begin_s)


def paced(blocks: Iterable[np.ndarray], block_s: float) -> Iterator[np.ndarray]:
    """Yield each block when a microphone would have recorded its last sample, at once where that is past."""
    start_s = time.perf_counter()
    for number, block in enumerate(blocks, 1):
        if (wait_s := start_s + number * block_s - time.perf_counter()) > 0:
            time.sleep(wait_s)
        yield block


def warm_up(monitor: Monitor, blocks: Iterator[np.ndarray]) -> None:
    """Hear the first blocks unmeasured: the model runs from the third on."""
    for _ in range(WARM_UP_BLOCKS):
        monitor.push(next(blocks))


def listen(monitor: Monitor, blocks: Iterator[np.ndarray], seconds: float) -> Iterator[Part]:
    """Let the monitor hear blocks for `seconds` of the clock; its tenths, each as soon as it is over."""
    start_s = time.perf_counter()
    for number in range(1, N_PARTS + 1):
        yield _hear_until(monitor, blocks, start_s, start_s + seconds * number / N_PARTS)


def _hear_until(monitor: Monitor, blocks: Iterator[np.ndarray], start_s: float, end_s: float) -> Part:
    times_s, points = array("d"), []  # eight bytes a block, so that noting times is not seen as growth
    begin_s = now_s = time.perf_counter()
    since, point_s = 0, min(POINT_S, end_s - begin_s)
    point_due_s = begin_s + point_s
    while now_s < end_s or not times_s:
        block = next(blocks)
        pushed_s = time.perf_counter()
        monitor.push(block)
        now_s = time.perf_counter()
        times_s.append(now_s - pushed_s)
        if now_s >= min(point_due_s, end_s):
            points.append(_point(now_s - start_s, times_s[since:]))
            since, point_due_s = len(times_s), point_due_s + point_s
    return Part(begin_s - start_s, now_s - start_s, np.array(times_s), points)


def _point(at_s: float, times_s: array) -> Point:
    """Latency of the last seconds, and memory, heat and clock as they are now; None for what cannot be read."""
    p50_ms, p99_ms = (1000 * float(its) for its in np.percentile(times_s, (50, 99)))
    return {
        "at_s": round(at_s, 3),
        "p50_ms": p50_ms,
        "p99_ms": p99_ms,
        "resident_bytes": resident_bytes(),
        "clock_mhz": fastest_clock_mhz(),
        "temperatures_c": thermal_zones() or None,
    }
