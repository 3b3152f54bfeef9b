"""Writes probe files: heads that share one standardization, clinical columns and a domain."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.interpreter import EMBEDDING_SIZE
from core.probes import PROBE_FORMAT_VERSION, ClipSelection
from core.probing.clinical import ClinicalColumn
from core.probing.domain import Domain
from distill.probes.clinical_fit import split_weights
from distill.probes.linear_fit import FittedProbe

DIGITS, DIRECTION_DIGITS = 8, 4

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Head:
    """One question that a probe file answers: its name and title, its kind in core's words, its unit, and the fit."""

    name: str
    title: str
    output: str
    unit: str
    fitted: FittedProbe


@dataclass(frozen=True)
class SharedFacts:
    """What the heads of a file share; ``mean`` and ``scale`` (512,) standardize every embedding."""

    name: str
    status: str
    intended_use: str
    selection: ClipSelection
    mean: Array
    scale: Array
    columns: Sequence[ClinicalColumn]
    domain: Domain | None
    training: dict[str, Any]


def probe_file(shared: SharedFacts, heads: Sequence[Head]) -> dict[str, Any]:
    """The content of a probe file, in the order in which it is written."""
    return {
        "format_version": PROBE_FORMAT_VERSION,
        "name": shared.name,
        "status": shared.status,
        "intended_use": shared.intended_use,
        "clips": asdict(shared.selection),
        "heads": [_head_object(head, shared) for head in heads],
        "columns": [asdict(column) for column in shared.columns],
        "training": shared.training,
        "mean": rounded(shared.mean),
        "scale": rounded(shared.scale),
        "domain": None if shared.domain is None else _domain_object(shared.domain),
    }


def probe_json(content: dict[str, Any]) -> bytes:
    """The probe file's bytes, a line for each key, so that two files can be compared."""
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, allow_nan=False, separators=(',', ':'))}"
        for key, value in content.items()
    ]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def rounded(values: Array, n_digits: int = DIGITS) -> list[float]:
    """Numbers as they stand in a probe file."""
    return [float(f"{value:.{n_digits}g}") for value in np.ravel(values)]


def _head_object(head: Head, shared: SharedFacts) -> dict[str, Any]:
    model = head.fitted.model
    weights, column_weights, intercept = split_weights(model, shared.columns)
    # The model standardizes by its own recordings; the file by those of all heads.
    slopes = weights / model.scale[:EMBEDDING_SIZE]
    intercept += float(slopes @ (shared.mean - model.mean[:EMBEDDING_SIZE]))
    return {
        "name": head.name,
        "title": head.title,
        "kind": head.output,
        "unit": head.unit,
        "weights": rounded(slopes * shared.scale),
        "column_weights": rounded(column_weights),
        "intercept": intercept,
        "temperature": head.fitted.temperature,
        "operating_point": _operating_point(head.fitted),
        "metrics": head.fitted.metrics,
    }


def _operating_point(fitted: FittedProbe) -> dict[str, Any] | None:
    """Threshold and abstention band with how they were chosen, which the metrics tell where the fit knows it."""
    if fitted.operating_point is None:
        return None
    lower, upper = fitted.abstention_band or (None, None)
    told = fitted.metrics.get("operating_point") or {}
    return {
        "threshold": fitted.operating_point,
        "lower": lower,
        "upper": upper,
        "target_sensitivity": told.get("target_sensitivity", fitted.metrics.get("target", {}).get("sensitivity")),
        "method": told.get("method", "out_of_fold"),
        "n": told.get("n", fitted.metrics.get("n_positive", 0)),
    }


def _domain_object(domain: Domain) -> dict[str, Any]:
    return {
        "n_directions": len(domain.variances),
        "threshold": domain.threshold,
        "rest_variance": domain.rest_variance,
        "measured": dict(domain.measured),
        "variances": rounded(domain.variances),
        "directions": rounded(domain.directions, DIRECTION_DIGITS),
    }
