"""Chooses the thresholds of a bundle on validation recordings, with the int8 model itself (tussis-thresholds)."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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
    from distill.evaluation.event_scoring import EventScore

SCHEMA = "tussis.thresholds/1"
DEFAULT_THRESHOLD = 0.5
MIN_SPECIFICITY = 0.95
MAX_FALSE_PER_HOUR = 2.0
CANDIDATES = tuple(round(0.05 + 0.01 * n, 2) for n in range(91))
GATES = (*(round(0.1 * n, 1) for n in range(1, 10)), 0.95)
RULE = (
    f"highest F1 over validation recordings at a specificity of at least {MIN_SPECIFICITY}; of the coughs' thresholds"
    f" with that specificity, and with at most {MAX_FALSE_PER_HOUR:g} coughs counted in an hour that has none, the one"
    " that finds the coughs of composed recordings best"
)
ON_PROBABILITIES = (*(round(0.2 + 0.1 * n, 1) for n in range(8)), 0.92, 0.94, 0.96, 0.98)
OFF_PROBABILITIES = tuple(round(0.1 + 0.1 * n, 1) for n in range(7))
N_COMPOSED = 240
N_HOURS = 1.0
HYSTERESIS = ("cough_on_probability", "cough_off_probability")


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


def choose_counting(
    heard: Sequence[HeardRecording],
    cough_free: Sequence[HeardRecording],
    thresholds: Mapping[str, float],
    recording_probabilities: np.ndarray,
    validation: ValidationClips,
) -> tuple[dict[str, Any], dict[str, float], dict[str, Any]]:
    """Choose the cough threshold, which also gates the activity track, and where a cough begins and ends, together.

    Of all with a specificity of at least 0.95 on recordings, and at most `MAX_FALSE_PER_HOUR` counted in `cough_free`
    sound, the highest F1 of coughs in `heard` recordings; of equals the highest ones. Recordings are mostly all cough
    or none, so that their F1 alone would choose a threshold that misses single coughs over other sounds. Where no
    threshold is specific enough, that in `thresholds` stays; where none counts so little, those that count least.

    Returns
    -------
    The operating point of the threshold, the two settings, and what they reach.
    """
    holds, known = validation.truth(COUGH)
    of_coughs = recording_probabilities[known, EVENT_LABELS.index(COUGH)]
    points = [_operating_point(gate, of_coughs, holds[known]) for gate in (*GATES, thresholds[COUGH])]
    specific = [point for point in points if point["specificity"] >= MIN_SPECIFICITY] or points[-1:]
    candidates = [
        (point, _counting(thresholds, point["threshold"], on, off))
        for point in specific
        for on in ON_PROBABILITIES
        for off in OFF_PROBABILITIES
        if off <= on
    ]
    hours = sum(recording.duration_s for recording in cough_free) / 3600
    false_per_hour = [
        score_coughs(_countable(cough_free, chosen), **chosen).n_false_positive / hours for _, chosen in candidates
    ]
    limit = max(MAX_FALSE_PER_HOUR, min(false_per_hour))
    scored = [
        (score_coughs(heard, **chosen), false, point, chosen)
        for (point, chosen), false in zip(candidates, false_per_hour, strict=True)
        if false <= limit
    ]
    best, false, point, chosen = max(scored, key=lambda of: (of[0].f1 or 0.0, *_settings_of(of[3])))
    return point, {name: chosen[name] for name in HYSTERESIS}, _reached(heard, best, cough_free, false)


def _counting(thresholds: Mapping[str, float], gate: float, on: float, off: float) -> dict[str, Any]:
    return {
        "event_thresholds": {**thresholds, COUGH: gate},
        "cough_on_probability": on,
        "cough_off_probability": off,
    }


def _countable(recordings: Iterable[HeardRecording], chosen: Mapping[str, Any]) -> list[HeardRecording]:
    """The recordings in which a cough can be counted at all: few, and finding events takes time."""
    gate, on = _settings_of(chosen)[:2]
    return [
        recording
        for recording in recordings
        if any(window.events[EVENT_LABELS.index(COUGH)] >= gate for window in recording.windows)
        and any(window.activity.max() >= on for window in recording.windows)
    ]


def _settings_of(chosen: Mapping[str, Any]) -> tuple[float, ...]:
    return (chosen["event_thresholds"][COUGH], *(chosen[name] for name in HYSTERESIS))


def _reached(
    heard: Sequence[HeardRecording], best: "EventScore", cough_free: Sequence[HeardRecording], false_per_hour: float
) -> dict[str, Any]:
    return {
        "recordings": f"{len(heard)} recordings of {heard[0].duration_s:g} s, composed from validation recordings",
        "n_coughs": best.n_reference,
        "f1": best.f1,
        "sensitivity": best.sensitivity,
        "false_positives_per_hour": best.false_positives_per_hour,
        "cough_free_hours": round(sum(recording.duration_s for recording in cough_free) / 3600, 3),
        "cough_free_false_per_hour": false_per_hour,
    }


def choose_thresholds(
    model: Path, store: "WaveformStore", n_composed: int = N_COMPOSED, hours: float = N_HOURS, seed: int = 0
) -> dict[str, Any]:
    """Choose everything that the bundle's ``screening`` needs; returns what thresholds.json holds."""
    from distill.evaluation.composed_recordings import compose_cough_free, compose_recordings
    from quantize.outputs import tflite_outputs

    validation = read_validation_clips(store)
    logits = tflite_outputs(model, validation.clips)["event_logits"]
    of_recordings = validation.per_recording(sigmoid(logits))
    events = choose_event_thresholds(of_recordings, validation)
    thresholds = {event: point["threshold"] for event, point in events.items()}
    interpreter = LiteRtInterpreter(model)
    heard = [hear(interpreter, recording) for recording in compose_recordings(store, n_composed, seed)]
    cough_free = [hear(interpreter, recording) for recording in compose_cough_free(store, hours, seed)]
    events[COUGH], hysteresis, cough_events = choose_counting(heard, cough_free, thresholds, of_recordings, validation)
    thresholds[COUGH] = events[COUGH]["threshold"]
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
    hours: Annotated[float, typer.Option(min=0.05, help="Hours to compose without a cough.")] = N_HOURS,
    seed: Annotated[int, typer.Option(help="Of the composed recordings.")] = 0,
) -> None:
    """Choose the event thresholds and the probabilities at which a cough begins and ends.

    Example: tussis-thresholds --model student_int8.tflite --store cache/store --out thresholds.json
    """
    from distill.corpus.waveform_store import WaveformStore

    with exit_on_error("tussis-thresholds"):
        check_writable(out, SCHEMA.partition("/")[0])
        chosen = choose_thresholds(model, WaveformStore.open(store), n_composed, hours, seed)
        write_atomically(out, json.dumps(chosen, indent=1, allow_nan=False) + "\n")
        PlainConsole(stderr=is_standard_output(out)).print_json(data=chosen["screening"])


def main() -> None:
    """Entry point of ``tussis-thresholds``."""
    run_app(app)


if __name__ == "__main__":
    main()
