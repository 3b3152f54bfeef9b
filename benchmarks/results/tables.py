"""Turns a benchmark's result of any kind into tables of text: for a terminal, for a page and for Markdown."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.table import Table as TerminalTable

from benchmarks.results.names import MACHINE
from benchmarks.results.result import Result, Row
from distill.shown_text import PlainConsole, escape_markdown

NONE = "-"
SETTINGS = ("name", "stage", "threads", "delegate", "audio_s", "n_runs")
SHARED = ("name", "threads", "delegate", "audio_s", "n_runs", "to", "reference")  # said once, above a table
MADE_FROM = ("cpu_mhz", "temperature_c", "runtime", "model_sha256", "commit", "date", "load_average")
SIGNIFICANT_DIGITS = 4
GAP = 3  # characters between two columns of a terminal
WIDE = 1000  # characters: a file or a pipe takes lines of any length
FEWEST_COLUMNS = 4
PART_MARK = ": "  # of a stage that is a part of another, such as "screening: decode"
NUMBERED = re.compile(r"\d+ ")  # rows of one sort of which there are many, such as operators


@dataclass(frozen=True)
class Table:
    """Text by row and column, and a line above with what all rows share.

    ``is_number`` says of each column whether it is set to the right; ``sizes`` are each row's first number, by which a
    table that is too long is shortened.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    is_number: tuple[bool, ...]
    caption: str = ""
    sizes: tuple[float, ...] = ()

    def shortened(self, n_rows: int) -> "Table":
        """The `n_rows` most important rows, in their order: no parts of a stage, and of numbered rows the largest."""
        stages = [row[self.columns.index("stage")] if "stage" in self.columns else "" for row in self.rows]
        ranks = [
            (PART_MARK in stage, -self.sizes[place] if self.sizes and NUMBERED.match(stage) else 0, place)
            for place, stage in enumerate(stages)
        ]
        kept = sorted(place for _, _, place in sorted(ranks)[:n_rows])
        sizes = tuple(self.sizes[place] for place in kept) if self.sizes else ()
        return replace(self, rows=tuple(self.rows[place] for place in kept), sizes=sizes)

    def in_words(self) -> list[str]:
        """A line a row, of all columns that hold something: for a table that is too short to be one."""
        rows = [[f"{name} {cell}" for name, cell in zip(self.columns, row, strict=True)] for row in self.rows]
        caption = [self.caption] if self.caption else []
        return [", ".join(caption + [cell for cell in cells if not cell.endswith(f" {NONE}")]) for cells in rows]

    def narrowed(self, width: int) -> "Table":
        """The first columns that fit into `width` characters, at least the first few."""
        widths = [
            max(*(len(word) for word in name.split()), *(len(row[place]) for row in self.rows))
            for place, name in enumerate(self.columns)
        ]
        fitting = [sum(widths[: n + 1]) + GAP * (n + 1) < width for n in range(len(widths))]
        n = max(FEWEST_COLUMNS, sum(fitting))
        rows = tuple(row[:n] for row in self.rows)
        return replace(self, columns=self.columns[:n], rows=rows, is_number=self.is_number[:n])


def result_tables(result: Result) -> list[Table]:
    """Rows that show the same numbers in a table each, then ratios, comparisons and facts that are lists of things."""
    wanted = result.get("facts", {}).get("columns", [])
    groups: dict[Any, list[Row]] = {}
    for row in result["rows"]:
        groups.setdefault(_group(row, wanted), []).append(row)
    tables = [_row_table(rows, wanted) for rows in groups.values()]
    facts = {key: fact for key, fact in result.get("facts", {}).items() if is_table(fact)}
    lists = {"ratios": result.get("ratios"), "comparisons": result.get("comparisons"), **facts}
    return tables + [_entry_table(entries, [_label(key)]) for key, entries in lists.items() if entries]


def is_table(fact: Any) -> bool:
    """Whether a fact is a list of things with names, which a table shows best."""
    return isinstance(fact, list) and bool(fact) and all(isinstance(entry, dict) and entry for entry in fact)


def facts_in_words(result: Result) -> dict[str, str]:
    """The facts of a result that are no table."""
    facts = result.get("facts", {}).items()
    return {_label(key): words(fact) for key, fact in facts if not is_table(fact) and key != "columns"}


