"""Pages: what stands in them is text, never markup, and a drawing is the same for the same data."""

import base64
from xml.etree import ElementTree

import jinja2
import pytest

from distill.pages import data_uri, draw_svg, page_environment


def test_text_is_escaped_and_a_missing_name_is_an_error(tmp_path):
    (tmp_path / "page.html").write_text("<p>{{ name }}</p>")
    template = page_environment(tmp_path).get_template("page.html")
    assert template.render(name="<script>") == "<p>&lt;script&gt;</p>"
    with pytest.raises(jinja2.UndefinedError):
        template.render()


def test_a_drawing_repeats_byte_for_byte_and_holds_its_words_as_text():
    def draw(figure):
        figure.subplots().set(title="<b>$x$ & more")

    svg = draw_svg(draw, 2.0)
    assert svg == draw_svg(draw, 2.0)
    words = [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]
    assert "<b>$x$ & more" in words
    assert base64.b64decode(data_uri(svg).partition(",")[2]).decode() == svg
