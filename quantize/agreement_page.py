"""The only place that shows an agreement report as one HTML page that needs nothing beside itself."""

from pathlib import Path
from typing import Any

from quantize.agreement_plots import cough_plot, embedding_plot, layers_plot
from quantize.outputs import Outputs
from quantize.page_environment import page_environment

TEMPLATES = Path(__file__).parent / "templates"


def render_page(agreement: dict[str, Any], outputs: dict[str, Outputs]) -> str:
    """Render a report; `outputs` are torch's, float's and int8's over the validation clips, for the plots."""
    recipe = agreement["recipe"]
    plots = {
        "embedding": embedding_plot(outputs, recipe["limits"]),
        "cough": cough_plot(outputs),
        "layers": layers_plot(agreement["layers"], recipe["fallback"]),
    }
    return page_environment(TEMPLATES).get_template("agreement.html").render(its=agreement, plots=plots)
