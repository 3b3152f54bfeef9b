"""Runs TFLite's benchmark_model on a phone, reads what it prints, and checks that the delegate really ran the model."""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.phone.adb import Phone, PhoneError
from benchmarks.phone.device import pinned
from benchmarks.phone.models import GPU, NNAPI, ON_PROCESSOR, Measured, PhoneModel, Setting
from benchmarks.results.names import BUILTIN, XNNPACK
from benchmarks.timing.interleaved import WARM_UP_RUNS
from core.files import sha256_of_file

TOOL = "benchmark_model"
MAX_ROUND_S = 150
START_S = 120  # a GPU delegate compiles its programs for up to a minute
MAX_QUOTED = 120
PRIMARY_GRAPH, DELEGATE_GRAPH = "primary", "delegate"
_CSV = "operators.csv"
_FLAGS = {
    XNNPACK: ("--use_xnnpack=true",),
    BUILTIN: ("--use_xnnpack=false",),
    GPU: ("--use_gpu=true",),
    NNAPI: ("--use_nnapi=true",),
}
_CANNOT_START = (126, 127)

# What a log puts before each line: benchmark_model itself, Android's logcat (threadtime or brief), LiteRT's macro.
_LOG_PREFIX = re.compile(
    r"^(?:\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,6}\s+\d+\s+\d+ )?"
    r"(?:[VDIWEF][ /]\s?(?:tflite|litert)\s*(?:\(\s*\d+\))?\s*: )?"
    r"(?:(?P<level>VERBOSE|INFO|WARN|WARNING|ERROR|FATAL): )?"
    r"(?:\[[^\]\s]+:\d+\] )?",
    re.ASCII,
)
_N = r"[0-9]{1,18}(?:\.[0-9]{1,9})?(?:e[+-]?[0-9]{1,2})?"  # what C++ streams make of a non-negative double, finite
_COUNT = re.compile(
    rf"^count=(?P<count>[1-9][0-9]{{0,14}})"
    rf"(?: first={_N} curr={_N} min=(?P<min>{_N}) max=(?P<max>{_N}) avg=(?P<mean>{_N}) std=(?P<std>{_N})"
    rf"| curr=(?P<only>{_N})(?: ?\(all same\))?)"
    rf" p5=(?P<p5>{_N}) median=(?P<p50>{_N}) p95=(?P<p95>{_N})$"
)
# Other lines with results, by how they begin; each group is a number in the unit that its name ends with. LiteRT's own
# tool (benchmark_litert_model) prints a block in milliseconds in place of the summary in microseconds.
_RESULTS = {
    "Inference timings in us:": rf" Init: (?P<load_us>{_N}), First inference: (?P<first_run_us>{_N}), "
    rf"Warmup \(avg\): {_N}, Inference \(avg\): (?P<mean_us>{_N})",
    "Memory footprint delta from the start of the tool (MB):": (
        rf" init=(?P<memory_load_mb>-?{_N}) overall=(?P<memory_mb>-?{_N})"
    ),
    "Overall peak memory footprint (MB) via periodic monitoring:": rf" (?P<memory_peak_mb>{_N})",
    "Model initialization:": rf"\s+(?P<load_ms>{_N}) ms",
    "Warmup (first):": rf"\s+(?P<first_run_ms>{_N}) ms",
    "Warmup (avg):": rf"\s+{_N} ms \([0-9]{{1,15}} runs\)",
    "Inference (avg):": rf"\s+(?P<mean_ms>{_N}) ms \([0-9]{{1,15}} runs\)",
    "Init footprint:": rf"\s+(?P<memory_load_mb>-?{_N}) MB",
    "Overall footprint:": rf"\s+(?P<memory_mb>-?{_N}) MB",
    "Peak memory:": rf"\s+(?P<memory_peak_mb>{_N}) MB",
}
_PATTERNS = {start: re.compile(re.escape(start) + rest + "$") for start, rest in _RESULTS.items()}
_MEMORY = ("memory_load_mb", "memory_mb", "memory_peak_mb")
_APPLIED = re.compile(
    r"^Explicitly applied (?P<name>\S+) delegate, and the model graph will be (?P<share>completely|partially) executed "
    r"by the delegate(?: w/ [0-9]+ delegate kernels)?\.$"
)
_IGNORED = re.compile(r"^Though (?P<name>\S+) delegate is explicitly applied, the model graph will not be executed by")
_DEFAULT_XNNPACK = "Created TensorFlow Lite XNNPACK delegate for CPU."
SHARES = {"completely": "whole", "partially": "part"}

