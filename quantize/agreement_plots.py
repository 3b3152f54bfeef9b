"""The only place that draws the plots of an agreement report, each an SVG image that a page can hold in itself."""

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from core.pooling import probabilities
from distill.corpus.labels import EVENT_LABELS
from quantize.agreement import cosines
from quantize.outputs import Outputs

INT8, FLOAT, LIMIT = "#b5482a", "#2a6f97", "#555555"
SMALLEST_ANGLE = 1e-8
WIDTH_IN = 7.2


def embedding_plot(outputs: dict[str, Outputs], limits: dict[str, Any]) -> str:
    """Share of the clips whose embedding is farther from float's than each distance; one minus cosine, logarithmic."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for name, colour in (("torch", FLOAT), ("int8", INT8)):
            distance = np.sort(1 - cosines(outputs["float"]["embedding"], outputs[name]["embedding"]))[::-1]
            share = np.arange(1, len(distance) + 1) / len(distance)
            axes.plot(np.maximum(distance, SMALLEST_ANGLE), share, color=colour, label=f"{name} against float")
        for name, share in (("median", 0.5), ("p1", 0.01)):
            limit = max(1 - limits[f"min_embedding_cosine_{name}"], SMALLEST_ANGLE)
            axes.plot([limit], [share], "x", color=LIMIT, label=f"limit of the {name}: {limit:.2g}")
        axes.set(xscale="log", yscale="log", xlabel="1 - cosine", ylabel="share of clips beyond")
        axes.legend(frameon=False, fontsize=8)

    return _svg(draw, 3.2)


def cough_plot(outputs: dict[str, Outputs]) -> str:
    """Cough probability of each clip, int8 over float."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        cough = EVENT_LABELS.index("cough")
        ours, theirs = (probabilities(outputs[name]["event_logits"][:, cough]) for name in ("float", "int8"))
        axes.plot([0, 1], [0, 1], color=LIMIT, linewidth=0.7)
        axes.axvline(0.5, color=LIMIT, linewidth=0.5, linestyle=":")
        axes.axhline(0.5, color=LIMIT, linewidth=0.5, linestyle=":")
        axes.plot(ours, theirs, ".", color=INT8, markersize=3, alpha=0.5)
        axes.set(xlabel="float", ylabel="int8", aspect="equal", title="probability of a cough, each clip")

    return _svg(draw, 3.6)


def layers_plot(layers: list[dict[str, Any]], limits: dict[str, Any]) -> str:
    """For each layer the error of its output, and what it does to the embedding alone in int8."""

    def draw(figure: Figure) -> None:
        outputs, alone = figure.subplots(1, 2, sharey=True)
        names = [f"{its['layer'].removeprefix('body.')}{' +' if its['operator'] == 'ADD' else ''}" for its in layers]
        places = np.arange(len(names))[::-1]
        outputs.barh(places, [its["output"]["sqnr_db"] for its in layers], color=FLOAT)
        outputs.set(xlabel="signal to quantization noise, dB", yticks=places, yticklabels=names)
        distances = [max(1 - its["alone"]["embedding_cosine_p1"], SMALLEST_ANGLE) for its in layers]
        alone.barh(places, distances, color=INT8)
        alone.axvline(1 - limits["min_cosine_p1_alone"], color=LIMIT, linestyle=":", label="falls back beyond")
        alone.set(xscale="log", xlabel="1 - cosine (1st percentile), alone in int8")
        alone.legend(frameon=False, fontsize=8)

    return _svg(draw, 0.9 + 0.22 * len(layers))


def _svg(draw: Callable[[Figure], None], height_in: float) -> str:
    """Draw a figure; returns a data URI, the same for the same data."""
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    FigureCanvasSVG(figure)
    draw(figure)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    content = io.BytesIO()
    with rc_context({"svg.hashsalt": "tussis"}):  # identifiers within the drawing are random without it
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(content.getvalue()).decode("ascii")
