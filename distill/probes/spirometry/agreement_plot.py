"""Draws Bland and Altman's plot of each estimate of lung function."""

import io
from pathlib import Path

from core.files import write_atomically
from distill.evaluation.metrics import bland_altman
from distill.probes.linear_fit import participant_means
from distill.probes.spirometry.agreement import Array, LungTable, Measure


def draw_bland_altman(estimates: dict[str, Array], table: LungTable, measure: Measure, path: Path) -> None:
    """Write an SVG: estimate minus measured over their mean, one panel an estimate, with bias and limits.

    Needs matplotlib.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(estimates), 3.4), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(1, len(estimates), sharey=True, squeeze=False)[0]
    for axis, (name, estimate) in zip(axes, estimates.items(), strict=True):
        values, targets, _ = participant_means(estimate, table.targets, table.subjects)
        agreement = bland_altman(values, targets)
        axis.scatter((values + targets) / 2, values - targets, s=12, alpha=0.7)
        for height, style in ((agreement.bias, "-"), (agreement.low, "--"), (agreement.high, "--")):
            axis.axhline(height, color="black", linestyle=style, linewidth=0.8)
            axis.annotate(f"{height:.2f}", (1.0, height), xycoords=("axes fraction", "data"), ha="right", va="bottom")
        axis.set_title(name.replace("_", " "))
        axis.set_xlabel(f"mean of both ({measure.unit})")
    axes[0].set_ylabel(f"estimated less measured {measure.title} ({measure.unit})")
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    write_atomically(path, content.getvalue())
