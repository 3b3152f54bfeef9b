"""Chooses the thresholds of a bundle on validation recordings, with the int8 model itself (tussis-thresholds)."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from core.bundle import COUGH
from core.errors import exit_on_error
from core.files import check_writable, is_standard_output, sha256_of_file, write_atomically
from core.interpreter import LiteRtInterpreter
from core.probes import sigmoid
from distill.command_line import run_app
from distill.corpus.labels import EVENT_LABELS, event_labels_of
from distill.shown_text import PlainConsole
from quantize.validation import (
    DEFAULT_SCREENING,
    HeardRecording,
    ValidationClips,
    hear,
    read_validation_clips,
    score_coughs,
)

if TYPE_CHECKING:
    from distill.corpus.waveform_store import WaveformStore

SCHEMA = "tussis.thresholds/1"
DEFAULT_THRESHOLD = 0.5
MIN_SPECIFICITY = 0.95
CANDIDATES = tuple(round(0.05 + 0.01 * n, 2) for n in range(91))
GATES = tuple(round(0.1 * n, 1) for n in range(1, 10))
RULE = (
    f"highest F1 over validation recordings at a specificity of at least {MIN_SPECIFICITY}; of the coughs' thresholds"
    " with that specificity the one that finds the coughs of composed recordings best"
)
ON_PROBABILITIES = tuple(round(0.2 + 0.1 * n, 1) for n in range(8))
OFF_PROBABILITIES = tuple(round(0.1 + 0.1 * n, 1) for n in range(7))
N_COMPOSED = 120


def choose_event_thresholds(probabilities: np.ndarray, validation: ValidationClips) -> dict[str, dict[str, Any]]:
    """Choose a threshold per event label on recordings (n_recordings, n_events): highest F1 at specificity >= 0.95.

    Of equally good thresholds the middle one. A label with too few validation recordings gets 0.5 and says so.
    """
    measurable = validation.measurable_events()
    chosen = {}
    for column, event in enumerate(EVENT_LABELS):
        if event not in measurable:
            chosen[event] = {"threshold": DEFAULT_THRESHOLD, "reason": "too few validation recordings with this label"}
            continue
        holds, known = validation.truth(event)
        chosen[event] = _best_threshold(probabilities[known, column], holds[known])
    return chosen


def _best_threshold(probabilities: np.ndarray, holds: np.ndarray) -> dict[str, Any]:
    points = [_operating_point(threshold, probabilities, holds) for threshold in CANDIDATES]
    merit = [(min(point["specificity"], MIN_SPECIFICITY), point["f1"]) for point in points]
    best = [point for point, of_point in zip(points, merit, strict=True) if of_point == max(merit)]
    return best[len(best) // 2]


def _operating_point(threshold: float, probabilities: np.ndarray, holds: np.ndarray) -> dict[str, Any]:
    is_found = probabilities >= threshold
    n_true, n_found, n_holds = int((is_found & holds).sum()), int(is_found.sum()), int(holds.sum())
    return {
        "threshold": threshold,
        "sensitivity": n_true / n_holds,
        "specificity": float((~is_found & ~holds).sum() / (~holds).sum()),
        "f1": 2 * n_true / (n_found + n_holds),
        "n_positive": n_holds,
        "n_negative": int((~holds).sum()),
    }


def choose_cough_gate(
    heard: Sequence[HeardRecording],
    thresholds: Mapping[str, float],
    recording_probabilities: np.ndarray,
    validation: ValidationClips,
) -> dict[str, Any]:
    """Choose the cough threshold, which also gates the activity track: highest event F1 at specificity >= 0.95.

    Recordings are mostly all cough or none, so that their F1 alone would choose a threshold that misses single coughs
    over other sounds. Where no candidate is specific enough, the threshold in `thresholds` stays.
    """
    holds, known = validation.truth(COUGH)
    of_coughs = recording_probabilities[known, EVENT_LABELS.index(COUGH)]
    points = [_operating_point(gate, of_coughs, holds[known]) for gate in (*GATES, thresholds[COUGH])]
    specific = [point for point in points if point["specificity"] >= MIN_SPECIFICITY] or points[-1:]

    def event_f1(point: dict[str, Any]) -> float:
        return score_coughs(heard, event_thresholds={**thresholds, COUGH: point["threshold"]}).f1 or 0.0

    return max(specific, key=lambda point: (event_f1(point), point["threshold"]))


def choose_hysteresis(
    heard: Sequence[HeardRecording], thresholds: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Choose the probabilities at which a cough begins and ends: highest event F1; of equals the highest ones.

    Returns the two settings, and what they reach.
    """
    scores = {
        (on, off): score_coughs(heard, event_thresholds=thresholds, cough_on_probability=on, cough_off_probability=off)
        for on in ON_PROBABILITIES
        for off in OFF_PROBABILITIES
        if off <= on
    }
    (on, off), best = max(scores.items(), key=lambda item: (item[1].f1 or 0.0, item[0]))
    return {"cough_on_probability": on, "cough_off_probability": off}, {
        "recordings": f"{len(heard)} recordings of {heard[0].duration_s:g} s, composed from validation recordings",
        "n_coughs": best.n_reference,
        "f1": best.f1,
        "sensitivity": best.sensitivity,
        "false_positives_per_hour": best.false_positives_per_hour,
    }


