import numpy as np

from distill.corpus.labels import EVENT_LABELS, event_labels_of, is_cough_free, soft_event_targets

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