_RUNS_HEADING = "Operator-wise Profiling Info for Regular Benchmark Runs:"  # those of loading come before
_RUN_ORDER = re.compile(r"^={20,} Run Order ={20,}$")  # the other tables hold the same numbers again
_SUBGRAPH = re.compile(r"^Subgraph \(index: (?P<index>[0-9]{1,9}), name: .*\) profile:$")
_PRIMARY = re.compile(r"^Primary graph \(name: .*\) profile:$")
_TABLE_HEADER = "node type, first, avg_ms, %, cdf%, mem KB, times called, name"
_SHARE = rf"(?:{_N}|-?nan|inf)%"
# Types and names may hold commas, so the numbers divide the rest.
_TABLE_ROW = re.compile(
    rf"^\s*(?P<node_type>\S.*?),\s*{_N},\s*(?P<mean>{_N}),\s*(?P<share>{_SHARE}),\s*{_SHARE},\s*{_N}"
    rf",\s*(?P<times>[0-9]{{1,15}}),\s*(?P<name>.*)$"
)


class FormatError(PhoneError):
    """Output of benchmark_model that is not understood; the sentence quotes the line."""


@dataclass(frozen=True)
class Delegation:
    """Which delegate was applied, and what it runs of the graph: "whole", "part", "none" or an "unknown" share."""

    name: str
    share: str


@dataclass(frozen=True)
class BenchmarkOutput:
    """What one run of benchmark_model printed; ``metrics`` are those of a row of tussis.benchmark/1."""

    n_runs: int
    metrics: dict[str, float]
    delegation: Delegation | None


@dataclass(frozen=True)
class OperatorTime:
    """One operator of one graph, with its mean time of a run in milliseconds.

    ``graph`` is "primary", "subgraph N" or "delegate" (inside a delegate's own operator, so its times are part of that
    operator's). ``share_percent`` is of its table; None where the tool divided by nothing.
    """

    graph: str
    node_type: str
    name: str
    mean_ms: float
    share_percent: float | None
    times_called: int

    def metrics(self) -> dict[str, float]:
        """For a row."""
        share = {} if self.share_percent is None else {"share_of_time": self.share_percent / 100}
        return {"mean_ms": self.mean_ms, "times_called": self.times_called, **share}


@dataclass(frozen=True)
class BenchmarkModelRunner:
    """benchmark_model in `folder` of a phone; `runs` per round, on `cores` only where there are some."""

    phone: Phone
    folder: str
    tool_sha256: str
    runs: int
    cores: tuple[int, ...] = ()

    def place(self, model: PhoneModel) -> None:
        """Copy a model into the folder and see that it arrived whole."""
        model.push(self.phone, self.folder)

    def measure(self, model: PhoneModel, setting: Setting) -> Measured:
        """One round of `runs` runs."""
        output = self._run(model, setting, ())
        check_delegation(output.delegation, setting.delegate, model.name)
        delegation = {} if output.delegation is None else {"delegated": output.delegation.share}
        facts = {"runner_sha256": self.tool_sha256, "cores": list(self.cores) or "any", **delegation}
        return Measured(output.n_runs, output.metrics, f"{TOOL} {self.tool_sha256[:12]}", facts=facts)

    def measure_operators(self, model: PhoneModel, setting: Setting) -> tuple[OperatorTime, ...]:
        """Operators of one more round, whose times are of a profiled run and stand for shares, not for latency."""
        remote = f"{self.folder}/{_CSV}"
        self._run(model, setting, ("--enable_op_profiling=true", f"--profiling_output_csv_file={remote}"))
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / _CSV
            self.phone.pull(remote, path)
            text = path.read_text(encoding="utf-8", errors="replace")
        return parse_profile(text, f"the operator table of {model.name}")

    def clean(self) -> None:
        """Nothing is left outside of the folder."""

    def _run(self, model: PhoneModel, setting: Setting, more_flags: tuple[str, ...]) -> BenchmarkOutput:
        command = [
            f"{self.folder}/{TOOL}",
            f"--graph={self.folder}/{model.file_name}",
            f"--num_threads={setting.threads}",
            f"--warmup_runs={WARM_UP_RUNS}",
            f"--num_runs={self.runs}",
            f"--max_secs={MAX_ROUND_S}",
            *_FLAGS[setting.delegate],
            *more_flags,
        ]
        answer = self.phone.run(pinned(command, self.cores), START_S + 2 * MAX_ROUND_S)
        call = f"{TOOL} with {model.name}, {setting.delegate}, {setting.threads} thread(s)"
        if answer.status in _CANNOT_START:
            self.phone.refuse(f"cannot start {TOOL}; is it built for this phone's processor?", answer.text)
        if answer.status != 0:
            self.phone.refuse(f"ended {call} with status {answer.status}", last_words(answer.text))
        return parse_output(answer.text, f"the output of {call}")


