import json

import numpy as np
import pytest

from core.interpreter import ModelOutputs
from distill.corpus.labels import EVENT_LABELS
from distill.evaluation.composed_recordings import DURATION_S, ComposedRecording
from quantize.thresholds import choose_counting, choose_event_thresholds, fit_joint_track
from quantize.validation import EQUAL_TRACK, ValidationClips, hear, score_coughs

ALTERNATING = np.tile(np.float32([1, -1]), 2400)  # 0.3 s of the highest frequency: the high-pass lets it through


class LevelInterpreter:
    """Hears a cough in every frame of 40 ms that is loud, and in a clip that has one."""

    def run(self, waveform: np.ndarray) -> ModelOutputs:
        loud = np.square(waveform.reshape(50, 640)).mean(axis=1) > 1e-4
        events = np.full(len(EVENT_LABELS), -9.0)
        events[0] = 9.0 if loud.any() else -9.0
        return ModelOutputs(np.zeros(512), events, np.where(loud, 9.0, -9.0))


def bursts(*starts_s: float) -> ComposedRecording:
    waveform = np.zeros(160000, dtype=np.float32)
    for start_s in starts_s:
        waveform[round(16000 * start_s) :][:4800] = 0.5 * ALTERNATING
    return ComposedRecording(waveform, [(start_s, start_s + 0.3) for start_s in starts_s])


def recordings(n_coughs: int, n_noises: int) -> ValidationClips:
    labels = [("cough",)] * n_coughs + [("noise",)] * n_noises
    return ValidationClips(np.zeros((len(labels), 1)), np.arange(len(labels)), labels)


def probabilities(coughs: list[float], noises: list[float]) -> np.ndarray:
    table = np.full((len(coughs) + len(noises), len(EVENT_LABELS)), 0.01)
    table[:, 0] = coughs + noises
    return table


def test_the_threshold_lies_in_the_middle_of_the_gap_between_the_classes():
    chosen = choose_event_thresholds(probabilities([0.8] * 10, [0.2] * 10), recordings(10, 10))["cough"]
    assert chosen["threshold"] == pytest.approx(0.505, abs=0.011)
    assert (chosen["sensitivity"], chosen["specificity"], chosen["f1"]) == (1.0, 1.0, 1.0)


def test_specificity_of_95_percent_comes_before_f1():
    coughs, noises = [0.9] * 5 + [0.3] * 5, [0.4] * 2 + [0.1] * 18
    chosen = choose_event_thresholds(probabilities(coughs, noises), recordings(10, 20))["cough"]
    assert 0.4 < chosen["threshold"] <= 0.9
    assert chosen["specificity"] == 1.0 and chosen["sensitivity"] == 0.5


def test_a_label_without_validation_recordings_gets_one_half_and_says_so():
    chosen = choose_event_thresholds(probabilities([0.8] * 10, [0.2] * 10), recordings(10, 10))
    assert chosen["snore"] == {"threshold": 0.5, "reason": "too few validation recordings with this label"}


def test_a_perfect_activity_track_finds_every_cough_once():
    heard = [hear(LevelInterpreter(), recording) for recording in (bursts(1, 2.5, 7.2), bursts(), bursts(4))]
    score = score_coughs(heard)
    assert (score.n_reference, score.n_true_positive, score.n_false_positive) == (4, 4, 0)
    assert score.duration_s == 3 * DURATION_S


def quiet_minute() -> ComposedRecording:
    return ComposedRecording(np.zeros(960_000, dtype=np.float32), [])


def test_the_chosen_hysteresis_keeps_a_murmur_out_of_the_coughs():
    class MurmurInterpreter(LevelInterpreter):
        def run(self, waveform: np.ndarray) -> ModelOutputs:
            outputs = super().run(waveform)
            activity = np.where(outputs.activity_logits > 0, 1.0, -0.3)
            return ModelOutputs(outputs.embedding, np.full(len(EVENT_LABELS), 1.0), activity)

    heard = [hear(MurmurInterpreter(), recording) for recording in (bursts(1, 2.5, 7.2), bursts(4))]
    chosen, reached = choose_counting(heard, [hear(LevelInterpreter(), quiet_minute())], EQUAL_TRACK)
    assert chosen == {"cough_on_probability": 0.725, "cough_off_probability": 0.7}  # between log odds of 0.35 and of 1
    assert reached["f1"] == 1.0 and reached["n_coughs"] == 4
    assert reached["cough_free_hours"] == 0.017 and reached["cough_free_false_per_hour"] == 0


