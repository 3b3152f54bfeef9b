"""Measures all questions of a report and puts the answers, with what speaks against them, into one JSON object."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.progress import track

from core.errors import DataError, SettingsError
from distill.evaluation.metrics import N_DRAWS
from distill.evaluation.report.controls import confounder_control, permutation_control
from distill.evaluation.report.discrimination import measure_discrimination
from distill.evaluation.report.items import FEW_POSITIVES, Question, check_enough
from distill.evaluation.report.leaks import find_shared, warn_of_shared
from distill.evaluation.report.packs import Asked
from distill.evaluation.report.reliability import measure_reliability
from distill.evaluation.report.scores import SCHEMA
from distill.evaluation.report.subgroups import gaps_in_words, measure_subgroups
from distill.shown_text import PlainConsole

HOW = {
    "intervals": "the central 95 % over draws of subjects with replacement, all recordings of a subject together; "
    "Clopper and Pearson's where a rate is 0 or 1",
    "unscored": "items without a score are left out of every figure and counted by reason",
    "operating_points": "chosen on the same items, but for the shipped one, so what is read at them is optimistic",
    "predictive_values": "by Bayes' rule at the stated prevalence; their limits are those of both rates together",
    "temperature": "fitted on four fifths of the subjects and applied to the others, five times; so is the offset",
    "subgroups": "the gap is the highest less the lowest AUROC; subjects of one class change groups for its p value",
    "permutation": "AUROC where labels change places between subjects, or recordings where a subject has both",
    "confounder": "a logistic regression on band, level, noise floor, rate and format, tested on other subjects",
}


@dataclass(frozen=True)
class ReportOptions:
    """How a report is made. ``prevalence`` in (0, 1) is where predictive values are given; ``by`` names covariates."""

    prevalence: float = 0.1
    n_draws: int = N_DRAWS
    seed: int = 0
    by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.prevalence < 1:
            raise SettingsError(f"--prevalence is {self.prevalence:g}; expected a share above 0 and below 1")


def make_report(asked: Asked, about: dict[str, Any], options: ReportOptions) -> dict[str, Any]:
    """Measure each question that has enough people, and warn of what speaks against the answers.

    Parameters
    ----------
    asked : Asked
        The first question that can be measured is the headline.
    about : what is judged, for the top of the report
    options : ReportOptions

    Returns
    -------
    dict
        The content of the JSON file, schema ``tussis.report/1``.

    Raises
    ------
    DataError
        If no question has enough people of both classes, or a covariate cannot be used.
    """
    measurable, reasons = [], []
    for question in asked.questions:
        try:
            check_enough(question)
            measurable.append(question)
        except DataError as error:
            reasons.append({"name": question.name, "part": question.part, "reason": str(error)})
    if not measurable:
        raise DataError(reasons[0]["reason"] if reasons else "there is nothing to report on")
    console = PlainConsole(stderr=True)
    measured = [
        measure_question(question, options)
        for question in track(measurable, "measuring", console=console, disable=not console.is_terminal)
    ]
    shared = find_shared(asked.training, asked.test)
    return {
        "schema": SCHEMA,
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        **about,
        "prevalence": options.prevalence,
        "n_draws": options.n_draws,
        "seed": options.seed,
        "how": HOW,
        "warnings": _warnings(measured[0], warn_of_shared(shared)),
        "shared_with_training": shared,
        "questions": measured,
        "not_measured": reasons,
    }


def measure_question(question: Question, options: ReportOptions) -> dict[str, Any]:
    """Everything that a report says about one question; see docs/formats.md."""
    scored, n_draws, seed = question.scored, options.n_draws, options.seed
    scores, positives, subjects = scored.scores, scored.positives, scored.subjects
    channels = [item.channel for item in scored.items]
    return {
        "name": question.name,
        "part": question.part,
        "unit": question.unit,
        "n": len(question.items),
        "n_positive": sum(item.is_positive for item in question.items),
        "n_subjects": len({item.subject_id for item in question.items}),
        "n_positive_subjects": len({item.subject_id for item in question.items if item.is_positive}),
        "n_with_score": len(scored.items),
        "unscored": question.unscored,
        "unscored_positive": sum(bool(item.unscored) for item in question.items if item.is_positive),
        **measure_discrimination(scores, positives, subjects, question.threshold, options.prevalence, n_draws),
        "reliability": measure_reliability(scores, positives, subjects, n_draws, seed),
        "subgroups": measure_subgroups(question, options.by, n_draws, seed),
        "permutation": permutation_control(scores, positives, subjects, n_draws, seed),
        "confounder": confounder_control(channels, scores, positives, subjects, n_draws, seed),
    }


def _warnings(headline: dict[str, Any], shared: Sequence[str]) -> list[str]:
    """What a reader has to know before the headline."""
    warnings = list(shared)
    name = f"{headline['name']} in {headline['part']}"
    if headline["n_positive"] < FEW_POSITIVES:
        warnings.insert(
            0,
            f"The headline, {name}, rests on {headline['n_positive']} positives; at least "
            f"{FEW_POSITIVES} are needed to believe it.",
        )
    elif headline["n_positive_subjects"] < FEW_POSITIVES:
        warnings.insert(
            0,
            f"The headline, {name}, rests on positives of {headline['n_positive_subjects']} subjects; "
            f"at least {FEW_POSITIVES} are needed to believe it.",
        )
    channel, auroc = headline["confounder"].get("auroc"), headline["auroc"]
    if channel and auroc["low"] is not None and (channel["high"] or channel["value"]) >= auroc["low"]:
        warnings.append(
            f"The channel alone tells {name} with an AUROC of {channel['value']:.3f}, nearly as well as the scores."
        )
    return warnings + gaps_in_words(headline["subgroups"])
