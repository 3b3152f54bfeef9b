"""Chooses the thresholds of a bundle on validation recordings, with the int8 model itself (tussis-thresholds)."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from core.bundle import COUGH, JointTrack
from core.errors import exit_on_error
from core.events import ActivityTrack, log_odds
from core.files import check_writable, is_standard_output, sha256_of_file, write_atomically
from core.interpreter import LiteRtInterpreter
from core.probes import sigmoid
from distill.command_line import run_app
from distill.corpus.labels import ACTIVITY_FRAME_STEP_S, EVENT_LABELS, event_labels_of
from distill.shown_text import PlainConsole
from quantize.validation import (
    DEFAULT_SCREENING,
    EQUAL_TRACK,
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
MAX_FALSE_PER_HOUR = 5.0
CANDIDATES = tuple(round(0.05 + 0.01 * n, 2) for n in range(91))
RULE = (
    f"highest F1 over validation recordings at a specificity of at least {MIN_SPECIFICITY}; the weights of the joint"
    " track tell frames with a cough from others in composed recordings; a cough begins and ends where the coughs there"
    f" are found best, with at most {MAX_FALSE_PER_HOUR:g} counted in an hour without one"
)
ON_PROBABILITIES = tuple(round(0.3 + 0.025 * n, 3) for n in range(28))
OFF_PROBABILITIES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
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


def fit_joint_track(heard: Sequence[HeardRecording], cough_free: Sequence[HeardRecording]) -> JointTrack:
    """Fit the weights with which activity and the surest clip tell a frame with a cough from one without.

    Logistic regression over frames; the middle of a frame lies in a cough or not. Weights below 0 are held at 0. Where
    the recordings hold no cough, or nothing else, activity and clip weigh the same.
    """
    from sklearn.linear_model import LogisticRegression

    values = [_track_values(recording) for recording in (*heard, *cough_free)]
    lengths = [len(of_frames) for of_frames in values]
    is_cough = np.concatenate([_cough_frames(*each) for each in zip((*heard, *cough_free), lengths, strict=True)])
    if len(set(is_cough.tolist())) < 2:
        return EQUAL_TRACK
    model = LogisticRegression().fit(np.concatenate(values), is_cough)
    activity, cough = np.maximum(model.coef_[0], 0).round(3).tolist()
    return JointTrack(activity, cough, round(float(model.intercept_[0]), 3))


def _track_values(recording: HeardRecording) -> np.ndarray:
    """Log odds of each frame's activity and of its surest clip, (n_frames, 2)."""
    return np.column_stack(
        [log_odds(_frames(recording, JointTrack(*weights, 0.0))) for weights in ((1.0, 0.0), (0.0, 1.0))]
    )


def _frames(recording: HeardRecording, rule: JointTrack) -> np.ndarray:
    track = ActivityTrack(rule, ACTIVITY_FRAME_STEP_S)
    cough = EVENT_LABELS.index(COUGH)
    return np.concatenate([*(track.push(window, window.events[cough]) for window in recording.windows), track.finish()])


def _cough_frames(recording: HeardRecording, n_frames: int) -> np.ndarray:
    """Whether the middle of each frame lies in a cough, (n_frames,) bool."""
    middles_s = (np.arange(n_frames) + 0.5) * ACTIVITY_FRAME_STEP_S
    return np.any([(start_s <= middles_s) & (middles_s < end_s) for start_s, end_s in [(0, 0), *recording.coughs]], 0)


def choose_counting(
    heard: Sequence[HeardRecording], cough_free: Sequence[HeardRecording], track: JointTrack
) -> tuple[dict[str, float], dict[str, Any]]:
    """Choose where a cough begins and ends on a joint track.

    Of all with at most `MAX_FALSE_PER_HOUR` coughs counted in `cough_free` sound, the highest F1 of coughs in `heard`
    recordings; of equals the highest ones. Where none counts so little, those that count least.

    Returns
    -------
    The two settings, and what they reach.
    """
    hours = sum(recording.duration_s for recording in cough_free) / 3600
    candidates = [
        dict(zip(HYSTERESIS, ends, strict=True))
        for ends in product(ON_PROBABILITIES, OFF_PROBABILITIES)
        if ends[1] <= ends[0]
    ]
    surest = [float(_frames(recording, track).max(initial=0.0)) for recording in cough_free]
    false_per_hour = []
    for chosen in candidates:  # of the recordings few can hold a cough at all, and finding events takes time
        countable = [recording for recording, p in zip(cough_free, surest, strict=True) if p >= chosen[HYSTERESIS[0]]]
        false_per_hour.append(score_coughs(countable, track, **chosen).n_false_positive / hours)
    limit = max(MAX_FALSE_PER_HOUR, min(false_per_hour))
    scored = [
        (score_coughs(heard, track, **chosen), false, chosen)
        for chosen, false in zip(candidates, false_per_hour, strict=True)
        if false <= limit
    ]
    best, false, chosen = max(scored, key=lambda of: (of[0].f1 or 0.0, *of[2].values()))
    return chosen, _reached(heard, best, cough_free, false)


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
    track = fit_joint_track(heard, cough_free)
    hysteresis, cough_events = choose_counting(heard, cough_free, track)
    screening = {**DEFAULT_SCREENING, "event_thresholds": thresholds, "joint_track": asdict(track), **hysteresis}
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
