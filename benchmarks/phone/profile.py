"""The only place that reads the operator tables of TFLite's benchmark_model, as text or as CSV, by their headers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from core.errors import TussisError

MAX_QUOTED = 120
INITIALIZATION, RUNS = "initialization", "runs"
PRIMARY_GRAPH, DELEGATE_GRAPH = "primary", "delegate"
_RUN_ORDER = "Run Order"

# What a log puts before each line: benchmark_model itself, Android's logcat (threadtime or brief), LiteRT's macro.
_LOG_PREFIX = re.compile(
    r"^(?:\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,6}\s+\d+\s+\d+ )?"
    r"(?:[VDIWEF][ /]\s?(?:tflite|litert)\s*(?:\(\s*\d+\))?\s*: )?"
    r"(?:(?P<level>VERBOSE|INFO|WARN|WARNING|ERROR|FATAL): )?"
    r"(?:\[[^\]\s]+:\d+\] )?",
    re.ASCII,
)
_SECTION = re.compile(r"^={20,} (?P<title>[A-Z][A-Za-z ]*[a-z]) ={20,}$")
_STAGES = (
    ("Profiling Info for Benchmark Initialization:", INITIALIZATION),
    ("Operator-wise Profiling Info for Regular Benchmark Runs:", RUNS),
)
_SUBGRAPH = re.compile(r"^Subgraph \(index: (?P<index>[0-9]{1,9}), name: .*\) profile:$")
_PRIMARY = re.compile(r"^Primary graph \(name: .*\) profile:$")

# Columns by their names in text (in brackets) and in CSV; "start" was dropped in the course of TensorFlow 2.9.
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,9})?(?:e[+-]?[0-9]{1,2})?"  # so short that it is finite
_SHARE = rf"(?:{_NUMBER}|-?nan|inf)%"
_COLUMNS = {
    "node type": r"(?P<node_type>\S.*?)",
    "start": rf"(?:{_NUMBER})",
    "first": rf"(?P<first>{_NUMBER})",
    "avg ms": rf"(?P<mean>{_NUMBER})",
    "%": rf"(?P<share>{_SHARE})",
    "cdf%": rf"(?:{_SHARE})",
    "mem kb": rf"(?P<memory>{_NUMBER})",
    "times called": r"(?P<times>[0-9]{1,15})",
    "name": r"(?P<name>.*)",
}
_NEEDED = {"node type", "avg ms", "%", "times called", "name"}


class FormatError(TussisError):
    """Output of benchmark_model that is not understood; the sentence quotes the line."""


@dataclass(frozen=True)
class OperatorTime:
    """One operator of one graph; times per run in milliseconds, averaged over the runs.

    ``stage`` is "initialization" or "runs"; ``graph`` is "primary", "subgraph N" or "delegate" (inside a delegate's
    own operator, so its times are part of that operator's). ``share_percent`` is of its table; None where the tool
    divided by nothing.
    """

    stage: str
    graph: str
    node_type: str
    name: str
    first_ms: float | None
    mean_ms: float
    share_percent: float | None
    memory_kb: float
    times_called: int


def strip_log_prefix(line: str) -> str:
    """A line without what a log put before it: its level, logcat's columns, the source file."""
    return line[_LOG_PREFIX.match(line).end() :]


def log_level(line: str) -> str | None:
    """The level that benchmark_model printed before a line: "INFO", "ERROR", ...; None where it printed none."""
    return _LOG_PREFIX.match(line)["level"]


def split_lines(text: str) -> list[str]:
    """Lines as a terminal has them: only line feeds divide, a carriage return before one is dropped."""
    return [line.removesuffix("\r") for line in text.split("\n")]


def quote(line: str) -> str:
    """A line for a sentence: printable, and cut where it is long."""
    shown = repr(line.strip())
    return shown if len(shown) <= MAX_QUOTED else shown[: MAX_QUOTED - 3] + "..."


def parse_profile_csv(text: str, source: str) -> tuple[OperatorTime, ...]:
    """Operators of a file that ``--profiling_output_csv_file`` or ``--op_profiling_output_file`` left.

    Parameters
    ----------
    text : str
    source : str
        What is read, for the sentence.

    Raises
    ------
    FormatError
        If there is no table, or a row is not what its header says.
    """
    operators = parse_tables(text, source)
    if not operators:
        raise FormatError(f"{source} holds no operator: the section 'Run Order' is missing or empty.")
    return operators


def parse_tables(text: str, source: str) -> tuple[OperatorTime, ...]:
    """Operators of all "Run Order" tables in `text`, in order; the other tables say the same again. May be empty."""
    stage, graph, found = RUNS, PRIMARY_GRAPH, []
    lines = iter(split_lines(text))
    for line in lines:
        bare = strip_log_prefix(line).strip()
        if its_stage := next((name for start, name in _STAGES if bare == start), None):
            stage, graph = its_stage, PRIMARY_GRAPH
        elif _PRIMARY.match(bare):
            graph = PRIMARY_GRAPH
        elif subgraph := _SUBGRAPH.match(bare):
            graph = f"subgraph {subgraph['index']}"
        elif bare == "Delegate internal:":
            graph = DELEGATE_GRAPH
        elif (section := _SECTION.match(bare)) and section["title"] == _RUN_ORDER:
            found += _read_table(lines, stage, graph, source)
    return tuple(found)


def _read_table(lines: Iterator[str], stage: str, graph: str, source: str) -> Iterator[OperatorTime]:
    """Operators from the header to the next empty line."""
    row_pattern = _row_pattern(strip_log_prefix(next(lines, "")), source)
    for line in lines:
        bare = strip_log_prefix(line)
        if not bare.strip():
            return
        row = row_pattern.match(bare)
        if row is None:
            raise FormatError(f"{source}: the line {quote(line)} is not a row of the operator table it stands in.")
        yield _operator(row.groupdict(), stage, graph)


def _row_pattern(header: str, source: str) -> re.Pattern[str]:
    """What a row under `header` looks like; in CSV types and names may hold commas, so numbers divide the rest."""
    is_text = "\t" in header
    cells = [cell.strip() for cell in header.strip().split("\t" if is_text else ",")]
    if is_text:
        cells = [cell[1:-1] if cell.startswith("[") and cell.endswith("]") else "" for cell in cells]
    names = ["avg ms" if cell == "avg_ms" else cell.lower() for cell in cells]
    if not set(names) >= _NEEDED or not set(names) <= set(_COLUMNS) or len(set(names)) != len(names):
        raise FormatError(f"{source}: the line {quote(header)} is not the header of an operator table.")
    pattern = (r"\t\s*" if is_text else r",\s*").join(_COLUMNS[name] for name in names)
    return re.compile(r"^\s*" + pattern + r"\s*$")


def _operator(cells: dict[str, str | None], stage: str, graph: str) -> OperatorTime:
    first = cells.get("first")
    return OperatorTime(
        stage=stage,
        graph=graph,
        node_type=cells["node_type"].strip(),
        name=cells["name"].strip().replace("\t", ","),  # the CSV of newer versions has tabs for its commas
        first_ms=None if first is None else float(first),
        mean_ms=float(cells["mean"]),
        share_percent=None if "n" in cells["share"] else float(cells["share"].removesuffix("%")),
        memory_kb=float(cells.get("memory") or 0),
        times_called=int(cells["times"]),
    )