def choose_thresholds(
    model: Path, store: "WaveformStore", n_composed: int = N_COMPOSED, seed: int = 0
) -> dict[str, Any]:
    """Choose everything that the bundle's ``screening`` needs; returns what thresholds.json holds."""
    from distill.evaluation.composed_recordings import compose_recordings
    from quantize.outputs import tflite_outputs

    validation = read_validation_clips(store)
    logits = tflite_outputs(model, validation.clips)["event_logits"]
    of_recordings = validation.per_recording(sigmoid(logits))
    events = choose_event_thresholds(of_recordings, validation)
    thresholds = {event: point["threshold"] for event, point in events.items()}
    interpreter = LiteRtInterpreter(model)
    heard = [hear(interpreter, recording) for recording in compose_recordings(store, n_composed, seed)]
    events[COUGH] = choose_cough_gate(heard, thresholds, of_recordings, validation)
    thresholds[COUGH] = events[COUGH]["threshold"]
    hysteresis, cough_events = choose_hysteresis(heard, thresholds)
    screening = {**DEFAULT_SCREENING, "event_thresholds": thresholds, **hysteresis}
    return {
        "schema": SCHEMA,
        "model_sha256": sha256_of_file(model),
        "rule": RULE,
        "screening": screening,
        "events": events,
        "cough_events": cough_events,
        "n_training_recordings": count_training_recordings(store),
    }


def count_training_recordings(store: "WaveformStore") -> dict[str, int]:
    """How many training recordings people labelled with each event; 0 where only the event teacher taught it."""
    named = Counter(event for row in store.rows if row.role == "train" for event in event_labels_of(row.labels))
    return {event: named[event] for event in EVENT_LABELS}


app = typer.Typer(add_completion=False)


@app.command()
def choose(
    model: Annotated[Path, typer.Option(help="The int8 model that will be shipped.")],
    store: Annotated[Path, typer.Option(help="Waveform store; only its validation recordings are used.")],
    out: Annotated[Path, typer.Option(help="thresholds.json to write.")],
    n_composed: Annotated[int, typer.Option(min=1, help="Recordings to compose, each of 10 s.")] = N_COMPOSED,
    seed: Annotated[int, typer.Option(help="Of the composed recordings.")] = 0,
) -> None:
    """Choose the event thresholds and the probabilities at which a cough begins and ends.

    Example: tussis-thresholds --model student_int8.tflite --store cache/store --out thresholds.json
    """
    from distill.corpus.waveform_store import WaveformStore

    with exit_on_error("tussis-thresholds"):
        check_writable(out, SCHEMA.partition("/")[0])
        chosen = choose_thresholds(model, WaveformStore.open(store), n_composed, seed)
        write_atomically(out, json.dumps(chosen, indent=1, allow_nan=False) + "\n")
        PlainConsole(stderr=is_standard_output(out)).print_json(data=chosen["screening"])


def main() -> None:
    """Entry point of ``tussis-thresholds``."""
    run_app(app)


if __name__ == "__main__":
    main()
