"""Draws a report from its JSON alone, in colours and line styles that people with any colour vision tell apart."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distill.evaluation.report.discrimination import estimate_in_words
from distill.pages import draw_svg

OURS, OTHER, THIRD, QUIET = "#0072B2", "#D55E00", "#009E73", "#555555"  # of Okabe and Ito
DASHES, DOTS = (0, (5, 2)), (0, (1, 2))
SMALL = 8
ROW_IN = 0.24
OVERVIEW_IN = 3.6
WIDE_IN, HALF_IN = 8.2, 3.5
PANELS_IN = 6.2

Measured = dict[str, Any]


def draw_overview(report: Measured) -> tuple[str, str]:
    """SVG images of the headline: its ROC curve beside the AUROC of every question, and its reliability."""
    headline = report["questions"][0]

    def discrimination(figure: Figure) -> None:
        curve, all_questions = figure.subplots(1, 2, width_ratios=(1, 1.15))
        draw_roc(curve, headline)
        draw_aurocs(all_questions, report["questions"])

    def reliability(figure: Figure) -> None:
        curve, benefit = figure.subplots(1, 2)
        draw_reliability(curve, headline)
        draw_benefit(benefit, headline)

    return draw_svg(discrimination, OVERVIEW_IN, WIDE_IN), draw_svg(reliability, OVERVIEW_IN, WIDE_IN)


def draw_question(question: Measured) -> str:
    """An SVG image of one question: ROC and precision-recall curves, reliability, decision curve."""

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2, 2).ravel()
        drawings = (draw_roc, draw_precision_recall, draw_reliability, draw_benefit)
        for axes, draw_panel in zip(panels, drawings, strict=True):
            draw_panel(axes, question)

    return draw_svg(draw, PANELS_IN)


def draw_subgroups(question: Measured) -> str | None:
    """An SVG image of the subgroups' AUROC, sensitivity and specificity with intervals; None where there are none."""
    rows = [
        (f"{name}: {group['group']}", group)
        for name, covariate in question["subgroups"].items()
        for group in covariate["groups"]
        if any(group[key] for key in ("auroc", "sensitivity", "specificity"))
    ]
    if not rows:
        return None
    rows.insert(0, ("everybody", _as_group(question)))

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, 3, sharey=True)
        for axes, key in zip(panels, ("auroc", "sensitivity", "specificity"), strict=True):
            _draw_intervals(axes, [group[key] for _, group in rows])
            if whole := rows[0][1][key]:
                axes.axvline(whole["value"], color=QUIET, linewidth=0.7, linestyle=DOTS)
            axes.set_xlabel("AUROC" if key == "auroc" else f"{key}, shipped point", fontsize=SMALL)
        labels = [f"{_cut(label, 36)} ({group['n_positive']}/{group['n']})" for label, group in rows]
        panels[0].set_yticks(range(len(rows)), labels, fontsize=SMALL)
        panels[0].set_ylim(len(rows) - 0.5, -0.5)

    return draw_svg(draw, 0.8 + ROW_IN * len(rows), WIDE_IN)


def draw_roc(axes: Axes, question: Measured) -> None:
    """The ROC curve, and the shipped operating point where there is one."""
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.7, linestyle=DOTS)
    curve = question["roc"]
    label = f"AUROC {estimate_in_words(question['auroc'])}"
    axes.plot(curve["false_alarm_rate"], curve["sensitivity"], color=OURS, label=label)
    shipped = question["operating_points"][0]
    if shipped["rule"].startswith("the shipped"):
        place = 1 - shipped["specificity_at_threshold"]["value"], shipped["sensitivity_at_threshold"]["value"]
        axes.plot(*[[value] for value in place], "s", color=OTHER, markersize=6, label="shipped operating point")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    _finish(axes, "ROC", question, "lower right")


def draw_precision_recall(axes: Axes, question: Measured) -> None:
    """The precision-recall curve over the share of positives, which chance would have."""
    curve, share = question["precision_recall"], question["n_positive"] / question["n"]
    label = f"average precision {estimate_in_words(question['average_precision'])}"
    axes.step(curve["recall"], curve["precision"], where="pre", color=OURS, label=label)
    axes.axhline(share, color=QUIET, linewidth=0.9, linestyle=DOTS, label=f"chance: {share:.3f}")
    axes.set(xlabel="recall (sensitivity)", ylabel="precision (PPV)", xlim=(-0.02, 1.02), ylim=(-0.02, 1.05))
    _finish(axes, "Precision and recall", question, "lower left")


