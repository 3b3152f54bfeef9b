"""The only place that measures how far the int8 model drifted from the float one, and refuses too much of it."""

from typing import Any

import numpy as np

from core.errors import DataError
from core.pooling import probabilities
from distill.metrics import auroc
from distill.student import EVENT_LABELS
from quantize.outputs import Outputs
from quantize.recipe import Limits
from quantize.validation import ValidationClips

DECISION_PROBABILITY = 0.5


def compare(
    torch_model: Outputs, float_model: Outputs, int8_model: Outputs, validation: ValidationClips
) -> dict[str, Any]:
    """Compare three runs over the same validation clips.

    Returns
    -------
    dict
        ``embedding_cosine`` {min, p1, median} of int8 to float, over clips; ``events`` per label: AUROC of torch,
        float and int8 over recordings (null where validation has too few), share of clips whose decision at
        probability 0.5 flips, and mean difference of probability; ``activity`` the same over frames;
        ``torch_to_float`` the largest difference of each output.
    """
    measurable = validation.measurable_events()
    if "cough" not in measurable:
        raise DataError("the validation recordings hold too few coughs, or too little else, to compare models on")
    models = {"torch": torch_model, "float": float_model, "int8": int8_model}
    scores = {name: validation.per_recording(outputs["event_logits"]) for name, outputs in models.items()}
    return {
        "n_clips": len(validation.clips),
        "n_recordings": len(validation.labels),
        "embedding_cosine": _cosine_summary(float_model["embedding"], int8_model["embedding"]),
        "events": {
            event: {
                "auroc": _aurocs(scores, n, event, validation) if event in measurable else None,
                **_drift(float_model["event_logits"][:, n], int8_model["event_logits"][:, n]),
            }
            for n, event in enumerate(EVENT_LABELS)
        },
        "activity": _drift(float_model["activity_logits"], int8_model["activity_logits"]),
        "torch_to_float": {name: float(np.abs(torch_model[name] - float_model[name]).max()) for name in torch_model},
    }


def _cosine_summary(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosine = (ours * theirs).sum(axis=1) / np.maximum(norms, 1e-12)
    return {
        "min": float(cosine.min()),
        "p1": float(np.percentile(cosine, 1)),
        "median": float(np.median(cosine)),
    }


def _aurocs(
    scores: dict[str, np.ndarray], column: int, event: str, validation: ValidationClips
) -> dict[str, float | int]:
    holds, known = validation.truth(event)
    values = {name: auroc(its[known, column], holds[known]) for name, its in scores.items()}
    counts = {"n_positive": int(holds[known].sum()), "n_negative": int((~holds[known]).sum())}
    return {**values, "difference": abs(values["int8"] - values["float"]), **counts}


def _drift(float_logits: np.ndarray, int8_logits: np.ndarray) -> dict[str, float]:
    ours, theirs = probabilities(float_logits), probabilities(int8_logits)
    flipped = (ours >= DECISION_PROBABILITY) != (theirs >= DECISION_PROBABILITY)
    return {
        "decision_flips": float(flipped.mean()),
        "mean_probability_difference": float(np.abs(ours - theirs).mean()),
    }


def beyond_limits(agreement: dict[str, Any], limits: Limits) -> list[str]:
    """Say in words what is past the recipe's limits; empty where the int8 model may be shipped.

    A value that is not a number is past every limit.
    """
    cosine, events = agreement["embedding_cosine"], agreement["events"]
    worst = max(EVENT_LABELS, key=lambda event: events[event]["decision_flips"])
    at_least = [
        ("the median embedding cosine", cosine["median"], limits.min_embedding_cosine_median),
        ("the 1st percentile of the embedding cosine", cosine["p1"], limits.min_embedding_cosine_p1),
    ]
    at_most = [
        ("the difference of cough AUROC", events["cough"]["auroc"]["difference"], limits.max_cough_auroc_difference),
        ("the share of flipped cough decisions", events["cough"]["decision_flips"], limits.max_cough_decision_flips),
        (f"the share of flipped {worst} decisions", events[worst]["decision_flips"], limits.max_event_decision_flips),
        (
            "the share of flipped activity frames",
            agreement["activity"]["decision_flips"],
            limits.max_activity_decision_flips,
        ),
        ("the size in bytes", agreement["int8_model"]["bytes"], limits.max_model_bytes),
        ("the number of XNNPACK partitions", agreement["int8_model"]["n_partitions"], limits.max_partitions),
    ]
    low = [f"{what} is {value:.4g} (at least {limit:g})" for what, value, limit in at_least if not value >= limit]
    return low + [f"{what} is {value:.4g} (at most {limit:g})" for what, value, limit in at_most if not value <= limit]