def test_a_clip_that_holds_no_cough_keeps_its_activity_from_counting():
    class UnsureInterpreter(LevelInterpreter):
        def run(self, waveform: np.ndarray) -> ModelOutputs:
            outputs = super().run(waveform)
            return ModelOutputs(outputs.embedding, np.full(len(EVENT_LABELS), -9.0), outputs.activity_logits)

    heard = [hear(LevelInterpreter(), recording) for recording in (bursts(1, 2.5), bursts(4))]
    chosen, reached = choose_counting(heard, [hear(UnsureInterpreter(), bursts(1, 2, 3))], EQUAL_TRACK)
    assert reached["cough_free_false_per_hour"] == 0 and reached["f1"] == 1.0
    assert chosen["cough_on_probability"] > 0.5  # log odds of 9 and of -9 make one half


def test_false_coughs_in_sound_without_a_cough_come_before_f1():
    """Throats sound like coughs but for an activity of 0.75; one of the coughs is as faint."""

    class ThroatInterpreter(LevelInterpreter):
        def run(self, waveform: np.ndarray) -> ModelOutputs:
            outputs = super().run(waveform)
            is_faint = np.abs(waveform).max() < 0.4
            faintness = 0.12 if is_faint else 1
            return ModelOutputs(
                outputs.embedding, outputs.event_logits * faintness, outputs.activity_logits * faintness
            )

    faint, throats = bursts(6), quiet_minute()
    throats.waveform[16_000:20_800] = 0.2 * ALTERNATING
    faint.waveform[:] *= 0.4
    heard = [hear(ThroatInterpreter(), recording) for recording in (bursts(1, 3), faint)]
    strict, reached = choose_counting(heard, [hear(ThroatInterpreter(), throats)], EQUAL_TRACK)
    assert reached["cough_free_false_per_hour"] == 0 and reached["sensitivity"] == pytest.approx(2 / 3)
    assert strict["cough_on_probability"] >= 0.75
    loose, reached = choose_counting(heard, [hear(ThroatInterpreter(), quiet_minute())], EQUAL_TRACK)
    assert reached["f1"] == 1.0 and loose["cough_on_probability"] == 0.725


def test_a_joint_track_weighs_what_tells_frames_with_a_cough():
    """Activity tells them exactly; every clip is as sure, with a cough in it or without."""

    class SureInterpreter(LevelInterpreter):
        def run(self, waveform: np.ndarray) -> ModelOutputs:
            outputs = super().run(waveform)
            return ModelOutputs(outputs.embedding, np.full(len(EVENT_LABELS), 2.0), outputs.activity_logits)

    heard = [hear(SureInterpreter(), recording) for recording in (bursts(1, 2.5, 7.2), bursts(4))]
    track = fit_joint_track(heard, [hear(SureInterpreter(), quiet_minute())])
    assert track.activity > 0.3 and track.cough < 0.1
    score = score_coughs(heard, track)
    assert (score.n_true_positive, score.n_false_positive) == (4, 0)


def test_without_coughs_the_two_weigh_the_same():
    assert fit_joint_track([hear(LevelInterpreter(), bursts())], []) == EQUAL_TRACK


@pytest.mark.long
def test_the_file_names_its_model_and_counts_what_people_labelled(made):
    chosen = json.loads(made.thresholds.read_text(encoding="utf-8"))
    assert set(chosen["screening"]["event_thresholds"]) == set(EVENT_LABELS)
    assert chosen["screening"]["cough_off_probability"] <= chosen["screening"]["cough_on_probability"]
    assert chosen["n_training_recordings"]["cough"] == 8
    assert chosen["n_training_recordings"]["snore"] == 0
    assert len(chosen["model_sha256"]) == 64
