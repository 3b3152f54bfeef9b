"""Compares a model's outputs on two processors, and names the differences that are larger than they may be."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.arm64.jobs import FLOAT, INT8, Counts, Results
from core.bundle import Bundle
from core.errors import DataError
from core.probes import sigmoid
from quantize.tflite_parts import FRONT_END, INTEGER_BODY, TO_CODES

# Sums in float32 are added up in another order on another processor, so a value on the edge of two 8-bit codes may
# fall to the other one; integers may not differ at all.
MAX_LOG_MEL_DIFFERENCE = 1e-3
MAX_CODE_STEPS = 1
MAX_FLIPPED_SHARE = 0.01
MAX_SPREAD = 3e-4  # ordinary: 1.0e-4, a quarter of the front end's runs takes 153 or 161 instructions more
LOG_MEL, CODES, EVENTS, FRAMES = "log-mel", "codes before the integer body", "event decisions", "activity frames"

Outputs = Mapping[str, np.ndarray]
"""One array an output, each (n_inputs, ...)."""

Comparison = dict[str, dict[str, Any]]
"""How far two processors differ, by what is compared."""


def compare_processors(bundle: Bundle, here: Results, there: Results) -> Comparison:
    """What differs between two processors: of each student its log-mel and its outputs, of the int8 one more.

    These are `CODES` (what its front end and stem give to the integer body), `INTEGER_BODY` on the same codes, the
    outputs of the clips whose codes are the same, if any, and the decisions by the bundle's thresholds.
    """
    students = [name for name in (INT8, FLOAT) if name in here]
    parts = {f"{name} {LOG_MEL}": f"{name} {FRONT_END}" for name in students}
    parts |= {CODES: f"{INT8} {TO_CODES}", INTEGER_BODY: f"{INT8} {INTEGER_BODY}"}
    comparison = {what: compare_arrays(here[part]["0"], there[part]["0"]) for what, part in parts.items()}
    for name in students:
        comparison |= compare_outputs(name, here[name], there[name])
    same = where_identical(here[parts[CODES]]["0"], there[parts[CODES]]["0"])
    if same.any():
        kept = ({name: array[same] for name, array in results[INT8].items()} for results in (here, there))
        comparison |= compare_outputs(f"{INT8} on the same codes", *kept)
    return comparison | compare_decisions(bundle, here[INT8], there[INT8])


def compare_arrays(reference: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """How far two arrays (n_inputs, ...) of one shape and type differ; DataError for others, and values not finite.

    ``n_identical`` counts the inputs all of whose values are the same bits; ``max_relative`` is ``max_abs`` over the
    largest value of `reference`.
    """
    if reference.shape != other.shape or reference.dtype != other.dtype:
        types = f"{other.dtype} {other.shape}; expected {reference.dtype} {reference.shape}"
        raise DataError(f"the processors' outputs cannot be compared: {types}")
    if not (np.isfinite(reference).all() and np.isfinite(other).all()):
        raise DataError("the processors' outputs cannot be compared: a value is not finite")
    difference = np.abs(other.astype(np.float64) - reference)
    differs = (reference != other).reshape(len(reference), -1)
    largest = float(difference.max())
    return {
        "n_inputs": len(reference),
        "n_identical": int((~differs.any(axis=1)).sum()),
        "n_values": int(differs.size),
        "n_different": int(differs.sum()),
        "max_abs": largest,
        "max_relative": largest / max(float(np.abs(reference.astype(np.float64)).max()), 1e-9),
    }


def compare_outputs(model: str, reference: Outputs, other: Outputs) -> Comparison:
    """`compare_arrays` for each output of a model."""
    return {f"{model} {name}": compare_arrays(array, other[name]) for name, array in reference.items()}


def where_identical(reference: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which of n_inputs inputs gave the same bits in all values, shape (n_inputs,), bool."""
    return (reference == other).reshape(len(reference), -1).all(axis=1)


def compare_decisions(bundle: Bundle, reference: Outputs, other: Outputs) -> Comparison:
    """Decisions by the bundle's thresholds that differ: events, one per label and clip, and frames of activity."""
    thresholds = np.array([bundle.screening.event_thresholds[label] for label in bundle.event_labels])
    on = bundle.screening.cough_on_probability
    events = [sigmoid(outputs["event_logits"]) >= thresholds for outputs in (reference, other)]
    frames = [sigmoid(outputs["activity_logits"]) >= on for outputs in (reference, other)]
    return {
        what: {"n_values": int(here.size), "n_different": int((here != there).sum())}
        for what, (here, there) in ((EVENTS, events), (FRAMES, frames))
    }


def beyond_limits(comparison: Comparison, counts: Counts) -> list[str]:
    """Name in words what differs more than it may between x86 and an emulated processor; empty where all is well."""
    log_mel = max(difference["max_abs"] for what, difference in comparison.items() if what.endswith(LOG_MEL))
    flips = {what: comparison[what]["n_different"] / comparison[what]["n_values"] for what in (EVENTS, FRAMES)}
    spread = max(count["spread"] for count in counts.values())
    limits = [
        ("the integer body's codes that differ", comparison[INTEGER_BODY]["n_different"], 0),
        ("the largest difference of the front end's log-mel", log_mel, MAX_LOG_MEL_DIFFERENCE),
        ("the largest difference of a code before the integer body", comparison[CODES]["max_abs"], MAX_CODE_STEPS),
        *((f"the share of flipped {what}", share, MAX_FLIPPED_SHARE) for what, share in flips.items()),
        ("the relative spread of an instruction count", spread, MAX_SPREAD),
    ]
    return [f"{what} is {value:.3g} (at most {limit:g})" for what, value, limit in limits if not value <= limit]
