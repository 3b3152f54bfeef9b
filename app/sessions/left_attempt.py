"""Finishes an attempt that was left in its middle, outside a session."""

from collections.abc import Callable

from app.casebook import Casebook
from app.cases.facts import Attempt
from app.coach import Coach
from app.sound.hearing import screen_kept
from app.study import Study
from core.screener import Screener

LEFT = "left"
"""The reason of a recording that is kept though it was left in its middle."""


def keep_what_is_there(
    casebook: Casebook, study: Study, screener_loader: Callable[[], Screener], attempt: Attempt
) -> None:
    """Screen, judge and keep an attempt; raises as the casebook does, and takes as long as the screening."""
    coach = Coach(study.limits, study.task(attempt.task_id))
    coach.has_gaps = bool(attempt.gaps)
    screening = screen_kept(casebook.audio(attempt.record_id), screener_loader, coach)
    result = screening.to_json() if screening is not None else None
    casebook.finish_attempt(attempt.record_id, result, coach.verdict(screening).to_json(), "kept_with_reason", LEFT)
