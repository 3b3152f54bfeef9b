"""Shows results of any kind for people: a short Markdown page, and an HTML page of all rows that needs nothing else."""

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results.plots import draw_plot
from benchmarks.results.result import Result, read_result
from benchmarks.results.tables import Table, facts_in_words, is_table, machine_table, result_tables, to_markdown
from core.errors import DataError
from core.files import make_folder, write_atomically
from distill.pages import data_uri, page_environment
from distill.shown_text import escape_markdown

TEMPLATES = Path(__file__).parent / "templates"
MARKDOWN, PAGE = "report.md", "report.html"
MAX_LINES = 120  # of the Markdown
FEW_ROWS = 3  # of a table; before they are as few as this, tables are left out
MARKDOWN_WIDTH = 110  # characters


def write_report(paths: Sequence[Path], out: Path) -> int:
    """Write both pages and the plots into a folder, made where there is none; the number of results.

    Results go by the name of their file; two of the same name keep their folders.
    """
    names = [path.name for path in paths]
    results = {str(path) if names.count(path.name) > 1 else path.name: read_result(path) for path in paths}
    make_folder(out)
    plots = draw_plots(results)
    write_atomically(out / PAGE, render_page(results, plots))
    for name, plot in plots.items():
        write_atomically(out / plot_file(name), plot)
    write_atomically(out / MARKDOWN, render_markdown(results, plots))
    return len(results)


def draw_plots(results: dict[str, Result]) -> dict[str, str]:
    """SVG images, for the results by the name of their file whose kind has a plot."""
    plots = {}
    for name, result in results.items():
        try:
            plots[name] = draw_plot(result)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
    return {name: plot for name, plot in plots.items() if plot is not None}


def render_page(results: dict[str, Result], plots: dict[str, str]) -> str:
    """One HTML page of results by the name of their file: plot, all tables and facts, and the machine."""
    sections = [
        {
            "title": _title(name, result),
            "protocol": result["protocol"],
            "tables": result_tables(result),
            "machine": machine_table(result),
            "facts": facts_in_words(result),
            "plot": data_uri(plots[name]) if name in plots else None,
        }
        for name, result in results.items()
    ]
    return page_environment(TEMPLATES).get_template("report.html").render(sections=sections)


def render_markdown(results: dict[str, Result], plots: dict[str, str]) -> str:
    """What ran on one thread as Markdown, with the plots as files beside it (`plot_file`).

    As many tables, and as many rows of each, as `MAX_LINES` allow; the page and the JSON files hold all of them.
    """
    shown = {name: _on_one_thread(result) for name, result in results.items()}
    tables = {name: result_tables(result) for name, result in shown.items()}
    most_tables = max(map(len, tables.values()))
    most_rows = max((len(table.rows) for some in tables.values() for table in some), default=1)
    sizes = [(n_tables, n_rows) for n_tables in range(most_tables, 0, -1) for n_rows in range(most_rows, FEW_ROWS, -1)]
    for n_tables, n_rows in [*sizes, *((1, n_rows) for n_rows in range(FEW_ROWS, 0, -1))]:
        sections = [_markdown_section(name, shown[name], tables[name], plots, n_tables, n_rows) for name in results]
        markdown = "\n".join([f"# Benchmark report\n\nAll rows: {PAGE} and the JSON files.\n", *sections])
        if markdown.count("\n") <= MAX_LINES:
            break
    return markdown


def _on_one_thread(result: Result) -> Result:
    """A result without what ran on several threads, where anything ran on one, and without facts that are tables."""
    facts = {"facts": {key: fact for key, fact in result.get("facts", {}).items() if not is_table(fact)}}
    if all(row["threads"] != 1 for row in result["rows"]):
        return {**result, **facts}
    lists = {key: [entry for entry in result.get(key, []) if entry["threads"] == 1] for key in ("rows", "ratios")}
    return {**result, **facts, **lists}


def _markdown_section(
    name: str, result: Result, tables: list[Table], plots: dict[str, str], n_tables: int, n_rows: int
) -> str:
    """A heading, a line for each table of one row, the plot, the first tables and what machine it was."""
    lines = [f"## {escape_markdown(_title(name, result))}"]
    lines += [f"- {escape_markdown(line)}" for table in tables if len(table.rows) == 1 for line in table.in_words()]
    if result["facts"].get("ended_early"):
        lines.append("- ended early: yes")
    about = dict(machine_table(result).rows)
    machine = ", ".join(f"{label} {about[label]}" for label in ("cpu", "runtime", "commit") if label in about)
    lines += [f"- {escape_markdown(machine)}"] if machine else []
    lines += ["", f"![Plot of {escape_markdown(_title(name, result))}]({plot_file(name)})"] if name in plots else []
    longer = [table for table in tables if len(table.rows) > 1]
    shown = [table.shortened(n_rows).narrowed(MARKDOWN_WIDTH) for table in longer[:n_tables]]
    return "\n".join([*lines, "", *map(to_markdown, shown)])


def plot_file(name: str) -> str:
    """Name of the image of a result, by the name of its file; without what means something in a path or a link."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name.removesuffix(".json")) + ".svg"


def _title(name: str, result: Result) -> str:
    return f"{result['kind'].replace('_', ' ').capitalize()}: {name}"
