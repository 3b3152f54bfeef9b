import numpy as np

from distill.corpus.waveform_store import WaveformStore
from quantize.validation import ValidationClips, read_validation_clips


def test_recordings_are_scored_by_their_best_clip():
    validation = ValidationClips(np.zeros((5, 1)), np.array([0, 0, 1, 2, 2]), [("cough",)] * 3)
    np.testing.assert_array_equal(validation.per_recording(np.array([1, 5, 2, 4, 3])), [5, 2, 4])


def test_a_pack_that_does_not_exclude_a_cough_is_no_negative():
    holds, known = ValidationClips(np.zeros((3, 1)), np.arange(3), [("cough",), ("noise",), ("vomit",)]).truth("cough")
    assert holds.tolist() == [True, False, False] and known.tolist() == [True, True, False]


def test_validation_clips_come_from_labelled_validation_recordings_only(world):
    validation = read_validation_clips(WaveformStore.open(world.store))
    assert len(validation.labels) == 16
    assert validation.clips.shape == (8 * 4 + 8, 32000)  # four clips of each 6 s, one of each 2 s
    assert validation.measurable_events() == ["cough"]
