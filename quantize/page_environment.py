"""The only place that says how HTML pages are rendered: escaped, and a name that is missing is an error."""

from pathlib import Path

import jinja2


def page_environment(templates: Path) -> jinja2.Environment:
    """Make the environment of the templates in a folder."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
