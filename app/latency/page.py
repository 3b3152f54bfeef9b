"""Times whole screenings by stage, for the latency page and its file."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.screener import Screener
from core.stopwatch import Stopwatch, timing_metrics

BLOCK_SAMPLES = 4800
MIN_RUNS, MAX_RUNS = 20, 2000
TOTAL = "total"


@dataclass(frozen=True)
class Latency:
    """Times of `n_runs` screenings of one recording of `audio_s` seconds; the first run is not among them."""

    audio_s: float
    n_runs: int
    first_run_ms: float
    stages: dict[str, dict[str, float]]
    """For each stage and ``total``: what `core.stopwatch.timing_metrics` tells."""

    def row(self, facts: dict[str, Any]) -> dict[str, Any]:
        """The fields of a row of tussis.benchmark/1 that are of the times, beside `facts` of device and model."""
        metrics = {**self.stages[TOTAL], "first_run_ms": self.first_run_ms}
        for stage, times in self.stages.items():
            if stage != TOTAL:
                metrics[f"{stage}_ms"] = times["p50_ms"]
        return {"name": "tussis", "stage": "screening", "audio_s": self.audio_s, "n_runs": self.n_runs} | {
            "metrics": metrics,
            **facts,
        }


def time_screenings(
    screener: Screener,
    waveform: np.ndarray,
    sample_rate_hz: int,
    runs: int,
    is_ended: Callable[[], bool] = lambda: False,
    follow: Callable[[int], None] = lambda n_done: None,
) -> Latency:
    """Screen one recording again and again, as it would arrive; on a thread, with a model that nothing else uses.

    Parameters
    ----------
    waveform : ndarray, shape (n,), float32 in [-1, 1]
    runs : int in [20, 2000]
        Ends earlier where `is_ended` says so, after at least `MIN_RUNS`.
    follow : callable
        Gets the number of runs that are done after each; what it raises ends everything.

    Raises
    ------
    AudioError, InterpreterError
        As `Screener.screen_blocks`.
    """
    runs = min(MAX_RUNS, max(MIN_RUNS, runs))
    first_ms = _screen(screener, waveform, sample_rate_hz)[TOTAL]
    times: list[dict[str, float]] = []
    while len(times) < runs and not (is_ended() and len(times) >= MIN_RUNS):
        times.append(_screen(screener, waveform, sample_rate_hz))
        follow(len(times))
    audio_s = len(waveform) / sample_rate_hz
    stages = {
        stage: timing_metrics([of[stage] for of in times], audio_s if stage == TOTAL else None) for stage in times[0]
    }
    return Latency(audio_s, len(times), first_ms, stages)


def _screen(screener: Screener, waveform: np.ndarray, sample_rate_hz: int) -> dict[str, float]:
    blocks = (waveform[start : start + BLOCK_SAMPLES] for start in range(0, len(waveform), BLOCK_SAMPLES))
    screening = screener.screen_blocks(blocks, sample_rate_hz, "latency", stopwatch=Stopwatch())
    return dict(screening.timing_ms)
