"""Checks and applies probes (linear heads on the frozen embedding), and defines their decisions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ProbeError
from core.interpreter import EMBEDDING_SIZE
from core.json_fields import Fields, parse_object
from core.quality import Quality

PROBE_FORMAT_VERSION = 1
STATUSES = ("validated", "research", "demonstration")
UNVERIFIED = "unverified"
"""In place of *validated* where no trusted key signed the bundle: anybody can write that word into a probe."""
KINDS = ("classification", "regression")
MAX_PROBE_BYTES = 2**18
MAX_NOTES = 1000  # values in what a probe tells of its training and its metrics
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}\Z")
SMALLEST_DIVISOR = 1e-9
DEMONSTRATION_REASON = "Demonstration only: fitted on synthetic sound. It says nothing about this person."
TOO_CLOSE_REASON = "too close to the operating point"


class Decision(StrEnum):
    """The decision of a classification probe; *unscored* is neither of the others, and never a negative."""

    REFER = "refer"
    NOT_REFERRED = "not referred"
    UNSCORED = "unscored"


@dataclass(frozen=True)
class ProbeResult:
    """The result of one probe for one recording.

    ``decision`` is None for a probe that gives a value and has no operating point. ``score`` is None wherever the
    decision is *unscored*, so that no number can be taken for a result. ``reason`` is None where there is nothing to
    explain. ``status`` is the probe's, one of `STATUSES` or `UNVERIFIED`.
    """

    name: str
    status: str
    decision: Decision | None
    score: float | None
    unit: str
    reason: str | None


@dataclass(frozen=True)
class ClipSelection:
    """Which clips of a recording a probe listens to: all of them where ``event`` is None."""

    event: str | None
    min_probability: float
    min_clips: int
    pooling: str


@dataclass(frozen=True)
class Probe:
    """A linear probe: ``intercept + weights . ((embedding - mean) / scale)``, arrays float64 (512,).

    A classification takes the sigmoid of the score divided by ``temperature``; it refers at or above
    ``operating_point`` and abstains inside ``abstention_band``, both ends included. ``unit`` is the score's.
    """

    name: str
    title: str
    status: str
    kind: str
    unit: str
    intended_use: str
    clips: ClipSelection
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercept: float
    temperature: float
    operating_point: float | None
    abstention_band: tuple[float, float] | None
    training: Mapping[str, Any]
    metrics: Mapping[str, Any]

    def score(self, embedding: np.ndarray) -> float:
        """The probability, or the value in ``unit``, for an embedding (512,)."""
        standard = (embedding.astype(np.float64) - self.mean) / self.scale
        value = self.intercept + float(self.weights @ standard)
        return float(sigmoid(value / self.temperature)) if self.kind == "classification" else value


def sigmoid(logits: np.ndarray | float) -> np.ndarray:
    """The probabilities of logits of any shape, in float64."""
    with np.errstate(over="ignore"):  # of a logit below -709, whose probability is 0
        return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


def parse_probe(content: bytes, source: str) -> Probe:
    """Build a probe from the content of its file; `source` names the file in the sentence of a ProbeError."""
    if len(content) > MAX_PROBE_BYTES:
        raise ProbeError(f"{source} has {len(content)} bytes; expected at most {MAX_PROBE_BYTES}.")
    fields = parse_object(content, source, ProbeError)
    fields.integer("format_version", PROBE_FORMAT_VERSION, PROBE_FORMAT_VERSION)
    kind = fields.one_of("kind", KINDS)
    operating_point, abstention_band = _decision_points(fields, kind)
    return Probe(
        name=_name(fields, source),
        title=fields.text("title"),
        status=fields.one_of("status", STATUSES),
        kind=kind,
        unit=fields.one_of("unit", ("probability",)) if kind == "classification" else fields.text("unit", at_most=20),
        intended_use=fields.text("intended_use", at_most=2000),
        clips=_clip_selection(fields.object("clips")),
        mean=fields.numbers("mean", EMBEDDING_SIZE),
        scale=fields.numbers("scale", EMBEDDING_SIZE, lowest=SMALLEST_DIVISOR),
        weights=fields.numbers("weights", EMBEDDING_SIZE),
        intercept=fields.number("intercept"),
        temperature=fields.number("temperature", lowest=SMALLEST_DIVISOR),
        operating_point=operating_point,
        abstention_band=abstention_band,
        training=fields.small_object("training", MAX_NOTES),
        metrics=fields.small_object("metrics", MAX_NOTES),
    )


def apply_probe(probe: Probe, pooled_embedding: np.ndarray | None, n_clips: int, quality: Quality) -> ProbeResult:
    """Apply a probe to a recording.

    Parameters
    ----------
    probe : Probe
    pooled_embedding : ndarray, shape (512,), or None
        Mean embedding of the clips that the probe selects; None where there is none.
    n_clips : int
        How many clips that is the mean of.
    quality : Quality
        The recording's verdict; an unacceptable recording is unscored.
    """
    if probe.status == "demonstration":
        return unscored(probe, DEMONSTRATION_REASON)
    if not quality.acceptable:
        return unscored(probe, f"the recording's quality is not acceptable: {spoken_reasons(quality)}")
    if pooled_embedding is None or n_clips < probe.clips.min_clips:
        return unscored(probe, _too_few_reason(probe.clips, n_clips))
    return _decide(probe, probe.score(pooled_embedding))


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


def _too_few_reason(clips: ClipSelection, n_clips: int) -> str:
    if clips.event is None:
        return f"the recording has {n_clips} clips and the probe needs {clips.min_clips}"
    event = clips.event.replace("_", " ")
    if n_clips == 0:
        return f"no {event} was heard clearly enough"
    return f"{event} was heard clearly in {n_clips} clips and the probe needs {clips.min_clips}"


def _name(fields: Fields, source: str) -> str:
    name = fields.text("name")
    stem = Path(source).stem
    if not NAME_PATTERN.match(name) or name != stem:
        fields.refuse("name", f"the file's own name without .json, in lower-case letters, digits, _ and - ({stem})")
    return name


def _clip_selection(clips: Fields) -> ClipSelection:
    return ClipSelection(
        event=None if clips.is_null("event") else clips.text("event", at_most=40),
        min_probability=clips.number("min_probability", 0, 1),
        min_clips=clips.integer("min_clips", 1, 100_000),
        pooling=clips.one_of("pooling", ("mean",)),
    )


def _decision_points(fields: Fields, kind: str) -> tuple[float | None, tuple[float, float] | None]:
    point = None if fields.is_null("operating_point") else fields.number("operating_point", 0, 1)
    band = None if fields.is_null("abstention_band") else fields.numbers("abstention_band", 2, lowest=0)
    if kind == "regression" and (point is not None or band is not None):
        fields.refuse("operating_point" if point is not None else "abstention_band", "null in a regression")
    if band is None:
        return point, None
    if point is None or not 0 <= band[0] <= point <= band[1] <= 1:
        fields.refuse("abstention_band", "[low, high] in [0, 1] around the operating point")
    return point, (float(band[0]), float(band[1]))
