"""Composed recordings: repeatable, with coughs apart and inside, and refused where there is nothing to compose."""

import numpy as np
import pytest

from core.errors import DataError
from distill.corpus.cough_activity import STEP_SAMPLES
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.evaluation.composed_recordings import DURATION_S, MIN_GAP_S, compose_recordings


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
