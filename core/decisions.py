"""The only place for what a probe may say: its decision, its result and the sentences of the unscored."""

from dataclasses import dataclass
from enum import StrEnum

DEMONSTRATION_REASON = "Demonstration only: fitted on synthetic sound. It says nothing about this person."
TOO_CLOSE_REASON = "too close to the operating point"


class Decision(StrEnum):
    """What a classification probe decides; *unscored* is neither of the others, and never a negative."""

    REFER = "refer"
    NOT_REFERRED = "not referred"
    UNSCORED = "unscored"


@dataclass(frozen=True)
class ProbeResult:
    """What one probe says about one recording.

    ``decision`` is None for a probe that gives a value and has no operating point. ``score`` is None wherever the
    decision is *unscored*, so that no number can be taken for a result. ``reason`` is None where there is nothing to
    explain.
    """

    name: str
    status: str
    decision: Decision | None
    score: float | None
    unit: str
    reason: str | None
