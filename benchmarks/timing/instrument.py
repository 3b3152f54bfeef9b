"""The only place that measures what measuring costs: the loop around an empty run, and the stopwatch's stages."""

import time
from dataclasses import dataclass

import numpy as np

from benchmarks.timing.interleaved import Contender, Timing
from core.stopwatch import Stopwatch

MAX_SHARE = 0.02
NOTHING = "nothing"
N_REPEATS, N_ENTRIES = 9, 500


@dataclass(frozen=True)
class Instrument:
    """Seconds: of an empty run in the loop; of entering a stage, in all and as far as that stage is charged with it."""

    empty_run_s: float
    stage_entry_s: float
    charged_entry_s: float

    def share_of_run(self, p50_s: float, n_entries: int = 0) -> float:
        """Share of a run's time that the loop and `n_entries` entries of stages take."""
        return (self.empty_run_s + n_entries * self.stage_entry_s) / p50_s

    def share_of_stage(self, p50_s: float, n_entries: int) -> float:
        """Share of a stage's time in a screening that is the stopwatch's own; 0 for a stage that took no time."""
        return n_entries * self.charged_entry_s / p50_s if p50_s else 0.0


def empty_contender() -> Contender:
    """A run that does nothing, timed in turns with all others."""
    return Contender(NOTHING, lambda: None, None, None, {})


def measure_instrument(empty: Timing) -> Instrument:
    """What the loop cost, by the times of `empty_contender`, and what the stopwatch costs here and now; medians."""
    whole_s, charged_s = zip(*(_stage_entry_s() for _ in range(N_REPEATS)), strict=True)
    return Instrument(float(np.median(empty.runs_s)), float(np.median(whole_s)), float(np.median(charged_s)))


def _stage_entry_s() -> tuple[float, float]:
    """Seconds of one entry of an empty stage: as a clock outside sees it, and as the stage is charged."""
    stopwatch = Stopwatch()
    start_s = time.perf_counter()
    for _ in range(N_ENTRIES):
        with stopwatch.stage("model"):
            pass
    whole_s = time.perf_counter() - start_s
    return whole_s / N_ENTRIES, stopwatch.timing_ms["model"] / 1000 / N_ENTRIES
