"""Times models in turns within one run, so that what slows the machine slows all of them, and makes rows of that."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.results.names import INTERVAL_PERCENTILES, MIN_RUNS
from benchmarks.results.result import Row, describe_run, make_row
from core.errors import SettingsError
from core.stopwatch import timing_metrics

WARM_UP_RUNS = 5
RUNS_PER_ROUND = 2  # the last one counts
N_DRAWS = 2000


@dataclass(frozen=True)
class Contender:
    """A loaded model, or a whole screening, to be timed.

    ``run`` computes all outputs of one input of ``audio_s`` seconds, None where it takes no audio. ``load_s`` is what
    loading took, None where nothing is loaded, and ``allocate_s`` what allocating its tensors did where the two can be
    told apart. ``facts`` go into the result as they are. ``runtime`` is a library and its version, None for LiteRT;
    ``content`` the model's file.
    """

    name: str
    run: Callable[[], object]
    audio_s: float | None
    load_s: float | None
    facts: dict[str, Any]
    stage: str = "model"
    allocate_s: float | None = None
    delegate: str = "xnnpack"
    runtime: str | None = None
    content: bytes | None = None


@dataclass(frozen=True)
class Timing:
    """Times of one contender in seconds: the very first run, and (n_runs,) after warming up."""

    first_s: float
    runs_s: np.ndarray


Timed = tuple[Contender, Timing]


def check_runs(runs: int) -> None:
    """Refuse fewer runs than percentiles need with a SettingsError."""
    if runs < MIN_RUNS:
        raise SettingsError(f"--runs is {runs}; percentiles need at least {MIN_RUNS} runs")


def time_interleaved(
    contenders: Sequence[Contender],
    min_runs: int = MIN_RUNS,
    min_duration_s: float = 0.0,
    on_round: Callable[[int], None] = lambda n_rounds: None,
) -> list[Timing]:
    """Time contenders in rounds: each in turn runs twice, and the second run is timed; in the order of `contenders`.

    A model screens clip after clip, so its caches hold what the clip before left there. The run that does not count
    gives them back to it after the other contenders had them; without it a small model would be timed by how much
    memory its rivals touch. After the warm-up there are `min_runs` rounds, and more until `min_duration_s` has passed;
    `on_round` is called with the number of finished rounds.
    """
    first = [_seconds_of_last(contender.run, 1) for contender in contenders]
    for _ in range(WARM_UP_RUNS):
        for contender in contenders:
            contender.run()
    rounds: list[list[float]] = []
    end_s = time.perf_counter() + min_duration_s
    while len(rounds) < min_runs or time.perf_counter() < end_s:
        rounds.append([_seconds_of_last(contender.run, RUNS_PER_ROUND) for contender in contenders])
        on_round(len(rounds))
    columns = np.array(rounds).T
    return [Timing(first_s, runs_s) for first_s, runs_s in zip(first, columns, strict=True)]


def _seconds_of_last(run: Callable[[], object], n_runs: int) -> float:
    for _ in range(n_runs):
        start = time.perf_counter()
        run()
    return time.perf_counter() - start


def ratio_with_interval(ours: Timed, theirs: Timed) -> dict[str, float]:
    """Our median time over theirs, both per second of audio, with a 95 % bootstrap interval over rounds.

    Both times of a round are drawn together, because they met the same load.
    """
    scale = theirs[0].audio_s / ours[0].audio_s
    our_s, their_s = ours[1].runs_s, theirs[1].runs_s
    generator = np.random.default_rng(0)
    draws = (generator.integers(len(our_s), size=len(our_s)) for _ in range(N_DRAWS))
    ratios = [np.median(our_s[rounds]) / np.median(their_s[rounds]) for rounds in draws]
    low, high = np.percentile(ratios, INTERVAL_PERCENTILES) * scale
    value = np.median(our_s) / np.median(their_s) * scale
    return {"value": float(value), "low": float(low), "high": float(high)}


def timed_row(
    contender: Contender,
    timing: Timing,
    threads: int,
    load_before: float | None = None,
    metrics: dict[str, float] | None = None,
) -> Row:
    """Percentiles, first run, load and allocation in milliseconds, and what the contender says of itself.

    Its facts that are numbers become metrics; `metrics` are added to them.
    """
    numbers = {key: fact for key, fact in contender.facts.items() if isinstance(fact, int | float)}
    facts = {key: fact for key, fact in contender.facts.items() if key not in numbers}
    samples_ms = 1000 * timing.runs_s
    times = timing_metrics(samples_ms, contender.audio_s)
    seconds = {"first_run_ms": timing.first_s, "load_ms": contender.load_s, "allocate_ms": contender.allocate_s}
    times |= {key: 1000 * value_s for key, value_s in seconds.items() if value_s is not None}
    run = describe_run(threads, contender.delegate, contender.content, contender.runtime, load_before)
    runs = contender.audio_s, len(samples_ms), samples_ms
    return make_row(contender.name, contender.stage, run, {**times, **numbers, **(metrics or {})}, *runs, facts)


def timed_ratio(ours: Timed, theirs: Timed, to: str, threads: int) -> dict[str, Any]:
    """An entry of a result's ratios: our median time over that of `to`, per second of audio, with its interval."""
    run = {"stage": ours[0].stage, "threads": threads, "delegate": ours[0].delegate}
    return {"name": ours[0].name, "to": to, **run, **ratio_with_interval(ours, theirs)}
