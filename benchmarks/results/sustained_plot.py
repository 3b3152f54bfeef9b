"""The only place that draws sustained load: latency over time, and memory, clock and heat beneath it where known."""

from typing import Any

from matplotlib.figure import Figure

from benchmarks.results.plots import LIMIT, OURS, PEER, draw_svg
from benchmarks.results.result import Result

PANEL_IN = 1.5
Lines = list[tuple[list[float], str, str]]  # values, what they are, colour


def sustained_svg(result: Result) -> str | None:
    """One panel a quantity over minutes; the text of an SVG image, None where no point was reached."""
    points = [its for row in result["rows"] for its in row.get("facts", {}).get("points", [])]
    panels = _panels(points)

    def draw(figure: Figure) -> None:
        at_minutes = [its["at_s"] / 60 for its in points]
        several = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (label, lines) in zip(several, panels.items(), strict=True):
            for values, its, colour in lines:
                axes.plot(at_minutes, values, color=colour, linewidth=1.2, label=its)
            axes.set_ylabel(label, fontsize=8)
            axes.grid(linewidth=0.3)
            axes.margins(y=0.2)
        several[0].set_ylim(bottom=0)
        several[0].legend(frameon=False, fontsize=8)
        several[-1].set_xlabel("minutes")

    return draw_svg(draw, 0.6 + PANEL_IN * len(panels)) if points else None


def _panels(points: list[dict[str, Any]]) -> dict[str, Lines]:
    """Latency, and what was read at every point."""
    p50, p99 = ([its[key] for its in points] for key in ("p50_ms", "p99_ms"))
    panels = {"ms": [(p50, "median of 10 s", OURS), (p99, "99th percentile", PEER)]}
    held, clock, heat = ([its[key] for its in points] for key in ("resident_bytes", "clock_mhz", "temperatures_c"))
    if None not in held:
        panels["MB"] = [([its / 1e6 for its in held], "memory", OURS)]
    if None not in clock:
        panels["MHz"] = [(clock, "clock", LIMIT)]
    if None not in heat:
        panels["C, hottest"] = [([max(its.values()) for its in heat], "heat", LIMIT)]
    return panels
