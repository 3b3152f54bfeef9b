"""The only place that shows results for people: Markdown, and one page that needs nothing beside itself (report)."""

import base64
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.results.plots import draw_plot
from benchmarks.results.result import Result, read_result
from benchmarks.results.tables import escape, facts_in_words, machine_table, result_tables, to_markdown
from core.errors import OutputError, exit_on_error
from core.files import check_writable, write_atomically
from quantize.agreement_page import page_environment

TEMPLATES = Path(__file__).parent / "templates"
MARKDOWN, PAGE = "report.md", "report.html"


def draw_plots(results: dict[str, Result]) -> dict[str, str]:
    """SVG images, for the results by the name of their file whose kind has a plot."""
    return {name: plot for name, result in results.items() if (plot := draw_plot(result)) is not None}


def render_page(results: dict[str, Result], plots: dict[str, str]) -> str:
    """One HTML page of results by the name of their file: its plot where there is one, tables, and the machine."""
    uris = {name: data_uri(plot) for name, plot in plots.items()}
    sections = [_section(*its) | {"plot": uris.get(its[0])} for its in results.items()]
    return page_environment(TEMPLATES).get_template("report.html").render(sections=sections)


def render_markdown(results: dict[str, Result], plots: dict[str, str]) -> str:
    """The same as Markdown, with the plots as files beside it (`plot_file`)."""
    parts = ["# Benchmark report\n"]
    for name, result in results.items():
        section = _section(name, result)
        tables = [to_markdown(table) for table in (*section["tables"], section["machine"])]
        parts += [
            f"## {escape(section['title'])}\n",
            f"{escape(result['protocol'])}\n",
            *([f"![Plot of the tables below]({plot_file(name)})\n"] if name in plots else []),
            *_notes(section["facts"]),
            *tables,
        ]
    return "\n".join(parts)


def plot_file(name: str) -> str:
    """Name of the image of a result, by the name of its file; without what means something in a path or a link."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name.removesuffix(".json")) + ".svg"


def _section(name: str, result: Result) -> dict[str, Any]:
    """What is said of one result in words and numbers."""
    return {
        "title": f"{result['kind'].replace('_', ' ').capitalize()}: {name}",
        "protocol": result["protocol"],
        "tables": result_tables(result),
        "machine": machine_table(result),
        "facts": facts_in_words(result),
    }


def data_uri(svg: str) -> str:
    """An SVG image as the source of an ``img``: whatever a result holds, nothing in it can run as a script."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")


def _notes(facts: dict[str, str]) -> list[str]:
    return ["".join(f"- {escape(key)}: {escape(its)}\n" for key, its in facts.items())] if facts else []


def read_results(paths: list[Path]) -> dict[str, Result]:
    """Read results by the name of their file; two of the same name keep their folders."""
    names = [path.name for path in paths]
    return {str(path) if names.count(path.name) > 1 else path.name: read_result(path) for path in paths}


def report(
    results: Annotated[list[Path], typer.Argument(help="Results, JSON; one of a run that ended early is taken too.")],
    out: Annotated[Path, typer.Option(help=f"Folder for {MARKDOWN} and {PAGE}; made where there is none.")],
) -> None:
    """Show results of any kind: tables in Markdown and plots as SVG, and one HTML page that needs nothing beside it.

    Example: tussis-benchmark report latency.json roofline.json --out report
    """
    with exit_on_error("tussis-benchmark"):
        read = read_results(results)
        _make_folder(out)
        plots = draw_plots(read)
        write_atomically(out / PAGE, render_page(read, plots))
        for name, plot in plots.items():
            write_atomically(out / plot_file(name), plot)
        write_atomically(out / MARKDOWN, render_markdown(read, plots))
        Console(soft_wrap=True).print(f"{out / PAGE} and {out / MARKDOWN} hold {len(read)} result(s)")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror or error}.") from error
    check_writable(folder)
