"""The only place that reads what TFLite's and LiteRT's benchmark_model prints: times, memory, delegate, operators."""

import re
from dataclasses import dataclass
from typing import Any

from benchmarks.phone.profile import (
    FormatError,
    OperatorTime,
    log_level,
    parse_tables,
    quote,
    split_lines,
    strip_log_prefix,
)

_N = r"[0-9]{1,18}(?:\.[0-9]{1,9})?(?:e[+-]?[0-9]{1,2})?"  # what C++ streams make of a non-negative double, finite
_COUNT = re.compile(
    rf"^count=(?P<count>[0-9]{{1,15}})"
    rf"(?: first=(?P<first>{_N}))?(?: curr=(?P<curr>{_N})(?: ?\(all same\))?)?"
    rf"(?: min=(?P<min>{_N}) max=(?P<max>{_N}) avg=(?P<avg>{_N}) std=(?P<std>{_N}))?"
    rf"(?: p5=(?P<p5>{_N}) median=(?P<median>{_N}) p95=(?P<p95>{_N}))?$"
)
_SUMMARY = re.compile(
    rf"^Inference timings in us: Init: (?P<init>{_N}), First inference: (?P<first>{_N}), "
    rf"Warmup \(avg\): (?P<warm_up>{_N}), Inference \(avg\): (?P<mean>{_N})$"
)
_OLD_SUMMARY = re.compile(
    rf"^Average inference timings in us: Warmup: (?P<warm_up>{_N}), Init: (?P<init>{_N}), "
    rf"(?:no stats|Inference: (?P<mean>{_N}))$"
)
_MEMORY = re.compile(
    rf"^(?:Memory footprint delta from the start of the tool|Peak memory footprint) \(MB\): "
    rf"init=(?P<init>-?{_N}) overall=(?P<overall>-?{_N})$"
)
_PEAK = re.compile(rf"^Overall peak memory footprint \(MB\) via periodic monitoring: (?P<peak>{_N})$")
_MODEL_SIZE = re.compile(rf"^The input model file size \(MB\): (?P<size>{_N})$")
# LiteRT's own tool (benchmark_litert_model) ends with a block in milliseconds in place of the summary in microseconds.
_LITERT = (
    ("init", re.compile(rf"^Model initialization:\s+(?P<value>{_N}) ms$")),
    ("first", re.compile(rf"^Warmup \(first\):\s+(?P<value>{_N}) ms$")),
    ("warm_up", re.compile(rf"^Warmup \(avg\):\s+(?P<value>{_N}) ms \([0-9]{{1,15}} runs\)$")),
    ("mean", re.compile(rf"^Inference \(avg\):\s+(?P<value>{_N}) ms \([0-9]{{1,15}} runs\)$")),
    ("memory_init", re.compile(rf"^Init footprint:\s+(?P<value>-?{_N}) MB$")),
    ("memory_overall", re.compile(rf"^Overall footprint:\s+(?P<value>-?{_N}) MB$")),
    ("memory_peak", re.compile(rf"^Peak memory:\s+(?P<value>{_N}) MB$")),
)
_KNOWN_STARTS = (
    *("count=", "Inference timings in us:", "Average inference timings in us:", "The input model file size (MB):"),
    *("Memory footprint delta", "Peak memory footprint", "Overall peak memory footprint"),
    *("Model initialization:", "Warmup (first):", "Warmup (avg):", "Inference (avg):", "Init footprint:"),
    *("Overall footprint:", "Peak memory:"),
)
_APPLIED = re.compile(
    r"^Explicitly applied (?P<name>\S+) delegate, and the model graph will be (?P<share>completely|partially) executed "
    r"by the delegate(?: w/ [0-9]+ delegate kernels)?\.$"
)
_IGNORED = re.compile(r"^Though (?P<name>\S+) delegate is explicitly applied, the model graph will not be executed by")
_DEFAULT_XNNPACK = "Created TensorFlow Lite XNNPACK delegate for CPU."
SHARES = {"completely": "whole", "partially": "part"}


