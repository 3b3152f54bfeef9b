import numpy as np
import pytest

from core.errors import DataError
from distill.corpus.waveform_store import WaveformStore
from distill.evaluation.composed_recordings import DURATION_S, MIN_GAP_S, compose_recordings
from quantize.validation import ValidationClips, read_validation_clips


def test_recordings_are_scored_by_their_best_clip():
    validation = ValidationClips(np.zeros((5, 1)), np.array([0, 0, 1, 2, 2]), [("cough",)] * 3)
    np.testing.assert_array_equal(validation.per_recording(np.array([1, 5, 2, 4, 3])), [5, 2, 4])


def test_a_pack_that_does_not_exclude_a_cough_is_no_negative():
    holds, known = ValidationClips(np.zeros((3, 1)), np.arange(3), [("cough",), ("noise",), ("vomit",)]).truth("cough")
    assert holds.tolist() == [True, False, False] and known.tolist() == [True, True, False]


def test_composed_recordings_are_repeatable_with_coughs_apart_and_inside(world):
    store = WaveformStore.open(world.store)
    composed = compose_recordings(store, 8)
    assert sum(len(recording.coughs) for recording in composed) >= 5
    for recording, again in zip(composed, compose_recordings(store, 8), strict=True):
        np.testing.assert_array_equal(recording.waveform, again.waveform)
        assert recording.waveform.shape == (160000,) and 0 < np.abs(recording.waveform).max() <= 1
        edges = [edge for span in recording.coughs for edge in span]
        assert edges == sorted(edges) and all(0 <= edge <= DURATION_S for edge in edges)
        assert all(b[0] - a[1] > MIN_GAP_S for a, b in zip(recording.coughs, recording.coughs[1:], strict=False))
        assert all(0.08 <= end - start <= 0.6 for start, end in recording.coughs)


def test_nothing_is_composed_without_coughs(world, rows, tmp_path):
    noises = [row for row in rows if "cough" not in row.labels]
    store = WaveformStore.build(noises, world.data, tmp_path / "store")
    with pytest.raises(DataError, match="no clear single cough"):
        compose_recordings(store, 1)


def test_validation_clips_come_from_labelled_validation_recordings_only(world):
    validation = read_validation_clips(WaveformStore.open(world.store))
    assert len(validation.labels) == 16
    assert validation.clips.shape == (8 * 4 + 8, 32000)  # four clips of each 6 s, one of each 2 s
    assert validation.measurable_events() == ["cough"]
