"""A plot is drawn from the JSON alone, the same each time."""

import re
from xml.etree import ElementTree

import pytest

from benchmarks.results.plots import PLOTS, draw_plot
from benchmarks.results.result import make_result
from tests.benchmarks.results.sample_results import comparison_result, latency_result, new_kind


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
