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
FLIPS = (("event decisions", "n_event_decisions", "event_flips"), ("activity frames", "n_frames", "frame_flips"))

Outputs = Mapping[str, np.ndarray]
"""One array an output, each (n_inputs, ...)."""

Comparison = dict[str, Any]
"""As `compare_processors` returns it."""


def compare_processors(bundle: Bundle, here: Results, there: Results) -> Comparison:
    """What is the same on two processors and what is not, from the front end to the decisions.

    Returns
    -------
    dict
        ``front_end`` (log-mel) and ``outputs`` by model; of the int8 model ``codes`` (what its front end and stem
        give to the integer body), ``integer_body`` on the same codes, ``outputs_of_same_codes`` (only clips whose
        codes are the same; null where there are none) and ``decisions``.
    """
    log_mel = {name: f"{name} {FRONT_END}" for name in (INT8, FLOAT) if name in here}
    codes_here, codes_there = (results[f"{INT8} {TO_CODES}"]["0"] for results in (here, there))
    same = where_identical(codes_here, codes_there)
    kept = [{name: array[same] for name, array in results[INT8].items()} for results in (here, there)]
    integers = (results[f"{INT8} {INTEGER_BODY}"]["0"] for results in (here, there))
    return {
        "front_end": {name: compare_arrays(here[task]["0"], there[task]["0"]) for name, task in log_mel.items()},
        "codes": compare_arrays(codes_here, codes_there),
        "integer_body": compare_arrays(*integers),
        "outputs": {name: compare_outputs(here[name], there[name]) for name in log_mel},
        "outputs_of_same_codes": compare_outputs(*kept) if same.any() else None,
        "decisions": count_flips(bundle, here[INT8], there[INT8]),
    }


def compare_arrays(reference: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """How far two arrays (n_inputs, ...) differ.

    Returns
    -------
    dict
        ``n_inputs``, ``n_identical`` (inputs all of whose values are the same bits), ``n_values``, ``n_different``
        values, ``max_abs``, and ``max_relative``, which is `max_abs` over the largest value of `reference`.

    Raises
    ------
    DataError
        If the shapes or types differ, or a value is not finite.
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


def compare_outputs(reference: Outputs, other: Outputs) -> dict[str, dict[str, Any]]:
    """`compare_arrays` for each output."""
    return {name: compare_arrays(array, other[name]) for name, array in reference.items()}


def where_identical(reference: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which of n_inputs inputs gave the same bits in all values, shape (n_inputs,), bool."""
    return (reference == other).reshape(len(reference), -1).all(axis=1)


def count_flips(bundle: Bundle, reference: Outputs, other: Outputs) -> dict[str, int]:
    """Decisions by the bundle's thresholds that differ: events, one per label and clip, and frames of activity."""
    thresholds = np.array([bundle.screening.event_thresholds[label] for label in bundle.event_labels])
    on = bundle.screening.cough_on_probability
    events = [sigmoid(outputs["event_logits"]) >= thresholds for outputs in (reference, other)]
    frames = [sigmoid(outputs["activity_logits"]) >= on for outputs in (reference, other)]
    return {
        "n_event_decisions": int(events[0].size),
        "event_flips": int((events[0] != events[1]).sum()),
        "n_frames": int(frames[0].size),
        "frame_flips": int((frames[0] != frames[1]).sum()),
    }


def agreement_entries(comparison: Comparison) -> list[dict[str, Any]]:
    """The comparison with x86 as a list: ``compared``, and how far it differs as `compare_arrays` tells."""
    entries = {f"{name} front end, log-mel": difference for name, difference in comparison["front_end"].items()}
    entries |= {"codes before the integer body": comparison["codes"], "integer body": comparison["integer_body"]}
    outputs = dict(comparison["outputs"])
    if same := comparison["outputs_of_same_codes"]:
        outputs[f"{INT8} on the same codes"] = same
    entries |= {f"{model}, {name}": difference for model, outs in outputs.items() for name, difference in outs.items()}
    decisions = comparison["decisions"]
    for what, n_values, n_different in FLIPS:
        entries[what] = {"n_values": decisions[n_values], "n_different": decisions[n_different]}
    return [{"compared": compared, **difference} for compared, difference in entries.items()]


def beyond_limits(comparison: Comparison, counts: Counts) -> list[str]:
    """Name in words what differs more than it may between x86 and an emulated processor; empty where all is well."""
    integer, codes, decisions = (comparison[key] for key in ("integer_body", "codes", "decisions"))
    log_mel = max(difference["max_abs"] for difference in comparison["front_end"].values())
    spread = max(count["spread"] for count in counts.values())
    limits = [
        ("the integer body's codes that differ", integer["n_different"], 0),
        ("the largest difference of the front end's log-mel", log_mel, MAX_LOG_MEL_DIFFERENCE),
        ("the largest difference of a code before the integer body", codes["max_abs"], MAX_CODE_STEPS),
        *(
            (f"the share of flipped {what}", decisions[flips] / decisions[n], MAX_FLIPPED_SHARE)
            for what, n, flips in FLIPS
        ),
        ("the relative spread of an instruction count", spread, MAX_SPREAD),
    ]
    return [f"{what} is {value:.3g} (at most {limit:g})" for what, value, limit in limits if not value <= limit]
