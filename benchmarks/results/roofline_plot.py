"""The only place that draws a roofline: speed over intensity, one dot a layer, beneath what the machine can do."""

from typing import Any

import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmarks.results.names import BODY, DYNAMIC, FLOAT, FRONT_END, HEADS, INT8
from benchmarks.results.plots import svg_text
from benchmarks.results.result import Result
from core.errors import DataError

SIZE_IN = (7.2, 4.6)
# Colours that people with any colour vision tell apart; the shape says the precision.
COLOURS = {FRONT_END: "#2a6f97", BODY: "#b5482a", HEADS: "#5b8c3a"}
MARKERS = {FLOAT: "o", INT8: "s", DYNAMIC: "^"}
ROOF, MEMORY_STYLE = "#444444", (0, (4, 2))
N_NAMED = 4
_INTENSITY_MARGIN = 1.6
_FAR_RIGHT = 30.0  # multiply-adds a byte, from where on a text stands to the left of its dot


def roofline_svg(result: Result) -> str:
    """Draw a result of kind ``roofline``; the text of an SVG image, the same for the same result.

    Raises DataError for a result of another kind.
    """
    if result.get("kind") != "roofline":
        raise DataError(f"a roofline is drawn of a result of the kind roofline; this one is {result.get('kind')!r}.")
    return svg_text(_figure(result))


def _figure(result: Result) -> Figure:
    figure = Figure(figsize=SIZE_IN, layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    whole, *rows = result["rows"]
    dots = [row for row in rows if row["metrics"].get("intensity_macs_per_byte") and row["metrics"].get("gmacs_per_s")]
    intensity = [row["metrics"]["intensity_macs_per_byte"] for row in dots] or [1.0]
    low, high = min(intensity) / _INTENSITY_MARGIN, max(intensity) * _INTENSITY_MARGIN
    _draw_roofs(axes, whole["metrics"], low, high)
    _draw_layers(axes, dots)
    axes.set(xscale="log", yscale="log", xlim=(low, high), xlabel="multiply-adds a byte", ylabel="GMAC/s")
    its = whole["metrics"]
    axes.set_title(
        f"{whole['name']}: {its['p50_ms']:.3f} ms, limit {its['limit_ms']:.3f} ms ({whole['cpu']}, "
        f"{whole['threads']} thread{'s' if whole['threads'] > 1 else ''})",
        fontsize=9,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def _draw_roofs(axes: Any, its: dict[str, float], low: float, high: float) -> None:
    places = np.geomspace(low, high, 200)
    for precision in (FLOAT, INT8):
        peak = its[f"peak_{precision}_gmacs_per_s"]
        for where, style in (("cache", "-"), ("memory", MEMORY_STYLE)):
            speed = its[f"{where}_gb_per_s"]
            label = f"{speed:.0f} GB/s {'in cache' if where == 'cache' else 'from memory'}"
            roof = np.minimum(peak, speed * places)
            axes.plot(
                places, roof, color=ROOF, linewidth=0.9, linestyle=style, label=None if precision == FLOAT else label
            )
        axes.annotate(f"{precision} peak {peak:.0f}", (low * 1.05, peak * 1.04), fontsize=8, color=ROOF)


def _draw_layers(axes: Any, dots: list[dict[str, Any]]) -> None:
    for part, colour in COLOURS.items():
        for precision, marker in MARKERS.items():
            its = [row for row in dots if (row["facts"]["part"], row["facts"]["precision"]) == (part, precision)]
            if its:
                x, y = ([row["metrics"][key] for row in its] for key in ("intensity_macs_per_byte", "gmacs_per_s"))
                axes.plot(x, y, marker, color=colour, markersize=5, alpha=0.8, label=f"{part}, {precision}")
    for row in sorted(dots, key=_lost_us)[-N_NAMED:]:
        place = row["metrics"]["intensity_macs_per_byte"], row["metrics"]["gmacs_per_s"]
        layer = row["facts"]["layer"].removeprefix("body.") or row["facts"]["operator"]
        text = f"{layer}: {_lost_us(row):.1f} us lost"
        beside = {"xytext": (-7, -9), "ha": "right"} if place[0] > _FAR_RIGHT else {"xytext": (7, -9)}
        axes.annotate(text, place, textcoords="offset points", fontsize=7, **beside)


def _lost_us(row: dict[str, Any]) -> float:
    return row["metrics"]["us"] - row["metrics"]["limit_us"]
