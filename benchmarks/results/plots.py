"""The only place that says which plot belongs to which kind of result; a plot is the text of an SVG image."""

import importlib
import io
from collections.abc import Callable
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from benchmarks.results.result import Result, Row
from benchmarks.results.verdicts import CANNOT_TELL, FASTER, SLOWER

WIDTH_IN = 7.2
ROW_IN = 0.22
OURS, PEER, LIMIT = "#b5482a", "#2a6f97", "#555555"
# Identifiers within a drawing are random without a salt; words stay words, which is a quarter of the size of their
# outlines and can be searched; a dollar in a name is no formula.
SVG_STYLE = {"svg.hashsalt": "tussis", "svg.fonttype": "none", "text.parse_math": False}
VERDICT_COLOURS = {FASTER: "#2e7d4f", SLOWER: "#b3261e", CANNOT_TELL: LIMIT}


class Plot(NamedTuple):
    """Where a kind's plot is: a module and a function in it, which takes a result and gives an SVG's text or None."""

    module: str
    function: str


# One line a kind. A module is imported when a result of its kind is drawn.
PLOTS = {
    "latency": Plot("benchmarks.results.plots", "times_plot"),
    "phone": Plot("benchmarks.results.plots", "times_plot"),
    "comparison": Plot("benchmarks.results.plots", "comparison_plot"),
    "roofline": Plot("benchmarks.results.roofline_plot", "roofline_svg"),
    "accuracy": Plot("benchmarks.results.accuracy_plot", "accuracy_svg"),
    "scale": Plot("benchmarks.results.scale_plot", "scale_svg"),
}


def draw_plot(result: Result) -> str | None:
    """The plot of a result's kind; None where the kind has none, or the result nothing to draw."""
    if result["kind"] not in PLOTS:
        return None
    plot = PLOTS[result["kind"]]
    return getattr(importlib.import_module(plot.module), plot.function)(result)


def times_plot(result: Result) -> str | None:
    """Median of each row as a dot and the way to its 99th percentile as a line, over a logarithmic axis."""
    rows = [row for row in result["rows"] if row["audio_s"] and row["metrics"].get("p50_ms", 0) > 0]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, row in enumerate(reversed(rows)):
            p50_ms = row["metrics"]["p50_ms"]
            colour = PEER if row.get("facts", {}).get("role") == "peer" else OURS
            axes.plot([p50_ms, row["metrics"].get("p99_ms", p50_ms)], [place, place], color=colour, linewidth=1.2)
            axes.plot([p50_ms], [place], "o", color=colour, markersize=4)
        axes.set(xscale="log", xlabel="ms: median, and up to the 99th percentile")
        axes.xaxis.set_major_formatter("{x:g}")  # plain numbers: formulas are off, see draw_svg
        axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
        axes.set_yticks(range(len(rows)), [_label(row) for row in reversed(rows)], fontsize=7)
        axes.grid(axis="x", linewidth=0.3)

    return draw_svg(draw, 0.9 + ROW_IN * len(rows)) if rows else None


def comparison_plot(result: Result) -> str | None:
    """Ratio of each comparison with its interval, coloured by the verdict, beside the noise margin."""
    entries = [its for its in result.get("comparisons", []) if its["low"] is not None]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, its in enumerate(reversed(entries)):
            colour, margin = VERDICT_COLOURS[its["verdict"]], 1 + its["margin"]
            axes.barh([place], [margin - 1 / margin], left=1 / margin, height=0.9, color="#eeeeee")
            axes.plot([its["low"], its["high"]], [place, place], color=colour, linewidth=1.2)
            axes.plot([its["value"]], [place], "o", color=colour, markersize=4)
        axes.axvline(1, color=LIMIT, linewidth=0.7)
        axes.set(xlabel="time of the second over that of the first; grey is the noise margin")
        axes.set_yticks(
            range(len(entries)), [f"{its['name']}, {its['stage']}" for its in reversed(entries)], fontsize=7
        )

    return draw_svg(draw, 0.9 + ROW_IN * len(entries)) if entries else None


def draw_svg(draw: Callable[[Figure], None], height_in: float) -> str:
    """Draw a figure; the text of an SVG image, the same for the same data."""
    with rc_context(SVG_STYLE):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
        return svg_text(figure)


def svg_text(figure: Figure) -> str:
    """A figure as the text of an SVG image, without the date."""
    content = io.StringIO()
    with rc_context(SVG_STYLE):
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


def _label(row: Row) -> str:
    return f"{row['name']}, {row['stage']} ({row['threads']}, {row['delegate']})"