@dataclass(frozen=True)
class RunStatistics:
    """What one ``count=`` line says of its runs, in microseconds; percentiles are None where the version has none."""

    n_runs: int
    first_us: float
    min_us: float
    max_us: float
    mean_us: float
    std_us: float
    p5_us: float | None
    median_us: float | None
    p95_us: float | None


@dataclass(frozen=True)
class Memory:
    """Memory in MB (2**20 bytes): growth up to the end of loading and of all runs, and the peak where monitored."""

    init_mb: float
    overall_mb: float
    peak_mb: float | None


@dataclass(frozen=True)
class Delegation:
    """Which delegate was applied, and what it runs of the graph: "whole", "part", "none" or an "unknown" share."""

    name: str
    share: str


@dataclass(frozen=True)
class BenchmarkOutput:
    """All that one run of benchmark_model says; ``first_us`` is the very first inference, of the warm-up."""

    init_us: float
    first_us: float
    warm_up: RunStatistics
    runs: RunStatistics
    memory: Memory | None
    model_mb: float | None
    delegation: Delegation | None
    operators: tuple[OperatorTime, ...]

    def metrics(self) -> dict[str, float]:
        """Numbers of a row of tussis.benchmark/1; those that this version does not print are left out."""
        found = {
            "load_ms": self.init_us / 1000,
            "first_run_ms": self.first_us / 1000,
            "warm_up_mean_ms": self.warm_up.mean_us / 1000,
            **_milliseconds(self.runs),
        }
        if self.memory is not None:
            found |= {"memory_load_mb": self.memory.init_mb, "memory_mb": self.memory.overall_mb}
            found |= {} if self.memory.peak_mb is None else {"memory_peak_mb": self.memory.peak_mb}
        return found


def parse_output(text: str, source: str) -> BenchmarkOutput:
    """Read what benchmark_model printed, with or without log levels, of TensorFlow 1.15 up to LiteRT.

    Free log lines are passed over; a line that begins like one of the results has to be one.

    Parameters
    ----------
    text : str
        Standard output and error together, or the lines of logcat.
    source : str
        What is read, for the sentence.

    Raises
    ------
    FormatError
        With the line that is not understood, or with the result that is missing and the tool's own error.
    """
    bare = [strip_log_prefix(line).strip() for line in split_lines(text)]
    statistics = [_statistics(line, source) for line in bare if line.startswith("count=")]
    timings = _timings(bare)
    _refuse_torn(bare, source)
    if len(statistics) < 2 or timings is None:
        missing = "the summary of the times" if len(statistics) >= 2 else "the line 'count=' of the runs"
        raise FormatError(f"{source} lacks {missing}; the last it says is {quote(last_words(text))}.")
    warm_up, runs = statistics[-2:]
    _check_agreement(timings, runs, source)
    return BenchmarkOutput(
        init_us=timings["init"],
        first_us=timings.get("first", warm_up.first_us),
        warm_up=warm_up,
        runs=runs,
        memory=_memory(bare, timings),
        model_mb=next((float(its["size"]) for line in bare if (its := _MODEL_SIZE.match(line))), None),
        delegation=_delegation(bare),
        operators=parse_tables(text, source),
    )


def last_words(text: str) -> str:
    """What a tool that failed said of it: its last line of error, else its last line that is not empty."""
    lines = [line for line in split_lines(text) if line.strip()]
    errors = [line for line in lines if log_level(line) in ("ERROR", "FATAL")]
    return (errors or lines or ["nothing"])[-1].strip()


def _milliseconds(runs: RunStatistics) -> dict[str, float]:
    its = {"min_ms": runs.min_us, "max_ms": runs.max_us, "mean_ms": runs.mean_us, "std_ms": runs.std_us}
    its |= {"p5_ms": runs.p5_us, "p50_ms": runs.median_us, "p95_ms": runs.p95_us}
    return {key: value / 1000 for key, value in its.items() if value is not None}