def machine_table(result: Result) -> Table:
    """What the numbers depend on; where rows differ, all values."""
    seen = {name: dict.fromkeys(words(row[name]) for row in result["rows"]) for name in (*MACHINE, *MADE_FROM)}
    values = {name: [text for text in texts if text != NONE] for name, texts in seen.items()}
    rows = [(_label(name), "; ".join(texts)) for name, texts in values.items() if texts]
    return Table(("what", "value"), tuple(rows), (False, False))


def print_result(result: Result) -> None:
    """Print for a person what the report shows; on a terminal as many columns as it is wide."""
    console = PlainConsole(soft_wrap=True)
    is_narrow = console.is_terminal
    console.width = console.width if is_narrow else WIDE
    for table in result_tables(result):
        shown = table.narrowed(console.width) if is_narrow else table
        terminal_table = TerminalTable()
        for name, is_number in zip(shown.columns, shown.is_number, strict=True):
            terminal_table.add_column(name, justify="right" if is_number else "left", overflow="fold")
        for row in shown.rows:
            terminal_table.add_row(*row)
        console.print(table.caption)
        console.print(terminal_table)
        if left_out := table.columns[len(shown.columns) :]:
            console.print(f"Not shown, but in the JSON: {', '.join(left_out)}.")
    for label, fact in facts_in_words(result).items():
        console.print(f"{label}: {fact}")
    console.print(", ".join(f"{label} {value}" for label, value in machine_table(result).rows))


def to_markdown(table: Table) -> str:
    """A table as Markdown; whatever a cell, a column's name or the caption holds is text and nothing else."""
    rule = ["---:" if right else "---" for right in table.is_number]
    names, *rows = ([escape_markdown(cell) for cell in row] for row in (table.columns, *table.rows))
    lines = [names, rule, *rows]
    caption = f"{escape_markdown(table.caption)}\n\n" if table.caption else ""
    return caption + "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


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
        return ", ".join(f"{_label(key)} {words(part)}" for key, part in value.items())
    return ", ".join(words(part) for part in value) if isinstance(value, list) else str(value)


def _group(row: Row, wanted: Sequence[str]) -> Any:
    """What rows of one table have in common: the first wanted column, or all numbers where none is wanted."""
    values = _values(row)
    return next((name for name in wanted if name in values), None) if wanted else tuple(values)


def _values(row: Row) -> dict[str, Any]:
    """Metrics of a row, then the facts that are one word or number."""
    facts = {key: fact for key, fact in row.get("facts", {}).items() if isinstance(fact, str | int | float)}
    return {key: value for key, value in {**row["metrics"], **facts, **row["metrics"]}.items() if key != "role"}


def _row_table(rows: Sequence[Row], wanted: Sequence[str]) -> Table:
    values = [_values(row) for row in rows]
    there = dict.fromkeys(name for numbers in values for name in numbers)
    columns = [name for name in wanted or there if name in there]
    settings = [{name: row[name] for name in SETTINGS} for row in rows]
    entries = [a | {name: b.get(name) for name in columns} for a, b in zip(settings, values, strict=True)]
    return _entry_table(entries, [])


def _entry_table(entries: Sequence[Mapping[str, Any]], title: list[str]) -> Table:
    """A table of things with names; above it a title, and of `SHARED` what is the same of all of them."""
    names = list(dict.fromkeys(name for entry in entries for name in entry))
    shared = [name for name in names if name in SHARED and len({words(entry.get(name)) for entry in entries}) == 1]
    columns = [name for name in names if name not in shared]
    numbers = [name for name in columns if all(isinstance(entry.get(name), int | float | None) for entry in entries)]
    size = next((name for name in numbers if name not in SETTINGS), None)
    captions = title + [f"{_label(name)} {words(entries[0][name])}" for name in shared if entries[0].get(name)]
    return Table(
        columns=tuple(map(_label, columns)),
        rows=tuple(tuple(words(entry.get(name)) for name in columns) for entry in entries),
        is_number=tuple(name in numbers for name in columns),
        caption=", ".join(captions),
        sizes=tuple(float(entry.get(size) or 0) for entry in entries) if size else (),
    )


def _label(name: str) -> str:
    return name.replace("_", " ")