def place_tool(phone: Phone, folder: str, tool: Path, runs: int, cores: tuple[int, ...]) -> BenchmarkModelRunner:
    """Copy benchmark_model to the phone and make it a program there."""
    remote = f"{folder}/{TOOL}"
    phone.push(tool, remote)
    phone.read(["chmod", "755", remote])
    return BenchmarkModelRunner(phone, folder, sha256_of_file(tool), runs, cores)


def check_delegation(applied: Delegation | None, delegate: str, name: str) -> None:
    """Refuse a round in which another than the delegate asked for ran the model: the tool goes on without a word."""
    if delegate == BUILTIN:
        if applied is not None and applied.share != "none":
            raise PhoneError(f"{name} was to run without a delegate, and {applied.name} ran it; its time is left out.")
    elif applied is None and delegate in ON_PROCESSOR:
        return
    elif applied is None or applied.share == "none" or applied.name.lower() != delegate:
        is_other = applied is not None and applied.name.lower() != delegate
        ran = f"{applied.name} ran it" if is_other else "it took none of the operators"
        raise PhoneError(f"the delegate {delegate} does not run {name} on this phone ({ran}); its time is left out.")


def parse_output(text: str, source: str) -> BenchmarkOutput:
    """Read what benchmark_model of TensorFlow 2.14 or newer, or LiteRT's tool, printed, with or without log levels.

    `text` is standard output and error together, or the lines of logcat. Free log lines are passed over; a line that
    begins like one of the results has to be one, or FormatError quotes it.
    """
    lines = [line[_LOG_PREFIX.match(line).end() :].strip() for line in _split_lines(text)]
    statistics = [_statistics(line, source) for line in lines if line.startswith("count=")]
    numbers = _numbers(lines, source)
    if len(statistics) < 2 or not {"load_ms", "first_run_ms", "mean_ms"} <= set(numbers):
        missing = "the summary of the times" if len(statistics) >= 2 else "the line 'count=' of the runs"
        raise FormatError(f"{source} lacks {missing}; its last line is {quote(last_words(text))}.")
    (_, warm_up), (n_runs, runs) = statistics[-2:]
    mean_ms = numbers["mean_ms"]
    if abs(mean_ms - runs["mean_ms"]) > max(0.01, 1e-4 * runs["mean_ms"]):  # LiteRT's block rounds to 10 microseconds
        raise FormatError(
            f"{source}: the summary's mean of {mean_ms:g} ms is not that of its runs, {runs['mean_ms']:g} ms; "
            "it is of two runs mixed."
        )
    start = {name: numbers[name] for name in ("load_ms", "first_run_ms")}
    memory = {name: numbers[name] for name in _MEMORY if name in numbers}
    metrics = {**start, "warm_up_mean_ms": warm_up["mean_ms"], **runs, **memory}
    return BenchmarkOutput(n_runs, metrics, _delegation(lines))


def last_words(text: str) -> str:
    """The last error that a tool printed, else its last line that is not empty."""
    lines = [line for line in _split_lines(text) if line.strip()]
    errors = [line for line in lines if _LOG_PREFIX.match(line)["level"] in ("ERROR", "FATAL")]
    return (errors or lines or ["nothing"])[-1].strip()


def quote(line: str) -> str:
    """A line for a sentence: printable, and cut where it is long."""
    printable = repr(line.strip())
    return printable if len(printable) <= MAX_QUOTED else printable[: MAX_QUOTED - 3] + "..."


