"""The page: one file with every plot in it, in which no name of a table is markup."""

import re
from xml.etree import ElementTree

import pytest

from distill.evaluation.report.items import Question
from distill.evaluation.report.measure import ReportOptions, make_report
from distill.evaluation.report.packs import Asked
from distill.evaluation.report.page import render_page
from distill.evaluation.report.plots import draw_overview, draw_question, draw_subgroups

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def result(people):
    items = people(80, covariates=lambda person, _: {"site": EVIL if person < 40 else "b & c", "sex": ""})
    about = {
        "kind": "probe",
        "bundle": {"name": EVIL, "sha256": "0" * 64},
        "model_sha256": "1" * 64,
        "probe": {"name": EVIL, "fitted": EVIL, "refitted_on_shuffled_labels": {"aurocs": [0.5], "mean": 0.5}},
    }
    questions = [Question(EVIL, EVIL, items, 0.5, "person"), Question("few", "x", people(24), None)]
    return make_report(Asked([*questions, Question("none", "x", people(3))], (), ()), about, ReportOptions(n_draws=100))


def test_the_page_stands_alone_and_every_text_is_escaped(result):
    page = render_page(result)
    assert EVIL not in page and "&lt;script&gt;" in page
    assert not re.search(r"<script|src=\"(?!data:)|href=", page)
    assert page.startswith("<!doctype html>") and page.count('<img src="data:image/svg+xml;base64,') == 3
    auroc = result["questions"][0]["auroc"]
    assert f"{auroc['value']:.3f} ({auroc['low']:.3f}-{auroc['high']:.3f})" in page
    assert "few in x" not in page and "none in x has 3 subjects" in page


@pytest.mark.long
def test_plots_are_whole_drawings_that_name_counts_and_intervals(result):
    first = result["questions"][0]
    for svg in (*draw_overview(result), draw_question(first), draw_subgroups(first)):
        ElementTree.fromstring(svg)
    assert "40 of 80 positive, 80 subjects" in draw_question(first)
    assert draw_question(first) == draw_question(first)
    assert draw_subgroups(result["questions"][1]) is None
