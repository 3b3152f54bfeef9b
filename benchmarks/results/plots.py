"""Draws a result as the text of an SVG image, from its JSON alone."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from benchmarks.results.names import DYNAMIC, FLOAT, INT8, PEER
from benchmarks.results.result import Result, Row
from benchmarks.results.verdicts import CANNOT_TELL, FASTER, SLOWER
from core.errors import DataError, one_line
from distill.pages import draw_svg
from quantize.tflite_parts import BODY, FRONT_END, HEADS

ROW_IN = 0.22
OUR_COLOUR, PEER_COLOUR, LIMIT_COLOUR = "#b5482a", "#2a6f97", "#555555"
PLAIN_NUMBERS = "{x:g}"  # because formulas are off
VERDICT_COLOURS = {FASTER: "#2e7d4f", SLOWER: "#b3261e", CANNOT_TELL: LIMIT_COLOUR}
# Colours that people with any colour vision tell apart; the shape says the precision.
PART_COLOURS = {FRONT_END: PEER_COLOUR, BODY: OUR_COLOUR, HEADS: "#5b8c3a"}
PRECISION_MARKERS = {FLOAT: "o", INT8: "s", DYNAMIC: "^"}
DASHES = (0, (4, 2))
N_NAMED_OPERATORS = 4
INTENSITY_MARGIN = 1.6
FAR_RIGHT_MACS_PER_BYTE = 30.0  # from where on a text stands to the left of its dot
SQUARE_POINTS_PER_MB, FEWEST_SQUARE_POINTS = 60.0, 12.0

Drawing = tuple[float, Callable[[Figure], None]]  # height in inches, and what draws it


def draw_plot(result: Result) -> str | None:
    """The plot of a result's kind, the same for the same result; None where there is none, or nothing to draw.

    Raises DataError where the rows or facts, which the schema leaves to the kind, are not what the plot needs.
    """
    try:
        return _draw(result)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        needs = f"a result of the kind {result['kind']} does not hold what its plot needs"
        raise DataError(f"{needs} ({type(error).__name__}: {one_line(error)}).") from error


def _draw(result: Result) -> str | None:
    plot = PLOTS.get(result["kind"])
    drawing = plot(result) if plot else None
    if drawing is None:
        return None
    height_in, draw = drawing
    return draw_svg(draw, height_in)


def times_plot(result: Result) -> Drawing | None:
    """Median of each row as a dot and the way to its 99th percentile as a line, over a logarithmic axis."""
    rows = [row for row in result["rows"] if row["audio_s"] and row["metrics"].get("p50_ms", 0) > 0]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, row in enumerate(reversed(rows)):
            p50_ms = row["metrics"]["p50_ms"]
            _draw_interval(axes, place, p50_ms, p50_ms, row["metrics"].get("p99_ms", p50_ms), _colour(row))
        axes.set(xscale="log", xlabel="ms: median, and up to the 99th percentile")
        axes.xaxis.set_major_formatter(PLAIN_NUMBERS)
        axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
        labels = [f"{row['name']}, {row['stage']} ({row['threads']}, {row['delegate']})" for row in reversed(rows)]
        axes.set_yticks(range(len(rows)), labels, fontsize=7)
        axes.grid(axis="x", linewidth=0.3)

    return (0.9 + ROW_IN * len(rows), draw) if rows else None


def comparison_plot(result: Result) -> Drawing | None:
    """Ratio of each comparison with its interval, coloured by the verdict, beside the noise margin."""
    entries = [entry for entry in result.get("comparisons", []) if entry["low"] is not None]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, entry in enumerate(reversed(entries)):
            margin = 1 + entry["margin"]
            axes.barh([place], [margin - 1 / margin], left=1 / margin, height=0.9, color="#eeeeee")
            colour = VERDICT_COLOURS[entry["verdict"]]
            _draw_interval(axes, place, entry["value"], entry["low"], entry["high"], colour)
        axes.axvline(1, color=LIMIT_COLOUR, linewidth=0.7)
        axes.set(xlabel="time of the second over that of the first; grey is the noise margin")
        labels = [f"{entry['name']}, {entry['stage']}" for entry in reversed(entries)]
        axes.set_yticks(range(len(entries)), labels, fontsize=7)

    return (0.9 + ROW_IN * len(entries), draw) if entries else None


def accuracy_plot(result: Result) -> Drawing | None:
    """AUROC with its interval over milliseconds, areas by size of the file; the grey line is the Pareto front."""
    rows = [row for row in result["rows"] if "cough_auroc" in row["metrics"] and row["metrics"]["p50_ms"] > 0]
    facts = result.get("facts", {})

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = {row["name"]: (row["metrics"]["p50_ms"], row["metrics"]["cough_auroc"]) for row in rows}
        front = [places[name] for name in facts.get("front", []) if name in places]
        axes.plot([ms for ms, _ in front], [auroc for _, auroc in front], color=LIMIT_COLOUR, linewidth=0.8, zorder=0)
        for row in rows:
            (ms, auroc), metrics, colour = places[row["name"]], row["metrics"], _colour(row)
            low, high = metrics.get("cough_auroc_low", auroc), metrics.get("cough_auroc_high", auroc)
            axes.plot([ms, ms], [low, high], color=colour, linewidth=1)
            size_mb = metrics["model_bytes"] / 1e6
            area = max(FEWEST_SQUARE_POINTS, SQUARE_POINTS_PER_MB * size_mb)
            axes.scatter([ms], [auroc], s=area, color=colour, alpha=0.6)
            label = f"{row['name']}, {size_mb:.2f} MB"
            axes.annotate(label, (ms, auroc), textcoords="offset points", xytext=(8, 5), fontsize=7)
        axes.set(xscale="log", xlabel="ms for a clip of 2 s", ylabel=f"cough AUROC, {facts.get('pack', 'pack')}")
        axes.xaxis.set_major_formatter(PLAIN_NUMBERS)
        axes.xaxis.set_minor_formatter(PLAIN_NUMBERS)
        axes.tick_params(which="minor", labelsize=7)
        axes.margins(x=0.25)
        axes.grid(linewidth=0.3)

    return (3.8, draw) if rows else None


def length_plot(result: Result) -> Drawing | None:
    """Time and memory over the length of a recording, and the line that was fitted to the times."""
    rows = [row for row in result["rows"] if row["stage"].startswith("recording of ")]
    line = result.get("facts", {}).get("line_over_audio_s")

    def draw(figure: Figure) -> None:
        lengths_s = [row["audio_s"] for row in rows]
        time, memory = figure.subplots(1, 2)
        for axes, key, scale, label in ((time, "p50_ms", 1e-3, "s"), (memory, "peak_bytes", 1e-6, "most MB")):
            values = [scale * row["metrics"][key] for row in rows]
            axes.plot(lengths_s, values, "o-", color=OUR_COLOUR, markersize=4, linewidth=1)
            axes.set(xscale="log", ylabel=label, xlabel="sound")
            ticks = [row["stage"].removeprefix("recording of ") for row in rows]
            axes.set_xticks(lengths_s, ticks, fontsize=7, rotation=45)
            axes.minorticks_off()
            axes.grid(linewidth=0.3)
        time.set_yscale("log")
        time.yaxis.set_major_formatter(PLAIN_NUMBERS)
        memory.set_ylim(bottom=0)
        if line is not None:
            fitted = [(line["fixed_ms"] + line["ms_per_unit"] * length_s) / 1000 for length_s in lengths_s]
            time.plot(lengths_s, fitted, color=LIMIT_COLOUR, linewidth=0.8, label="line")
            time.legend(frameon=False, fontsize=7)

    return (3.0, draw) if rows else None


def tenths_plot(result: Result) -> Drawing | None:
    """Latency over the tenths of a time of monitoring, and memory, clock and heat beneath it where all know them."""
    tenths = [row["metrics"] for row in result["rows"] if "p50_ms_per_hop" in row["metrics"]]
    panels = {
        "ms": [("p50_ms", 1.0, OUR_COLOUR), ("p99_ms", 1.0, PEER_COLOUR)],
        "MB": [("resident_bytes", 1e-6, OUR_COLOUR)],
        "MHz": [("clock_mhz", 1.0, LIMIT_COLOUR)],
        "C, hottest": [("hottest_c", 1.0, LIMIT_COLOUR)],
    }
    known = {label: lines for label, lines in panels.items() if all(lines[0][0] in metrics for metrics in tenths)}

    def draw(figure: Figure) -> None:
        stacked = figure.subplots(len(known), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (label, lines) in zip(stacked, known.items(), strict=True):
            for key, scale, colour in lines:
                values = [scale * metrics[key] for metrics in tenths]
                axes.plot(range(1, len(tenths) + 1), values, color=colour, linewidth=1.2, label=key.removesuffix("_ms"))
            axes.set_ylabel(label, fontsize=8)
            axes.grid(linewidth=0.3)
            axes.margins(y=0.2)
        stacked[0].set_ylim(bottom=0)
        stacked[0].legend(frameon=False, fontsize=8)
        stacked[-1].set_xlabel("tenth of the time")

    return (0.6 + 1.5 * len(known), draw) if tenths else None


def roofline_plot(result: Result) -> Drawing | None:
    """Speed over intensity, one dot an operator, beneath what the machine can do."""
    whole = next((row for row in result["rows"] if "limit_ms" in row["metrics"]), None)
    dots = [row for row in result["rows"] if row["metrics"].get("macs") and "intensity_macs_per_byte" in row["metrics"]]
    dots = [row for row in dots if row["metrics"].get("gmacs_per_s")]

    def draw(figure: Figure) -> None:
        axes, metrics = figure.subplots(), whole["metrics"]
        intensity = [row["metrics"]["intensity_macs_per_byte"] for row in dots] or [1.0]
        low, high = min(intensity) / INTENSITY_MARGIN, max(intensity) * INTENSITY_MARGIN
        _draw_roofs(axes, metrics, low, high)
        _draw_operators(axes, dots)
        axes.set(xscale="log", yscale="log", xlim=(low, high), xlabel="multiply-adds a byte", ylabel="GMAC/s")
        times = f"{metrics['p50_ms']:.3f} ms, limit {metrics['limit_ms']:.3f} ms"
        axes.set_title(f"{whole['name']}: {times} ({whole['cpu']}, threads: {whole['threads']})", fontsize=9)
        axes.legend(frameon=False, fontsize=8, loc="lower right")

    return (4.6, draw) if whole else None


def _draw_roofs(axes: Axes, metrics: dict[str, float], low: float, high: float) -> None:
    places = np.geomspace(low, high, 200)
    for precision in (FLOAT, INT8):
        peak = metrics[f"peak_{precision}_gmacs_per_s"]
        for where, style, label in (("cache", "-", "in cache"), ("memory", DASHES, "from memory")):
            speed = metrics[f"{where}_gb_per_s"]
            label = f"{speed:.0f} GB/s {label}" if precision == INT8 else None
            roof = np.minimum(peak, speed * places)
            axes.plot(places, roof, color=LIMIT_COLOUR, linewidth=0.9, linestyle=style, label=label)
        axes.annotate(f"{precision} peak {peak:.0f}", (low * 1.05, peak * 1.04), fontsize=8, color=LIMIT_COLOUR)


def _draw_operators(axes: Axes, dots: Sequence[Row]) -> None:
    for part, colour in PART_COLOURS.items():
        for precision, marker in PRECISION_MARKERS.items():
            same = [row for row in dots if (row["facts"]["part"], row["facts"]["precision"]) == (part, precision)]
            if same:
                x, y = zip(*map(_speed_place, same), strict=True)
                axes.plot(x, y, marker, color=colour, markersize=5, alpha=0.8, label=f"{part}, {precision}")
    for row in sorted(dots, key=_lost_us)[-N_NAMED_OPERATORS:]:
        place = _speed_place(row)
        layer = row["facts"]["layer"].removeprefix("body.") or row["facts"]["operator"]
        is_far_right = place[0] > FAR_RIGHT_MACS_PER_BYTE
        beside = {"xytext": (-7, -9), "ha": "right"} if is_far_right else {"xytext": (7, -9)}
        text = f"{layer}: {_lost_us(row):.1f} us lost"
        axes.annotate(text, place, textcoords="offset points", fontsize=7, **beside)


def _speed_place(row: Row) -> tuple[float, float]:
    return row["metrics"]["intensity_macs_per_byte"], row["metrics"]["gmacs_per_s"]


def _lost_us(row: Row) -> float:
    return row["metrics"]["us"] - row["metrics"]["limit_us"]


def _draw_interval(axes: Axes, place: int, value: float, low: float, high: float, colour: str) -> None:
    axes.plot([low, high], [place, place], color=colour, linewidth=1.2)
    axes.plot([value], [place], "o", color=colour, markersize=4)


def _colour(row: Row) -> str:
    return PEER_COLOUR if row.get("facts", {}).get("role") == PEER else OUR_COLOUR


# One line a kind.
PLOTS: dict[str, Callable[[Result], Drawing | None]] = {
    "latency": times_plot,
    "phone": times_plot,
    "comparison": comparison_plot,
    "accuracy": accuracy_plot,
    "roofline": roofline_plot,
    "scale": length_plot,
    "monitoring": tenths_plot,
}
