"""Shows an agreement report as one HTML page that needs nothing beside itself, plots included."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from core.bundle import COUGH
from core.probes import sigmoid
from distill.corpus.labels import EVENT_LABELS
from distill.pages import data_uri, draw_svg, page_environment
from quantize.outputs import Outputs, cosines

if TYPE_CHECKING:
    from quantize.agreement import Agreement
    from quantize.layer_errors import LayerError

TEMPLATES = Path(__file__).parent / "templates"
INT8_COLOUR, FLOAT_COLOUR, LIMIT_COLOUR = "#b5482a", "#2a6f97", "#555555"
SMALLEST_ANGLE = 1e-8


def render_page(agreement: "Agreement", outputs: dict[str, Outputs]) -> str:
    """Render a report; `outputs` are torch's, float's and int8's over the validation clips, for the plots."""
    recipe, limits = agreement.recipe, agreement.limits
    plots = {
        "embedding": embedding_plot(outputs, limits.min_embedding_cosine_median, limits.min_embedding_cosine_p1),
        "cough": cough_plot(outputs),
        "layers": layers_plot(agreement.layers, recipe["fallback"]["min_cosine_p1_alone"]),
    }
    plots = {name: data_uri(svg) for name, svg in plots.items()}
    template = page_environment(TEMPLATES).get_template("agreement.html")
    return template.render(agreement=agreement, recipe=recipe, plots=plots)


def embedding_plot(outputs: dict[str, Outputs], min_median: float, min_p1: float) -> str:
    """Share of the clips whose embedding is farther from float's than each distance; one minus cosine, logarithmic."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for name, colour in (("torch", FLOAT_COLOUR), ("int8", INT8_COLOUR)):
            distance = np.sort(1 - cosines(outputs["float"]["embedding"], outputs[name]["embedding"]))[::-1]
            share = np.arange(1, len(distance) + 1) / len(distance)
            axes.plot(np.maximum(distance, SMALLEST_ANGLE), share, color=colour, label=f"{name} against float")
        for name, cosine, share in (("median", min_median, 0.5), ("p1", min_p1, 0.01)):
            limit = max(1 - cosine, SMALLEST_ANGLE)
            axes.plot([limit], [share], "x", color=LIMIT_COLOUR, label=f"limit of the {name}: {limit:.2g}")
        axes.set(xscale="log", yscale="log", xlabel="1 - cosine", ylabel="share of clips beyond")
        axes.legend(frameon=False, fontsize=8)

    return draw_svg(draw, 3.2)


def cough_plot(outputs: dict[str, Outputs]) -> str:
    """Cough probability of each clip, int8 over float."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        cough = EVENT_LABELS.index(COUGH)
        ours, theirs = (sigmoid(outputs[name]["event_logits"][:, cough]) for name in ("float", "int8"))
        axes.plot([0, 1], [0, 1], color=LIMIT_COLOUR, linewidth=0.7)
        axes.axvline(0.5, color=LIMIT_COLOUR, linewidth=0.5, linestyle=":")
        axes.axhline(0.5, color=LIMIT_COLOUR, linewidth=0.5, linestyle=":")
        axes.plot(ours, theirs, ".", color=INT8_COLOUR, markersize=3, alpha=0.5)
        axes.set(xlabel="float", ylabel="int8", aspect="equal", title="probability of a cough, each clip")

    return draw_svg(draw, 3.6)


def layers_plot(layers: Sequence["LayerError"], min_p1_alone: float) -> str:
    """For each layer the error of its output, and what it does to the embedding alone in int8."""

    def draw(figure: Figure) -> None:
        outputs, alone = figure.subplots(1, 2, sharey=True)
        names = [layer.layer.removeprefix("body.") + (" +" if layer.operator == "ADD" else "") for layer in layers]
        places = np.arange(len(names))[::-1]
        outputs.barh(places, [layer.output.sqnr_db for layer in layers], color=FLOAT_COLOUR)
        outputs.set(xlabel="signal to quantization noise, dB", yticks=places, yticklabels=names)
        distances = [max(1 - layer.alone.embedding_cosine_p1, SMALLEST_ANGLE) for layer in layers]
        alone.barh(places, distances, color=INT8_COLOUR)
        alone.axvline(1 - min_p1_alone, color=LIMIT_COLOUR, linestyle=":", label="falls back beyond")
        alone.set(xscale="log", xlabel="1 - cosine (1st percentile), alone in int8")
        alone.legend(frameon=False, fontsize=8)

    return draw_svg(draw, 0.9 + 0.22 * len(layers))
