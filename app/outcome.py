"""Sums up what a participant's recordings gave: coughs, quality, probes and the study's next step."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.probes import Decision

UNJUDGED = "could_not_be_judged"
KEPT = ("kept", "kept_with_reason")


class JudgedAttempt(Protocol):
    """The part of an `app.casebook.Attempt` that is summed up."""

    task_id: str
    screening: Mapping[str, Any] | None
    verdict: Mapping[str, Any] | None
    state: str


@dataclass(frozen=True)
class ProbeOutcome:
    """One probe over several recordings.

    ``decisions`` counts the recordings by decision. ``values`` lists the scores of a probe that decides nothing, in
    ``unit``. ``reasons`` lists the probe's own sentences, each once.
    """

    name: str
    status: str
    decisions: Mapping[str, int]
    values: tuple[float, ...]
    unit: str
    reasons: tuple[str, ...]

    @property
    def strongest(self) -> str:
        """``refer`` before ``not referred`` before ``unscored``; "" where it gives values only."""
        order = (Decision.REFER, Decision.NOT_REFERRED, Decision.UNSCORED)
        return next((decision.value for decision in order if decision.value in self.decisions), "")


@dataclass(frozen=True)
class Outcome:
    """What several recordings gave.

    Attributes
    ----------
    coughs : int or None
        Of the cough tasks that could be judged. None where none could, and where no cough was heard in those that could
        while another could not: nobody may read that as "no cough".
    n_judged, n_unjudged : int
        Cough tasks.
    quality : {"good", "poor", "could_not_be_judged"}
        The worst of all recordings.
    reasons : tuple of str
        The codes of `app.coach.Verdict`, each once.
    probes : tuple of ProbeOutcome
    next_step : str
        A key of a study's next steps: ``refer`` and ``not_referred`` come from validated probes alone.
    """

    coughs: int | None
    n_judged: int
    n_unjudged: int
    quality: str
    reasons: tuple[str, ...]
    probes: tuple[ProbeOutcome, ...]
    next_step: str


def latest_kept(attempts: Iterable[JudgedAttempt]) -> list[JudgedAttempt]:
    """The latest kept attempt of each task and round, in the order of the tasks' first attempts."""
    latest = {(attempt.task_id, attempt.round): attempt for attempt in attempts if attempt.state in KEPT}
    return list(latest.values())


def outcome_of(attempts: Sequence[JudgedAttempt], cough_tasks: Iterable[str]) -> Outcome:
    """Sum up `attempts`; `cough_tasks` names the tasks whose coughs count."""
    judged_by = [_outcome_code(attempt) for attempt in attempts]
    counted = [attempt for attempt in attempts if attempt.task_id in set(cough_tasks)]
    judged = [attempt for attempt in counted if _outcome_code(attempt) != UNJUDGED]
    coughs = sum(attempt.verdict["coughs"] or 0 for attempt in judged) if judged else None
    n_unjudged = len(counted) - len(judged)
    quality = next((code for code in (UNJUDGED, "poor") if code in judged_by), "good" if judged_by else UNJUDGED)
    probes = _probes(attempt for attempt in attempts if attempt.screening and _outcome_code(attempt) != UNJUDGED)
    return Outcome(
        coughs=None if coughs == 0 and n_unjudged else coughs,
        n_judged=len(judged),
        n_unjudged=n_unjudged,
        quality=quality,
        reasons=tuple(
            dict.fromkeys(code for attempt in attempts for code in (attempt.verdict or {}).get("reasons", ()))
        ),
        probes=probes,
        next_step=_next_step(quality, probes),
    )


def _outcome_code(attempt: JudgedAttempt) -> str:
    return (attempt.verdict or {}).get("outcome", UNJUDGED)


def _probes(attempts: Iterable[JudgedAttempt]) -> tuple[ProbeOutcome, ...]:
    results: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for attempt in attempts:
        for probe in attempt.screening["probes"]:
            results.setdefault((probe["name"], probe["status"]), []).append(probe)
    return tuple(
        ProbeOutcome(
            name=name,
            status=status,
            decisions=Counter(probe["decision"] for probe in probes if probe["decision"] is not None),
            values=tuple(
                probe["score"] for probe in probes if probe["decision"] is None and probe["score"] is not None
            ),
            unit=probes[0]["unit"],
            reasons=tuple(dict.fromkeys(probe["reason"] for probe in probes if probe["reason"])),
        )
        for (name, status), probes in results.items()
    )


def _next_step(quality: str, probes: Iterable[ProbeOutcome]) -> str:
    decisions = {probe.strongest for probe in probes if probe.status == "validated"}
    if Decision.REFER.value in decisions:
        return "refer"
    if quality == "good" and decisions == {Decision.NOT_REFERRED.value}:
        return "not_referred"
    return quality
