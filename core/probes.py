"""Applies probes (linear heads on the frozen embedding), and defines their decisions."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np

from core.probing.clinical import NOT_GIVEN, missing_reason
from core.probing.probe_file import (
    MAX_PROBE_BYTES,
    PROBE_FORMAT_VERSION,
    ClipSelection,
    Probe,
    parse_probe,
    parse_probes,
    sigmoid,
)
from core.quality import Quality

__all__ = [
    "DEMONSTRATION_REASON",
    "FAR_REASON",
    "MAX_PROBE_BYTES",
    "NOT_GIVEN",
    "NO_COLUMNS",
    "PROBE_FORMAT_VERSION",
    "TOO_CLOSE_REASON",
    "UNVERIFIED",
    "ClipSelection",
    "Decision",
    "Probe",
    "ProbeResult",
    "apply_probe",
    "parse_probe",
    "parse_probes",
    "sigmoid",
    "spoken_reasons",
    "unscored",
]

UNVERIFIED = "unverified"
"""In place of *validated* where no trusted key signed the bundle: anybody can write that word into a probe."""
DEMONSTRATION_REASON = "Demonstration only: fitted on synthetic sound. It says nothing about this person."
TOO_CLOSE_REASON = "too close to the operating point"
FAR_REASON = "the sound is unlike the recordings that the probe was fitted on"
NO_COLUMNS: Mapping[str, str] = MappingProxyType({})


class Decision(StrEnum):
    """The decision of a classification probe; *unscored* is neither of the others, and never a negative."""

    REFER = "refer"
    NOT_REFERRED = "not referred"
    UNSCORED = "unscored"


@dataclass(frozen=True)
class ProbeResult:
    """The result of one head of a probe for one recording.

    ``decision`` is None for a head that gives a value and has no operating point. ``score`` is None wherever the
    decision is *unscored*, so that no number can be taken for a result. ``reason`` is None where there is nothing to
    explain. ``status`` is the probe's: validated, research, demonstration or `UNVERIFIED`.
    """

    name: str
    status: str
    decision: Decision | None
    score: float | None
    unit: str
    reason: str | None


def apply_probe(
    probe: Probe,
    pooled_embedding: np.ndarray | None,
    n_clips: int,
    quality: Quality,
    given: Mapping[str, str] = NO_COLUMNS,
) -> ProbeResult:
    """Apply one head of a probe to a recording.

    Parameters
    ----------
    probe : Probe
    pooled_embedding : ndarray, shape (512,), or None
        Mean embedding of the clips that the probe selects; None where there is none.
    n_clips : int
        How many clips that is the mean of.
    quality : Quality
        The recording's verdict; an unacceptable recording is unscored.
    given : mapping of str to str
        The person's clinical values by column, as a table has them; a missing one that the probe needs leaves it
        unscored.
    """
    if probe.status == "demonstration":
        return unscored(probe, DEMONSTRATION_REASON)
    if not quality.acceptable:
        return unscored(probe, f"the recording's quality is not acceptable: {spoken_reasons(quality)}")
    if pooled_embedding is None or n_clips < probe.clips.min_clips:
        return unscored(probe, _too_few_reason(probe.clips, n_clips))
    if reason := _far_reason(probe, pooled_embedding) or missing_reason(probe.columns, given):
        return unscored(probe, reason)
    return _decide(probe, probe.score(pooled_embedding, given))


def unscored(probe: Probe, reason: str) -> ProbeResult:
    """The result of a probe that gives no score, whatever the kind of probe."""
    return ProbeResult(probe.name, probe.status, Decision.UNSCORED, None, probe.unit, reason)


def spoken_reasons(quality: Quality) -> str:
    """The reasons of a quality verdict in words."""
    return ", ".join(reason.replace("_", " ") for reason in quality.reasons)


def _decide(probe: Probe, score: float) -> ProbeResult:
    if probe.abstention_band is not None and probe.abstention_band[0] <= score <= probe.abstention_band[1]:
        return unscored(probe, TOO_CLOSE_REASON)
    decision = None
    if probe.operating_point is not None:
        decision = Decision.REFER if score >= probe.operating_point else Decision.NOT_REFERRED
    return ProbeResult(probe.name, probe.status, decision, score, probe.unit, None)


def _far_reason(probe: Probe, embedding: np.ndarray) -> str | None:
    if probe.domain is None:
        return None
    distance, limit = float(probe.domain.distance(embedding)), probe.domain.threshold
    return None if distance <= limit else f"{FAR_REASON} (distance {distance:.2f}, at most {limit:.2f})"


def _too_few_reason(clips: ClipSelection, n_clips: int) -> str:
    if clips.event is None:
        return f"the recording has {n_clips} clips and the probe needs {clips.min_clips}"
    event = clips.event.replace("_", " ")
    if n_clips == 0:
        return f"no {event} was heard clearly enough"
    return f"{event} was heard clearly in {n_clips} clips and the probe needs {clips.min_clips}"