def _split_lines(text: str) -> list[str]:
    """Lines as a terminal has them: only line feeds divide, a carriage return before one is dropped."""
    return [line.removesuffix("\r") for line in text.split("\n")]


def _statistics(line: str, source: str) -> tuple[int, dict[str, float]]:
    """Number of runs of one ``count=`` line, and milliseconds; where all took the same time the tool prints only that.

    The mean is printed with six digits, so that it may stand just outside the integers around it.
    """
    match = _COUNT.match(line)
    if match is None:
        raise FormatError(f"{source}: the line {quote(line)} does not say how long the runs took.")
    only, names = match["only"], ("min", "max", "mean", "std", "p5", "p50", "p95")
    values_us = [float(match[name] or ("0" if name == "std" else only)) for name in names]
    low, high, mean, _, *percentiles = values_us
    is_ordered = low * 0.99999 <= mean <= high * 1.00001 and percentiles == sorted(percentiles)
    if not is_ordered or not all(low <= value <= high for value in percentiles):
        raise FormatError(f"{source}: the line {quote(line)} contradicts itself.")
    return int(match["count"]), {f"{name}_ms": us / 1000 for name, us in zip(names, values_us, strict=True)}


def _numbers(lines: list[str], source: str) -> dict[str, float]:
    """Numbers of all other results, the first of each name, in milliseconds and MB (2**20 bytes)."""
    numbers: dict[str, float] = {}
    for line in lines:
        for start, pattern in _PATTERNS.items():
            if not line.startswith(start):
                continue
            if (match := pattern.match(line)) is None:
                raise FormatError(f"{source}: the line {quote(line)} is not understood.")
            for name, text in match.groupdict().items():
                scale = 1000 if name.endswith("_us") else 1
                numbers.setdefault(name.replace("_us", "_ms"), float(text) / scale)
    return numbers


def _delegation(lines: list[str]) -> Delegation | None:
    """The last delegate that was asked for and what it took; XNNPACK by default only logs that it was made."""
    delegation = None
    for line in lines:
        if applied := _APPLIED.match(line):
            delegation = Delegation(applied["name"], SHARES[applied["share"]])
        elif ignored := _IGNORED.match(line):
            delegation = Delegation(ignored["name"], "none")
        elif line == _DEFAULT_XNNPACK and delegation is None:
            delegation = Delegation("XNNPACK", "unknown")
    return delegation


def parse_profile(text: str, source: str) -> tuple[OperatorTime, ...]:
    """Operators of the runs, in order, of a file that ``--profiling_output_csv_file`` named."""
    graph, operators = PRIMARY_GRAPH, []
    lines = iter(_split_lines(text.partition(_RUNS_HEADING)[2]))
    for line in lines:
        heading = line.strip()
        if _PRIMARY.match(heading):
            graph = PRIMARY_GRAPH
        elif subgraph := _SUBGRAPH.match(heading):
            graph = f"subgraph {subgraph['index']}"
        elif heading == "Delegate internal:":
            graph = DELEGATE_GRAPH
        elif _RUN_ORDER.match(heading):
            operators += _read_table(lines, graph, source)
    if not operators:
        raise FormatError(f"{source} holds no operator: the section 'Run Order' of the runs is missing or empty.")
    return tuple(operators)


def _read_table(lines: Iterator[str], graph: str, source: str) -> Iterator[OperatorTime]:
    """Operators from the header to the next empty line."""
    header = next(lines, "")
    if header.strip() != _TABLE_HEADER:
        raise FormatError(f"{source}: the line {quote(header)} is not the header of an operator table.")
    for line in lines:
        if not line.strip():
            return
        row = _TABLE_ROW.match(line)
        if row is None:
            raise FormatError(f"{source}: the line {quote(line)} is not a row of the operator table it stands in.")
        yield OperatorTime(
            graph=graph,
            node_type=row["node_type"].strip(),
            name=row["name"].strip().replace("\t", ","),  # the tool prints tabs for the commas of a name
            mean_ms=float(row["mean"]),
            share_percent=None if "n" in row["share"] else float(row["share"].removesuffix("%")),
            times_called=int(row["times"]),
        )
