"""A plot is drawn from the JSON alone, the same each time."""

import re
from xml.etree import ElementTree

import pytest

from benchmarks.results.plots import PLOTS, draw_plot
from benchmarks.results.result import make_result, make_row
from core.errors import DataError
from tests.benchmarks.results.sample_results import RUN, comparison_result, latency_result, new_kind


@pytest.mark.parametrize("result", [latency_result(), comparison_result()], ids=lambda result: result["kind"])
def test_a_plot_is_an_image_by_itself_and_the_same_each_time(result):
    svg = draw_plot(result)
    assert svg == draw_plot(result)
    assert ElementTree.fromstring(svg.partition("<svg")[1] + svg.partition("<svg")[2]).tag.endswith("svg")
    assert "<script" not in svg


def test_a_kind_without_a_plot_and_a_result_with_nothing_to_draw_have_none():
    assert draw_plot(new_kind()) is None
    for kind in PLOTS:
        assert draw_plot(make_result(kind, "nothing", [])) is None


def test_the_axis_of_times_has_numbers_that_people_read():
    svg = draw_plot(latency_result())
    assert "mathdefault" not in svg and re.search(r"<text[^>]*>10</text>", svg)


@pytest.mark.parametrize(
    ("kind", "metrics"), [("roofline", {"limit_ms": 1.0, "p50_ms": 2.0}), ("scale", {"p50_ms": 1})]
)
def test_a_result_without_what_its_plot_needs_is_refused_with_a_sentence(kind, metrics):
    row = make_row("ours", "recording of 2 s", RUN, metrics, 2.0)
    with pytest.raises(DataError, match=rf"a result of the kind {kind} does not hold what its plot needs \(KeyError"):
        draw_plot(make_result(kind, "p", [row]))
