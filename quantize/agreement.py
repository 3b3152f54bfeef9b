"""The only place that measures how far the int8 model drifted from the float one, and refuses too much of it."""

from typing import Any

import numpy as np

from core.errors import DataError
from core.pooling import probabilities
from distill.corpus.labels import EVENT_LABELS
from distill.evaluation.metrics import auroc
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
        ``torch_to_float`` the largest difference of each output, and ``torch_to_float_cosine`` as the first.
    """
    measurable = validation.measurable_events()
    if "cough" not in measurable:
        raise DataError("the validation recordings hold too few coughs, or too little else, to compare models on")
    models = {"torch": torch_model, "float": float_model, "int8": int8_model}
    scores = {name: validation.per_recording(outputs["event_logits"]) for name, outputs in models.items()}
    return {
        "n_clips": len(validation.clips),
        "n_recordings": len(validation.labels),
        "embedding_cosine": cosine_summary(float_model["embedding"], int8_model["embedding"]),
        "events": {
            event: {
                "auroc": _aurocs(scores, n, event, validation) if event in measurable else None,
                **_drift(float_model["event_logits"][:, n], int8_model["event_logits"][:, n]),
            }
            for n, event in enumerate(EVENT_LABELS)
        },
        "activity": _drift(float_model["activity_logits"], int8_model["activity_logits"]),
        "torch_to_float": {name: float(np.abs(torch_model[name] - float_model[name]).max()) for name in torch_model},
        "torch_to_float_cosine": cosine_summary(torch_model["embedding"], float_model["embedding"]),
    }


def compare_with_reference(reference: Outputs, int8_model: Outputs, validation: ValidationClips) -> dict[str, Any]:
    """Compare the int8 model with the student that it was tuned from: embedding cosine, cough AUROC and flips."""
    scores = {
        name: validation.per_recording(its["event_logits"])
        for name, its in (("reference", reference), ("int8", int8_model))
    }
    cough = EVENT_LABELS.index("cough")
    return {
        "embedding_cosine": cosine_summary(reference["embedding"], int8_model["embedding"]),
        "cough": {
            "auroc": _aurocs(scores, cough, "cough", validation, against="reference"),
            **_drift(reference["event_logits"][:, cough], int8_model["event_logits"][:, cough]),
        },
        "activity": _drift(reference["activity_logits"], int8_model["activity_logits"]),
    }


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Cosine between the rows of two arrays (n, size); shape (n,), float64."""
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return (ours * theirs).sum(axis=1) / np.maximum(norms, 1e-12)


def cosine_summary(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """Smallest, 1st percentile and median of the cosines between the rows of two arrays (n, size)."""
    cosine = cosines(ours, theirs)
    return {"min": float(cosine.min()), "p1": float(np.percentile(cosine, 1)), "median": float(np.median(cosine))}


def _aurocs(
    scores: dict[str, np.ndarray], column: int, event: str, validation: ValidationClips, against: str = "float"
) -> dict[str, float | int]:
    holds, known = validation.truth(event)
    values = {name: auroc(its[known, column], holds[known]) for name, its in scores.items()}
    counts = {"n_positive": int(holds[known].sum()), "n_negative": int((~holds[known]).sum())}
    return {**values, "difference": abs(values["int8"] - values[against]), **counts}


def _drift(float_logits: np.ndarray, int8_logits: np.ndarray) -> dict[str, float]:
    ours, theirs = probabilities(float_logits), probabilities(int8_logits)
    flipped = (ours >= DECISION_PROBABILITY) != (theirs >= DECISION_PROBABILITY)
    return {
        "decision_flips": float(flipped.mean()),
        "mean_probability_difference": float(np.abs(ours - theirs).mean()),
    }


def judge(agreement: dict[str, Any], limits: Limits) -> list[dict[str, Any]]:
    """Hold an agreement report against the recipe's limits: what was measured, its value, the limit, and whether kept.

    A value that is not a number is past every limit.
    """
    cosine, events, int8 = agreement["embedding_cosine"], agreement["events"], agreement["int8_model"]
    activity, counted = agreement["activity"], agreement["composed"]
    worst = max(EVENT_LABELS, key=lambda event: events[event]["decision_flips"])
    at_least = [
        ("the median embedding cosine", cosine["median"], limits.min_embedding_cosine_median),
        ("the 1st percentile of the embedding cosine", cosine["p1"], limits.min_embedding_cosine_p1),
        ("the share of multiply-adds that XNNPACK runs", int8["delegated"]["macs"], limits.min_delegated_macs),
    ]
    at_most = [
        ("the difference of cough AUROC", events["cough"]["auroc"]["difference"], limits.max_cough_auroc_difference),
        ("the share of flipped cough decisions", events["cough"]["decision_flips"], limits.max_cough_decision_flips),
        (f"the share of flipped {worst} decisions", events[worst]["decision_flips"], limits.max_event_decision_flips),
        ("the share of flipped activity frames", activity["decision_flips"], limits.max_activity_decision_flips),
        ("the loss of activity frame F1", counted["frame_f1"]["loss"], limits.max_frame_f1_loss),
        ("the loss of cough event F1", counted["event_f1"]["loss"], limits.max_cough_event_f1_loss),
        ("the size in bytes", int8["bytes"], limits.max_model_bytes),
        ("the number of XNNPACK partitions", int8["n_partitions"], limits.max_partitions),
    ]
    return [
        *({"what": w, "value": v, "at_least": limit, "is_kept": bool(v >= limit)} for w, v, limit in at_least),
        *({"what": w, "value": v, "at_most": limit, "is_kept": bool(v <= limit)} for w, v, limit in at_most),
    ]


def beyond_limits(judged: list[dict[str, Any]]) -> list[str]:
    """Say in words what is past the recipe's limits; empty where the int8 model may be shipped."""
    return [_sentence(its) for its in judged if not its["is_kept"]]


def _sentence(its: dict[str, Any]) -> str:
    bound, limit = ("at least", its["at_least"]) if "at_least" in its else ("at most", its["at_most"])
    return f"{its['what']} is {its['value']:.4g} ({bound} {limit:g})"