def _statistics(line: str, source: str) -> RunStatistics:
    """One ``count=`` line; where all runs took the same time the tool prints only that."""
    its = _COUNT.match(line)
    if its is None or int(its["count"]) == 0 or (its["curr"] is None):
        raise FormatError(f"{source}: the line {quote(line)} does not say how long the runs took.")
    values = {key: None if text is None else float(text) for key, text in its.groupdict().items() if key != "count"}
    only = values["curr"]
    low, mean, high = (only if values[key] is None else values[key] for key in ("min", "avg", "max"))
    percentiles = [values[key] for key in ("p5", "median", "p95") if values[key] is not None]
    # The mean is printed with six digits, so that it may stand just outside the integers around it.
    is_ordered = low * 0.99999 <= mean <= high * 1.00001 and percentiles == sorted(percentiles)
    if not is_ordered or not all(low <= its <= high for its in percentiles):
        raise FormatError(f"{source}: the line {quote(line)} contradicts itself.")
    return RunStatistics(
        n_runs=int(its["count"]),
        first_us=only if values["first"] is None else values["first"],
        min_us=low,
        max_us=high,
        mean_us=mean,
        std_us=values["std"] or 0.0,
        p5_us=values["p5"],
        median_us=values["median"],
        p95_us=values["p95"],
    )


def _timings(lines: list[str]) -> dict[str, float] | None:
    """Microseconds of loading, first run, warm-up and mean run by name; of LiteRT's block its memory in MB too."""
    for line in lines:
        if its := _SUMMARY.match(line) or _OLD_SUMMARY.match(line):
            return {name: float(value) for name, value in its.groupdict().items() if value is not None}
    block: dict[str, Any] = {}
    for line in lines:
        for name, pattern in _LITERT:
            if its := pattern.match(line):
                block[name] = float(its["value"]) * (1 if name.startswith("memory") else 1000)
    return block if {"init", "first", "warm_up", "mean"} <= set(block) else None


def _refuse_torn(lines: list[str], source: str) -> None:
    """Refuse a line that begins like a result and goes on otherwise."""
    patterns = (_COUNT, _SUMMARY, _OLD_SUMMARY, _MEMORY, _PEAK, _MODEL_SIZE, *(pattern for _, pattern in _LITERT))
    for line in lines:
        if line.startswith(_KNOWN_STARTS) and not any(pattern.match(line) for pattern in patterns):
            raise FormatError(f"{source}: the line {quote(line)} is not understood.")


def _check_agreement(timings: dict[str, float], runs: RunStatistics, source: str) -> None:
    """Refuse a summary that is of other runs than the statistics: two outputs mixed, or one cut and joined."""
    mean_us = timings.get("mean", runs.mean_us)
    if abs(mean_us - runs.mean_us) > max(10.0, 1e-4 * runs.mean_us):  # LiteRT's block rounds to 10 microseconds
        raise FormatError(
            f"{source}: the summary's mean of {mean_us:g} us is not that of its runs, {runs.mean_us:g} us; "
            "it is of two runs mixed."
        )


def _memory(lines: list[str], timings: dict[str, float]) -> Memory | None:
    peak = next((float(its["peak"]) for line in lines if (its := _PEAK.match(line))), timings.get("memory_peak"))
    for line in lines:
        if its := _MEMORY.match(line):
            return Memory(float(its["init"]), float(its["overall"]), peak)
    if "memory_init" in timings and "memory_overall" in timings:
        return Memory(timings["memory_init"], timings["memory_overall"], peak)
    return None


def _delegation(lines: list[str]) -> Delegation | None:
    """The last delegate that was asked for and what it took; XNNPACK by default says only that it was made."""
    found = None
    for line in lines:
        if its := _APPLIED.match(line):
            found = Delegation(its["name"], SHARES[its["share"]])
        elif its := _IGNORED.match(line):
            found = Delegation(its["name"], "none")
        elif line == _DEFAULT_XNNPACK and found is None:
            found = Delegation("XNNPACK", "unknown")
    return found
