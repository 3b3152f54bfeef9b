"""The only place that turns a benchmark's result of any kind into tables of text, for a page and for Markdown."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.results.result import Result, Row

NONE = "-"
FIRST_COLUMNS = ("threads", "delegate", "audio_s", "n_runs")
MACHINE = ("device", "cpu", "n_cores", "instructions", "governor", "cpu_mhz", "temperature_c", "os", "runtime")
MADE_FROM = ("model_sha256", "commit", "date", "load_average")
# Which numbers of a kind go into its tables, in this order; all of them for a kind that is not named.
_TIMES = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms", "first_run_ms", "load_ms", "allocate_ms", "rtf")
COLUMNS = {
    "latency": (*_TIMES, "model_bytes", "macs"),
    "phone": (*_TIMES, "model_bytes"),
    "operators": ("us", "share_of_time", "macs", "weight_bytes", "activation_bytes", "gmacs_per_s", "gb_per_s"),
    "roofline": (
        *("us", "limit_us", "share_of_limit", "gmacs_per_s", "roof_gmacs_per_s", "intensity_macs_per_byte"),
        *("p50_ms", "limit_ms", "limit_cache_ms", "limit_memory_ms", "products_ms"),
    ),
    "accuracy": (
        *("cough_auroc", "cough_auroc_low", "cough_auroc_high", "cough_auroc_scored_only"),
        *("beyond_bundle", "beyond_bundle_low", "beyond_bundle_high", "p50_ms", "p99_ms", "model_bytes", "macs"),
        *("n_recordings", "n_coughs", "n_unscored", "n_subjects"),
    ),
    "scale": (
        *("p50_ms", "max_ms", "rtf", "peak_bytes", "before_bytes", "n_files", "workers", "audio_hours_per_hour"),
        *("audio_hours_per_core_hour", "speed_up", "share_of_ideal"),
    ),
    "sustained": (
        *("p50_ms", "p90_ms", "p99_ms", "max_ms", "p50_ms_per_hop", "audio_s_per_s", "busy_share", "n_late"),
        *("resident_bytes", "clock_mhz", "hottest_c"),
    ),
}
SIGNIFICANT_DIGITS = 4


@dataclass(frozen=True)
class Table:
    """Text by row and column; ``is_number`` says of each column whether it is set to the right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    is_number: tuple[bool, ...]


def result_tables(result: Result) -> list[Table]:
    """One table for each kind of row (rows with the same numbers), then ratios, comparisons and lists of facts."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in result["rows"]:
        groups.setdefault(_columns(result["kind"], row), []).append(row)
    tables = [_row_table(columns, rows) for columns, rows in groups.items()]
    lists = [
        result.get("ratios", []),
        result.get("comparisons", []),
        *filter(is_table, result.get("facts", {}).values()),
    ]
    return tables + [_plain_table(its) for its in lists if its]


def is_table(fact: Any) -> bool:
    """Whether a fact is a list of things with names, which a table shows best."""
    return isinstance(fact, list) and bool(fact) and all(isinstance(its, dict) and its for its in fact)


def machine_table(result: Result) -> Table:
    """What the numbers depend on; where rows differ, all values."""
    seen = {name: _distinct(row[name] for row in result["rows"]) for name in (*MACHINE, *MADE_FROM)}
    rows = [(name.replace("_", " "), "; ".join(values)) for name, values in seen.items() if values]
    return Table(("what", "value"), tuple(rows), (False, False))


def to_markdown(table: Table) -> str:
    """A table as Markdown; what would end a cell is escaped."""
    rule = ["---:" if right else "---" for right in table.is_number]
    lines = [table.columns, rule, *([escape(cell) for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def escape(text: str) -> str:
    """Text that means nothing to Markdown, in one line."""
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())


def words(value: Any) -> str:
    """A value of a result for people: four digits that count, thousands apart, lists with commas."""
    if value is None or value == []:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10**SIGNIFICANT_DIGITS else f"{value:.{SIGNIFICANT_DIGITS}g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {words(its)}" for key, its in value.items())
    return ", ".join(words(its) for its in value) if isinstance(value, list) else str(value)


def _columns(kind: str, row: Row) -> tuple[str, ...]:
    """Names of the numbers of a row that its kind shows, then of the facts that are one word or number."""
    numbers = [name for name in COLUMNS.get(kind, row["metrics"]) if name in row["metrics"]]
    facts = [
        name for name, its in row.get("facts", {}).items() if isinstance(its, str | int | float) and name != "role"
    ]
    return (*numbers, *(name for name in facts if name not in numbers))


def _row_table(columns: tuple[str, ...], rows: list[Row]) -> Table:
    cells = tuple((row["name"], row["stage"], *(words(its) for its in _values(row, columns))) for row in rows)
    is_text = [any(isinstance(row.get("facts", {}).get(name), str) for row in rows) for name in columns]
    is_number = (False, False, True, False, True, True, *(not its for its in is_text))
    return Table(("name", "stage", *FIRST_COLUMNS, *columns), cells, is_number)


def _values(row: Row, columns: tuple[str, ...]) -> list[Any]:
    facts = row.get("facts", {})
    return [*(row[name] for name in FIRST_COLUMNS), *(row["metrics"].get(name, facts.get(name)) for name in columns)]


def _plain_table(entries: list[dict[str, Any]]) -> Table:
    columns = tuple(dict.fromkeys(name for its in entries for name in its))
    rows = tuple(tuple(words(its.get(name)) for name in columns) for its in entries)
    is_number = tuple(all(isinstance(its.get(name), int | float | None) for its in entries) for name in columns)
    return Table(columns, rows, is_number)


def _distinct(values: Iterable[Any]) -> list[str]:
    return [text for text in dict.fromkeys(words(value) for value in values) if text != NONE]
