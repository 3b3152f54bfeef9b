"""The only place that turns what was timed into rows of a result."""

from typing import Any

from benchmarks.results.result import Row, describe_run, make_row, timing_metrics
from benchmarks.timing.interleaved import Contender, Timing, ratio_with_interval


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
    numbers = {key: its for key, its in contender.facts.items() if isinstance(its, int | float)}
    words = {key: its for key, its in contender.facts.items() if key not in numbers}
    samples_ms = 1000 * timing.runs_s
    times = timing_metrics(samples_ms, contender.audio_s)
    seconds = {"first_run_ms": timing.first_s, "load_ms": contender.load_s, "allocate_ms": contender.allocate_s}
    times |= {key: 1000 * its for key, its in seconds.items() if its is not None}
    run = describe_run(threads, contender.delegate, contender.content, contender.runtime, load_before)
    return make_row(
        contender.name,
        contender.stage,
        run,
        {**times, **numbers, **(metrics or {})},
        contender.audio_s,
        len(samples_ms),
        samples_ms,
        words,
    )


def timed_ratio(
    ours: tuple[Contender, Timing], theirs: tuple[Contender, Timing], to: str, threads: int
) -> dict[str, Any]:
    """An entry of a result's ratios: our median time over that of `to`, per second of audio, with its interval."""
    run = {"stage": ours[0].stage, "threads": threads, "delegate": ours[0].delegate}
    return {"name": ours[0].name, "to": to, **run, **ratio_with_interval(ours, theirs)}
