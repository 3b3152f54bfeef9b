"""The only place that draws scale: time and memory over the length of sound, and mining over workers."""

from typing import Any

from matplotlib.figure import Figure

from benchmarks.results.plots import LIMIT, OURS, PEER, draw_svg
from benchmarks.results.result import Result, Row
from benchmarks.workstation.length import kinds_of_rows
from benchmarks.workstation.scale_screening import words_of

PANEL_IN = 3.0


def scale_svg(result: Result) -> str | None:
    """The text of an SVG image, None where no length was measured."""
    lengths, batches, mining = kinds_of_rows(result["rows"])
    line = result.get("facts", {}).get("line_over_audio_s")

    def draw(figure: Figure) -> None:
        time, memory, *others = figure.subplots(1, 3 if mining else 2)
        _draw_over_length(time, lengths, batches, "p50_ms", 1e-3, "s")
        _draw_over_length(memory, lengths, batches, "peak_bytes", 1e-6, "most MB of a process")
        time.set_yscale("log")
        time.yaxis.set_major_formatter("{x:g}")  # plain numbers: formulas are off
        memory.set_ylim(bottom=0)
        if line is not None:
            seconds = [row["audio_s"] for row in lengths]
            fitted = [(line["fixed_ms"] + line["ms_per_unit"] * its) / 1000 for its in seconds]
            time.plot(seconds, fitted, color=LIMIT, linewidth=0.8, label="line")
        time.legend(frameon=False, fontsize=7)
        for axes in others:
            _draw_mining(axes, mining)

    return draw_svg(draw, PANEL_IN) if lengths else None


def _draw_over_length(axes: Any, lengths: list[Row], batches: list[Row], key: str, scale: float, label: str) -> None:
    for rows, marker, colour, its in ((lengths, "o-", OURS, "one recording"), (batches, "s--", PEER, "process, files")):
        values = [scale * row["metrics"][key] for row in rows]
        axes.plot([row["audio_s"] for row in rows], values, marker, color=colour, markersize=4, linewidth=1, label=its)
    ticks = [row["audio_s"] for row in lengths]
    axes.set(xscale="log", ylabel=label, xlabel="sound")
    axes.set_xticks(ticks, [words_of(its) for its in ticks], fontsize=7, rotation=45)
    axes.minorticks_off()
    axes.grid(linewidth=0.3)


def _draw_mining(axes: Any, mining: list[Row]) -> None:
    workers = [row["metrics"]["workers"] for row in mining]
    rates = [row["metrics"]["audio_hours_per_hour"] for row in mining]
    axes.plot(workers, rates, "o-", color=OURS, markersize=4, linewidth=1)
    axes.plot(workers, [rates[0] * its / workers[0] for its in workers], color=LIMIT, linewidth=0.8)
    axes.set(ylabel="hours of sound mined an hour", xlabel="workers")
    axes.set_xticks(workers, [str(its) for its in workers], fontsize=7)
    axes.set_ylim(bottom=0)
    axes.grid(linewidth=0.3)
