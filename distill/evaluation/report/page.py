"""Shows a report as one HTML page that needs nothing beside itself, plots included, every text escaped."""

from pathlib import Path
from typing import Any

from distill.evaluation.report.discrimination import estimate_in_words
from distill.evaluation.report.items import FEW_POSITIVES
from distill.evaluation.report.leaks import SHARED
from distill.evaluation.report.plots import draw_overview, draw_question, draw_subgroups
from distill.pages import data_uri, page_environment
from distill.shown_text import shown

TEMPLATES = Path(__file__).parent / "templates"


def render_page(report: dict[str, Any]) -> str:
    """The page of a report's JSON object; questions of few positives, and most subgroups, have no plot."""
    questions = []
    for number, question in enumerate(report["questions"]):
        has_plot = number == 0 or question["n_positive"] >= FEW_POSITIVES
        subgroups = draw_subgroups(question) if number == 0 else None
        questions.append(
            {
                "measured": question,
                "plot": data_uri(draw_question(question)) if has_plot else None,
                "subgroups_plot": data_uri(subgroups) if subgroups else None,
            }
        )
    environment = page_environment(TEMPLATES)
    environment.filters |= {"estimate": estimate_in_words, "shown": shown, "share": _share}
    discrimination, _ = draw_overview(report)
    template = environment.get_template("report.html")
    return template.render(report=report, questions=questions, overview=data_uri(discrimination), shared=SHARED)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
