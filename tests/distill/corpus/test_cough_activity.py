import numpy as np

from distill.corpus.cough_activity import STEP_SAMPLES, active_frames, place_activity, runs
from distill.corpus.labels import N_ACTIVITY_FRAMES


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
