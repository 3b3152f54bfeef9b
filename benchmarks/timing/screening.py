"""Times the app's own screening of a recording, whole and stage by stage, as a contender."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.results.names import MODEL, OURS, SCREENING
from benchmarks.timing.interleaved import RUNS_PER_ROUND, Contender, Timing
from benchmarks.timing.runtime import DelegateInterpreter, open_file
from core.bundle import Bundle
from core.demonstration import synthesize_demonstration
from core.resample import Resampler
from core.screener import Screener
from core.stopwatch import STAGES
from core.wav import write_wav

RECORDING_S = 10.0
RECORDING_RATE_HZ = 44_100


@dataclass(frozen=True)
class ScreeningContender:
    """A screening to be timed, and what its stopwatch said of each run so far."""

    contender: Contender
    timings_ms: list[dict[str, float]] = field(default_factory=list)

    def stages(self, n_runs: int) -> list[tuple[Contender, Timing]]:
        """Each stage as if it had been timed by itself: first run, and what counted of the last `n_runs` rounds."""
        pairs = []
        for name in STAGES:
            seconds = [timing_ms[name] / 1000 for timing_ms in self.timings_ms]
            facts = {key: fact for key, fact in self.contender.facts.items() if key == "role" or name == MODEL}
            stage = replace(self.contender, stage=f"{SCREENING}: {name}", facts=facts, load_s=None, allocate_s=None)
            of_rounds = np.array(seconds[-RUNS_PER_ROUND * n_runs :]).reshape(n_runs, RUNS_PER_ROUND)
            pairs.append((stage, Timing(seconds[0], of_rounds[:, -1])))
        return pairs


def write_recording(path: Path, seconds: float = RECORDING_S) -> Path:
    """Write a 16-bit WAV at 44.1 kHz: the demonstration recording, repeated and cut to `seconds`; returns `path`."""
    resampler = Resampler(16_000, RECORDING_RATE_HZ)
    at_rate = np.concatenate([resampler.process(synthesize_demonstration()), resampler.flush()])
    write_wav(path, np.resize(at_rate, round(seconds * RECORDING_RATE_HZ)), RECORDING_RATE_HZ)
    return path


def load_screening(
    bundle: Bundle, model: Path, recording: Path, threads: int, name: str, delegate: str
) -> ScreeningContender:
    """The app's `Screener` on one file: read, resample, judge, cut, run, find, probe.

    `model` takes the place of the bundle's own, which has its shape, so that sizes and precisions stand side by side.
    Loading is the file read and checked, the runtime made and its tensors allocated, as when the app starts.
    """
    start_s = time.perf_counter()
    opened = open_file(model, threads, delegate)
    interpreter = DelegateInterpreter(opened, bundle.model_shape)
    screener = Screener(bundle, threads, interpreter)
    load_s = time.perf_counter() - start_s
    duration_s, n_clips = screener.screen(recording).recording.duration_s, interpreter.n_runs
    timings_ms: list[dict[str, float]] = []

    def run() -> None:
        timings_ms.append(screener.screen(recording).timing_ms)

    contender = opened.contender(name, run, duration_s, OURS, SCREENING)
    costs = contender.facts
    facts = {"role": OURS, "n_clips": n_clips, "model_bytes": costs["model_bytes"], "macs": costs["macs"] * n_clips}
    return ScreeningContender(replace(contender, load_s=load_s, facts=facts), timings_ms)
