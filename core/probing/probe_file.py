"""Reads probe files: one head each in format 1, several heads and what they abstain by in format 2."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ProbeError
from core.interpreter import EMBEDDING_SIZE
from core.json_fields import Fields, parse_object
from core.probing.clinical import ClinicalColumn, parse_columns, standard_values
from core.probing.domain import SMALLEST_DIVISOR, Domain, parse_domain

PROBE_FORMAT_VERSION = 2
STATUSES = ("validated", "research", "demonstration")
KINDS = ("classification", "regression")
MAX_PROBE_BYTES = 2**18
MAX_NOTES = 1000  # values in what a probe tells of its training and its metrics
MAX_HEADS = 8
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}\Z")


@dataclass(frozen=True)
class ClipSelection:
    """Which clips of a recording a probe listens to: all of them where ``event`` is None."""

    event: str | None
    min_probability: float
    min_clips: int
    pooling: str


@dataclass(frozen=True)
class Probe:
    """One head of a probe file: ``intercept + weights . ((embedding - mean) / scale) + column_weights . columns``.

    Arrays are float64 (512,). A classification takes the sigmoid of the score divided by ``temperature``; it refers at
    or above ``operating_point`` and abstains inside ``abstention_band``, both ends included; ``chosen_by`` tells how
    they were chosen. ``unit`` is the score's. ``domain`` is None in format 1, which has no columns either.
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
    chosen_by: Mapping[str, Any] | None = None
    columns: tuple[ClinicalColumn, ...] = ()
    column_weights: np.ndarray = field(default_factory=lambda: np.zeros(0))
    domain: Domain | None = None
    model_sha256: str | None = None

    def score(self, embedding: np.ndarray, given: Mapping[str, str] | None = None) -> float:
        """The probability, or the value in ``unit``, for an embedding (512,) and clinical values by column."""
        standard = (embedding.astype(np.float64) - self.mean) / self.scale
        value = self.intercept + float(self.weights @ standard)
        if self.columns:
            value += float(self.column_weights @ standard_values(self.columns, given or {}))
        return float(sigmoid(value / self.temperature)) if self.kind == "classification" else value


def sigmoid(logits: np.ndarray | float) -> np.ndarray:
    """The probabilities of logits of any shape, in float64."""
    with np.errstate(over="ignore"):  # of a logit below -709, whose probability is 0
        return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


def parse_probe(content: bytes, source: str) -> Probe:
    """Read a probe file that has one head; `source` names the file in the sentence of a ProbeError."""
    probes = parse_probes(content, source)
    if len(probes) > 1:
        raise ProbeError(f"{source} has {len(probes)} heads; expected one.")
    return probes[0]


def parse_probes(content: bytes, source: str) -> tuple[Probe, ...]:
    """Read a probe file, one `Probe` a head; with several heads each is called FILE.HEAD."""
    if len(content) > MAX_PROBE_BYTES:
        raise ProbeError(f"{source} has {len(content)} bytes; expected at most {MAX_PROBE_BYTES}.")
    fields = parse_object(content, source, ProbeError)
    version = fields.integer("format_version", 1, PROBE_FORMAT_VERSION)
    return (_probe_of_format_1(fields),) if version == 1 else _probes_of_format_2(fields)


def _probe_of_format_1(fields: Fields) -> Probe:
    kind = fields.one_of("kind", KINDS)
    operating_point, abstention_band = _decision_points(fields, kind)
    mean, scale = _standardization(fields)
    return Probe(
        name=_file_name(fields),
        title=fields.text("title"),
        status=fields.one_of("status", STATUSES),
        kind=kind,
        unit=_unit(fields, kind),
        intended_use=fields.text("intended_use", at_most=2000),
        clips=_clip_selection(fields.object("clips")),
        mean=mean,
        scale=scale,
        weights=fields.numbers("weights", EMBEDDING_SIZE),
        intercept=fields.number("intercept"),
        temperature=fields.number("temperature", lowest=SMALLEST_DIVISOR),
        operating_point=operating_point,
        abstention_band=abstention_band,
        training=fields.small_object("training", MAX_NOTES),
        metrics=fields.small_object("metrics", MAX_NOTES),
    )