def draw_reliability(axes: Axes, question: Measured) -> None:
    """Share of positives over the probability, before and after temperature scaling, with 95 % intervals."""
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.7, linestyle=DOTS)
    reliability = question["reliability"]
    for when, colour, marker, shift in (("before", OTHER, "o", -0.006), ("after", OURS, "s", 0.006)):
        measured = reliability[when]
        label = f"{when} scaling: ECE {estimate_in_words(measured['calibration_error'])}"
        probabilities = [each["mean_probability"] for each in measured["bins"]]
        shares = [each["share_positive"]["value"] for each in measured["bins"]]
        style = {"color": colour, "marker": marker, "markersize": 4, "linestyle": DASHES if when == "before" else "-"}
        axes.plot(probabilities, shares, linewidth=1.1, label=label, **style)
        for x, each in zip(probabilities, measured["bins"], strict=True):
            if (share := each["share_positive"])["low"] is not None:
                axes.plot([x + shift] * 2, [share["low"], share["high"]], color=colour, linewidth=0.8, alpha=0.6)
    title = f"Reliability (temperature {reliability['temperature']:.2f})"
    axes.set(xlabel="probability", ylabel="share that is positive", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    _finish(axes, title, question, "lower right")


def draw_benefit(axes: Axes, question: Measured) -> None:
    """The decision curve: net benefit of referring by the scaled probability, everybody, and nobody."""
    curve, share = question["reliability"]["decision_curve"], question["n_positive"] / question["n"]
    axes.plot(curve["threshold"], curve["model"], color=OURS, label="by probability")
    axes.plot(curve["threshold"], curve["everybody"], color=OTHER, linestyle=DASHES, label="everybody")
    axes.axhline(0, color=THIRD, linewidth=1, linestyle=DOTS, label="nobody")
    axes.set(xlabel="threshold", ylabel="net benefit", xlim=(0, 1), ylim=(-0.25 * share, 1.15 * share))
    _finish(axes, "Decision curve", question, "lower right")


def draw_aurocs(axes: Axes, questions: Sequence[Measured]) -> None:
    """AUROC of each question with its interval, and how many positives and items it rests on."""
    _draw_intervals(axes, [question["auroc"] for question in questions])
    parts = list(dict.fromkeys(question["part"] for question in questions))
    marks = {part: f", {_cut(part, 18)}" if len(parts) > 1 else "" for part in parts}
    labels = [f"{each['name']}{marks[each['part']]} ({each['n_positive']}/{each['n']})" for each in questions]
    axes.set_yticks(range(len(questions)), labels, fontsize=SMALL)
    axes.set_ylim(len(questions) - 0.5, -0.5)
    axes.set_title("AUROC with 95 % interval (positives/all)", fontsize=SMALL + 1)
    axes.tick_params(labelsize=SMALL)


def _draw_intervals(axes: Axes, estimates: Sequence[Measured | None]) -> None:
    for place, estimate in enumerate(estimates):
        if estimate is None:
            continue
        if estimate["low"] is not None:
            axes.plot([estimate["low"], estimate["high"]], [place, place], color=OURS, linewidth=1.3)
        axes.plot([estimate["value"]], [place], "s", color=OURS, markersize=4)
    lowest = min((each["low"] or each["value"] for each in estimates if each), default=0.5)
    axes.set_xlim(max(-0.02, min(0.88, lowest - 0.05)), 1.01)
    axes.grid(axis="x", linewidth=0.3)
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(labelsize=SMALL)


def _as_group(question: Measured) -> Measured:
    """The whole question as if it were a group."""
    group = {"n": question["n"], "n_positive": question["n_positive"], "auroc": question["auroc"]}
    shipped = question["operating_points"][0]
    is_there = shipped["rule"].startswith("the shipped")
    for name in ("sensitivity", "specificity"):
        group[name] = shipped[f"{name}_at_threshold"] if is_there else None
    return group


def _finish(axes: Axes, title: str, question: Measured, legend_place: str) -> None:
    counts = f"{question['n_positive']} of {question['n']} positive, {question['n_subjects']} subjects"
    axes.set_title(f"{title}: {_cut(question['name'], 20)}\n{counts}", fontsize=SMALL + 1)
    axes.xaxis.label.set_size(SMALL)
    axes.yaxis.label.set_size(SMALL)
    axes.tick_params(labelsize=SMALL)
    axes.locator_params(nbins=4)
    axes.legend(frameon=True, framealpha=0.85, edgecolor="none", fontsize=SMALL - 0.5, loc=legend_place)


def _cut(text: str, n_characters: int) -> str:
    return text if len(text) <= n_characters else text[: n_characters - 1] + "…"
