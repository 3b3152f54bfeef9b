import base64
import re
import xml.etree.ElementTree as ElementTree

from quantize.agreement_page import layers_plot


def test_the_page_needs_nothing_beside_itself_and_its_plots_are_drawings(made):
    page = made.agreement.with_suffix(".html").read_text(encoding="utf-8")
    assert "http" not in page and "<script" not in page and "<link" not in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 3
    for source in sources:
        head, _, content = source.partition(",")
        assert head == "data:image/svg+xml;base64"
        assert ElementTree.fromstring(base64.b64decode(content)).tag.endswith("svg")


def test_the_page_says_the_verdict_and_names_every_layer_and_model(made):
    page = made.agreement.with_suffix(".html").read_text(encoding="utf-8")
    assert '<span class="verdict accepted">' in page
    assert "body.blocks.4.project" in page and "body.embedding" in page
    assert "None is custom, Flex or Select-TF" in page


def test_the_same_report_gives_the_same_drawing(made):
    layers = made.quantized.agreement.layers
    ours, theirs = (layers_plot(layers, 0.99) for _ in range(2))
    assert ours == theirs
    assert layers_plot(layers[1:], 0.99) != ours