def _probes_of_format_2(fields: Fields) -> tuple[Probe, ...]:
    mean, scale = _standardization(fields)
    shared = {
        "status": fields.one_of("status", STATUSES),
        "intended_use": fields.text("intended_use", at_most=2000),
        "clips": _clip_selection(fields.object("clips")),
        "mean": mean,
        "scale": scale,
        "training": fields.small_object("training", MAX_NOTES),
        "columns": parse_columns(fields),
        "domain": None if fields.is_null("domain") else parse_domain(fields.object("domain"), mean, scale),
        "model_sha256": fields.object("training").sha256("model_sha256"),
    }
    file_name, heads = _file_name(fields), _heads(fields)
    names = [head.text("name") for head in heads]
    for head, name in zip(heads, names, strict=True):
        if not NAME_PATTERN.match(name) or names.count(name) > 1:
            head.refuse("name", "a name of its own, in lower-case letters, digits, _ and -")
    result_names = [file_name] if len(heads) == 1 else [f"{file_name}.{name}" for name in names]
    return tuple(_head(head, name, shared) for head, name in zip(heads, result_names, strict=True))


def _heads(fields: Fields) -> list[Fields]:
    heads = fields.values.get("heads")
    if not isinstance(heads, list) or not 1 <= len(heads) <= MAX_HEADS or not all(isinstance(h, dict) for h in heads):
        fields.refuse("heads", f"a list of 1 to {MAX_HEADS} objects")
    return [Fields(head, fields.source, fields.error, f"heads[{i}].") for i, head in enumerate(heads)]


def _head(head: Fields, name: str, shared: dict[str, Any]) -> Probe:
    kind = head.one_of("kind", KINDS)
    point, band, chosen_by = _chosen_point(head, kind)
    metrics = head.small_object("metrics", MAX_NOTES)
    if shared["status"] == "validated" and not isinstance(metrics.get("external_test"), dict):
        head.refuse("metrics", 'an object with "external_test" in a probe that is validated')
    return Probe(
        **shared,
        name=name,
        title=head.text("title"),
        kind=kind,
        unit=_unit(head, kind),
        weights=head.numbers("weights", EMBEDDING_SIZE),
        column_weights=head.numbers("column_weights", len(shared["columns"])),
        intercept=head.number("intercept"),
        temperature=head.number("temperature", lowest=SMALLEST_DIVISOR),
        operating_point=point,
        abstention_band=band,
        chosen_by=chosen_by,
        metrics=metrics,
    )


def _standardization(fields: Fields) -> tuple[np.ndarray, np.ndarray]:
    scale = fields.numbers("scale", EMBEDDING_SIZE, lowest=SMALLEST_DIVISOR)
    return fields.numbers("mean", EMBEDDING_SIZE), scale


def _unit(fields: Fields, kind: str) -> str:
    return fields.one_of("unit", ("probability",)) if kind == "classification" else fields.text("unit", at_most=20)


def _file_name(fields: Fields) -> str:
    name, stem = fields.text("name"), Path(fields.source).stem
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


def _chosen_point(head: Fields, kind: str) -> tuple[float | None, tuple[float, float] | None, Mapping[str, Any] | None]:
    """Threshold, abstention band and how both were chosen, of a head of format 2."""
    if head.is_null("operating_point"):
        return None, None, None
    if kind == "regression":
        head.refuse("operating_point", "null in a regression")
    point = head.object("operating_point")
    threshold = point.number("threshold", 0, 1)
    has_band = not point.is_null("lower") or not point.is_null("upper")
    band = (point.number("lower", 0, threshold), point.number("upper", threshold, 1)) if has_band else None
    sensitivity = None if point.is_null("target_sensitivity") else point.number("target_sensitivity", 0, 1)
    chosen_by = {"method": point.text("method"), "n": point.integer("n", 0, 10**9), "target_sensitivity": sensitivity}
    return threshold, band, chosen_by
