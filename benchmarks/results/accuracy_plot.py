"""The only place that draws accuracy beside speed: AUROC with its interval over milliseconds, areas by size."""

from matplotlib.figure import Figure

from benchmarks.results.plots import LIMIT, OURS, PEER, draw_svg
from benchmarks.results.result import Result, Row
from benchmarks.workstation.accuracy import front_of

HEIGHT_IN = 3.8
AREA_PER_MB = 60.0  # square points
SMALLEST_AREA = 12.0


def accuracy_svg(result: Result) -> str | None:
    """The text of an SVG image, None where no model was judged; the grey line is the Pareto front."""
    rows = [row for row in result["rows"] if "cough_auroc" in row["metrics"] and row["metrics"]["p50_ms"] > 0]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        by_name = {row["name"]: _place(row) for row in rows}
        axes.plot(*zip(*(by_name[its] for its in front_of(rows)), strict=True), color=LIMIT, linewidth=0.8, zorder=0)
        for row in rows:
            (ms, auroc), its = _place(row), row["metrics"]
            colour = PEER if row.get("facts", {}).get("role") == "peer" else OURS
            low, high = its.get("cough_auroc_low", auroc), its.get("cough_auroc_high", auroc)
            axes.plot([ms, ms], [low, high], color=colour, linewidth=1)
            area = max(SMALLEST_AREA, AREA_PER_MB * its["model_bytes"] / 1e6)
            axes.scatter([ms], [auroc], s=area, color=colour, alpha=0.6)
            words = f"{row['name']}, {its['model_bytes'] / 1e6:.2f} MB"
            axes.annotate(words, (ms, auroc), textcoords="offset points", xytext=(8, 5), fontsize=7)
        axes.set(xscale="log", xlabel="ms for a clip of 2 s", ylabel=f"cough AUROC, {_pack(result)}")
        axes.xaxis.set_major_formatter("{x:g}")  # plain numbers: formulas are off
        axes.xaxis.set_minor_formatter("{x:g}")
        axes.tick_params(which="minor", labelsize=7)
        axes.margins(x=0.25)
        axes.grid(linewidth=0.3)

    return draw_svg(draw, HEIGHT_IN) if rows else None


def _place(row: Row) -> tuple[float, float]:
    return row["metrics"]["p50_ms"], row["metrics"]["cough_auroc"]


def _pack(result: Result) -> str:
    return result.get("facts", {}).get("pack", "pack")
