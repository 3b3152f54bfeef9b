"""Draws scale: time and memory of a screening over the length of sound."""

from typing import Any

from matplotlib.figure import Figure

from benchmarks.results.plots import LIMIT, OURS, draw_svg
from benchmarks.results.result import Result, Row

PANEL_IN = 3.0


def scale_svg(result: Result) -> str | None:
    """The text of an SVG image, None where no length was measured."""
    rows = result["rows"]
    line = result.get("facts", {}).get("line_over_audio_s")

    def draw(figure: Figure) -> None:
        time, memory = figure.subplots(1, 2)
        _draw_over_length(time, rows, "p50_ms", 1e-3, "s")
        _draw_over_length(memory, rows, "peak_bytes", 1e-6, "most MB of a process")
        time.set_yscale("log")
        time.yaxis.set_major_formatter("{x:g}")  # plain numbers: formulas are off
        memory.set_ylim(bottom=0)
        if line is not None:
            seconds = [row["audio_s"] for row in rows]
            fitted = [(line["fixed_ms"] + line["ms_per_unit"] * length_s) / 1000 for length_s in seconds]
            time.plot(seconds, fitted, color=LIMIT, linewidth=0.8, label="line")
        time.legend(frameon=False, fontsize=7)

    return draw_svg(draw, PANEL_IN) if rows else None


def _draw_over_length(axes: Any, rows: list[Row], key: str, scale: float, label: str) -> None:
    seconds, values = [row["audio_s"] for row in rows], [scale * row["metrics"][key] for row in rows]
    axes.plot(seconds, values, "o-", color=OURS, markersize=4, linewidth=1, label="one recording")
    axes.set(xscale="log", ylabel=label, xlabel="sound")
    lengths = [row["stage"].removeprefix("recording of ") for row in rows]
    axes.set_xticks(seconds, lengths, fontsize=7, rotation=45)
    axes.minorticks_off()
    axes.grid(linewidth=0.3)
