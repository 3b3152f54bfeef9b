import numpy as np

from distill.corpus.cough_activity import STEP_SAMPLES, active_frames, place_activity, runs
from distill.corpus.labels import event_labels_of, is_cough_free, soft_event_targets
from distill.models.student import EVENT_LABELS, N_ACTIVITY_FRAMES

COUGH, SPEECH, LAUGH = (EVENT_LABELS.index(label) for label in ("cough", "speech", "laugh"))


def test_labels_of_the_packs_become_event_labels():
    assert event_labels_of(("sigh", "vocal_burst", "impact")) == {"breathing"}
    assert event_labels_of(("laugh", "speech")) == {"laugh", "speech"}


def test_a_named_label_is_certain_an_excluded_cough_is_zero_and_the_rest_is_the_teachers():
    scores = np.full(len(EVENT_LABELS), 0.25, dtype=np.float32)
    targets = soft_event_targets(("laugh", "vocal_burst"), scores)
    assert targets[LAUGH] == 1.0
    assert targets[COUGH] == 0.0
    assert targets[SPEECH] == 0.25


def test_without_labels_the_teacher_alone_speaks():
    scores = np.linspace(0, 0.7, len(EVENT_LABELS)).astype(np.float32)
    assert np.array_equal(soft_event_targets((), scores), scores)
    assert not is_cough_free(())


def test_a_recording_with_a_cough_in_it_is_not_cough_free():
    assert is_cough_free(("noise", "siren"))
    assert not is_cough_free(("cough", "speech"))


def burst_recording() -> np.ndarray:
    waveform = 1e-3 * np.random.default_rng(0).standard_normal(100 * STEP_SAMPLES)
    waveform[20 * STEP_SAMPLES : 27 * STEP_SAMPLES] *= 200
    return waveform.astype(np.float32)


def test_the_loud_burst_is_active_and_nothing_else():
    assert runs(active_frames(burst_recording())) == [(20, 27)]


def test_a_level_recording_has_no_known_activity():
    noise = np.random.default_rng(0).standard_normal(64_000).astype(np.float32)
    assert not active_frames(noise).any()
    assert len(active_frames(np.zeros(0, dtype=np.float32))) == 0


def test_activity_is_cut_to_the_clip_and_extended_by_zeros():
    active = np.zeros(60, dtype=bool)
    active[[0, 10, 59]] = True
    placed = place_activity(active, 10)
    assert len(placed) == N_ACTIVITY_FRAMES
    assert np.flatnonzero(placed).tolist() == [0, 49]
    assert np.flatnonzero(place_activity(active, -5)).tolist() == [5, 15]
