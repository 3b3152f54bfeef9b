"""Composed recordings: repeatable, with coughs apart and inside, and refused where there is nothing to compose."""

import numpy as np
import pytest

from core.errors import DataError
from distill.corpus.cough_activity import STEP_SAMPLES
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.evaluation.composed_recordings import (
    DURATION_S,
    MIN_GAP_S,
    compose_cough_free,
    compose_recordings,
)


def store_of(*labels: str) -> WaveformStore:
    """Validation recordings of 3 s: faint noise with two bursts of 280 ms where the label is cough, else noise."""
    rng = np.random.default_rng(0)
    rows, samples = [], []
    for number, label in enumerate(labels):
        facts = (f"pack/{number}.wav", "pack", f"s{number}", f"s{number}", 3.0)
        rows.append(ManifestRow(*facts, (label,), 5, "CC0", "validation", True))
        waveform = (30 if label == "cough" else 900) * rng.standard_normal(48_000)
        if label == "cough":
            for start in (16_000, 32_000):
                waveform[start : start + 7 * STEP_SAMPLES] *= 150
        samples.append(waveform.clip(-32768, 32767).astype(np.int16))
    offsets = np.concatenate([[0], np.cumsum([len(recording) for recording in samples])])
    return WaveformStore(rows, np.concatenate(samples), offsets)


def test_composed_recordings_are_repeatable_with_coughs_apart_and_inside():
    store = store_of("cough", "noise", "cough", "speech")
    composed = compose_recordings(store, 8)
    assert sum(len(recording.coughs) for recording in composed) >= 5
    for recording, again in zip(composed, compose_recordings(store, 8), strict=True):
        np.testing.assert_array_equal(recording.waveform, again.waveform)
        assert recording.waveform.shape == (160000,) and 0 < np.abs(recording.waveform).max() <= 1
        edges = [edge for span in recording.coughs for edge in span]
        assert edges == sorted(edges) and all(0 <= edge <= DURATION_S for edge in edges)
        assert all(b[0] - a[1] > MIN_GAP_S for a, b in zip(recording.coughs, recording.coughs[1:], strict=False))
        assert all(0.08 <= end - start <= 0.6 for start, end in recording.coughs)


@pytest.mark.parametrize("labels", [("noise", "speech"), ("cough",)])
def test_nothing_is_composed_without_coughs_or_without_a_background(labels):
    with pytest.raises(DataError, match="no clear single cough, or none that is free of coughs"):
        compose_recordings(store_of(*labels), 1)


def test_sound_without_a_cough_is_repeatable_and_holds_none_of_the_coughs():
    store = store_of("cough", "noise", "speech")
    first, again = (list(compose_cough_free(store, hours=0.05, seed=2)) for _ in range(2))
    assert len(first) == 9 and all(recording.coughs == [] for recording in first)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.waveform, other.waveform)
        assert one.waveform.shape == (320_000,) and 0.03 <= np.abs(one.waveform).max() <= 1
    other_seed = next(compose_cough_free(store, hours=0.05, seed=3))
    assert not np.array_equal(first[0].waveform, other_seed.waveform)
    silent_but_for_coughs = WaveformStore(store.rows[:1] + store.rows[1:2], store._samples, store._offsets[:3])
    silent_but_for_coughs._samples[48_000:] = 1
    (recording,) = compose_cough_free(silent_but_for_coughs, hours=1 / 180, seed=0)
    assert np.abs(recording.waveform).max() < 0.03  # a sound this faint is not brought to the level of the others


def test_without_cough_free_sound_there_are_no_hours_of_it():
    with pytest.raises(DataError, match="no validation recording is labelled as free of coughs"):
        next(compose_cough_free(store_of("cough"), hours=0.1))
