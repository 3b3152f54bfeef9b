"""The only place that compares models on recordings with coughs at known times: F1 of frames and of counted coughs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.interpreter import Interpreter
from distill.corpus.labels import ACTIVITY_FRAME_STEP_S
from distill.evaluation.composed_recordings import ComposedRecording
from quantize.bundle_parts import UNCHOSEN_SCREENING
from quantize.thresholds import Windows, score_hysteresis, windows_of

DECISION_PROBABILITY = 0.5
BASELINE = "float"


def compare_on_composed(models: Mapping[str, Interpreter], recordings: list[ComposedRecording]) -> dict[str, Any]:
    """Run each of the models, "float" and "int8" among them, over composed recordings.

    Returns
    -------
    dict
        ``n_recordings``, ``n_coughs``; ``frame_f1``: F1 of the activity frames at probability 0.5, per model;
        ``event_f1``: F1 of coughs found with the default thresholds, per model; each with int8's ``loss`` to float.
    """
    frames, events = {}, {}
    for name, model in models.items():
        heard = [(windows_of(model, its.waveform), its) for its in recordings]
        frames[name] = frame_f1(heard)
        events[name] = _event_f1(heard)
    return {
        "n_recordings": len(recordings),
        "n_coughs": sum(len(its.coughs) for its in recordings),
        "frame_f1": {**frames, "loss": frames[BASELINE] - frames["int8"]},
        "event_f1": {**events, "loss": events[BASELINE] - events["int8"]},
    }


def frame_f1(heard: list[tuple[Windows, ComposedRecording]]) -> float:
    """F1 of the frames of all windows, 0 where no cough is found; a frame is cough where its middle lies in one."""
    n_both = n_found = n_true = 0
    for windows, recording in heard:
        for window in windows:
            is_cough = _is_cough(window.start_s, len(window.activity), recording.coughs)
            is_found = np.asarray(window.activity) >= DECISION_PROBABILITY
            n_both += int((is_cough & is_found).sum())
            n_found, n_true = n_found + int(is_found.sum()), n_true + int(is_cough.sum())
    return 2 * n_both / (n_found + n_true) if n_both else 0.0


def _is_cough(start_s: float, n_frames: int, coughs: list[tuple[float, float]]) -> np.ndarray:
    middle_s = start_s + (np.arange(n_frames) + 0.5) * ACTIVITY_FRAME_STEP_S
    within = [(start <= middle_s) & (middle_s < end) for start, end in coughs]
    return np.any(within, axis=0) if within else np.zeros(n_frames, dtype=bool)


def _event_f1(heard: list[tuple[Windows, ComposedRecording]]) -> float:
    thresholds = UNCHOSEN_SCREENING["event_thresholds"]
    on, off = UNCHOSEN_SCREENING["cough_on_probability"], UNCHOSEN_SCREENING["cough_off_probability"]
    return score_hysteresis(heard, thresholds, on, off).f1 or 0.0
