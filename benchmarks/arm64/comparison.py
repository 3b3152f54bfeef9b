"""The only place that compares what two processors say, and reads the marks of the instruction counter."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.bundle import Bundle
from core.errors import DataError
from core.probes import sigmoid

Outputs = Mapping[str, np.ndarray]
"""One array an output, each (n_inputs, ...)."""


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
        found = f"{other.dtype} {other.shape}; expected {reference.dtype} {reference.shape}"
        raise DataError(f"the processors' outputs cannot be compared: {found}")
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
    events = [sigmoid(its["event_logits"]) >= thresholds for its in (reference, other)]
    frames = [sigmoid(its["activity_logits"]) >= on for its in (reference, other)]
    return {
        "n_event_decisions": int(events[0].size),
        "event_flips": int((events[0] != events[1]).sum()),
        "n_frames": int(frames[0].size),
        "frame_flips": int((frames[0] != frames[1]).sum()),
    }


def read_counts(marks: str, n_runs: Sequence[tuple[str, int]]) -> dict[str, dict[str, Any]]:
    """Instructions of one run of each part, from the marks that benchmarks/arm64/guest.py made.

    Parameters
    ----------
    marks : str
        Lines of two numbers, since the program's start: instructions, and dot products among them.
    n_runs : sequence of (name, runs)
        The parts in their order, each with at least two runs. The first one of each is left out: it warms up.

    Returns
    -------
    dict
        For each name ``instructions`` and ``dot_products`` (medians over the runs, less what two marks with nothing
        between them cost) and ``spread``, the distance between their quartiles over the median.

    Raises
    ------
    DataError
        If the marks are not those of these parts.
    """
    rows = [line.split() for line in marks.splitlines()]
    expected = 2 + 2 * sum(runs for _, runs in n_runs)
    if len(rows) != expected or not all(len(row) == 2 and all(part.isdecimal() for part in row) for row in rows):
        raise DataError(f"the instruction counter wrote {len(rows)} marks; expected {expected}, of two numbers each")
    numbers = np.array(rows, dtype=np.int64)
    spent = numbers[1::2] - numbers[::2]
    runs_of, at = spent[1:] - spent[0] * np.array([1, 0]), 0
    counts = {}
    for name, runs in n_runs:
        its = runs_of[at + 1 : at + runs]
        at += runs
        instructions, dot_products = (round(float(value)) for value in np.median(its, axis=0))
        low, high = np.percentile(its[:, 0], (25, 75))
        spread = float((high - low) / max(instructions, 1))
        counts[name] = {"instructions": instructions, "dot_products": dot_products, "spread": spread}
    return counts
