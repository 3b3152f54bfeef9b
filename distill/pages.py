"""Makes pages that need nothing beside themselves: templates that escape every text, and figures as data URIs."""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2
    from matplotlib.figure import Figure

WIDTH_IN = 7.2
# Identifiers within a drawing are random without a salt; words stay words, which is a quarter of the size of their
# outlines and can be searched; a dollar in a name is no formula.
SVG_STYLE = {
    "svg.hashsalt": "tussis",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.sans-serif": ["DejaVu Sans"],  # each word names every font that is listed
}
NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_INDENT = re.compile(r"\n +")
_PLACES = re.compile(r'(?<=\s[dxy]=")[^"]*')
_TOO_PRECISE = re.compile(r"(?<=\.\d\d)\d+")  # a hundredth of a point is kept


def page_environment(templates: Path) -> "jinja2.Environment":
    """Make the environment of the templates in a folder: text is escaped, and a name that is missing is an error."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def draw_svg(draw: "Callable[[Figure], None]", height_in: float, width_in: float = WIDTH_IN) -> str:
    """Draw a figure; returns the text of an SVG image, the same for the same data."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    content = io.StringIO()
    with rc_context(SVG_STYLE):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(content, format="svg", metadata=NO_METADATA)
    return _PLACES.sub(lambda places: _TOO_PRECISE.sub("", places[0]), _INDENT.sub("\n", content.getvalue()))


def data_uri(svg: str) -> str:
    """An SVG image as the source of an ``img``: whatever a drawing holds, nothing in it can run as a script."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")
