"""The trial of the near-duplicate threshold: which pairs are compared, and what counts as the same sound."""

import json

import numpy as np
import pytest

from core.errors import DataError
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.mining.duplicate_trial import (
    Embedder,
    TrialClip,
    as_table,
    copies_of,
    cosines_of_others,
    nearest_others,
    run_trial,
    same_sound,
    trial_clips,
)


def row_of(number, subject="a", labels=("cough",), source=None):
    source = source or f"pack:{number}"
    return ManifestRow(f"pack/{number}.wav", "pack", source, subject, 3.0, labels, 1, "CC0", "train", bool(labels))


def noise(seed, n=48_000, level=2000):
    return np.rint(level * np.random.default_rng(seed).standard_normal(n).clip(-4, 4)).astype(np.int16)


def clip_of(number, embedding, samples=None, **row):
    samples = noise(number, 32_000) if samples is None else samples
    return TrialClip(number, row_of(number, **row), 0, samples, np.array(embedding, float))


def test_the_same_sound_is_known_at_another_level_and_place_and_other_noise_is_not():
    sound = noise(0)
    assert same_sound(sound[:32_000], sound[5_000:37_000] // 3)
    assert not same_sound(sound[:32_000], noise(1, 32_000))


def test_copies_are_2_s_of_the_recording_and_the_louder_one_only_where_nothing_clips():
    waveform = noise(0, 96_000)
    clip = TrialClip(0, row_of(0), 32_000, waveform[32_000:64_000], np.zeros(512))
    copies = list(copies_of(clip, waveform))
    kinds = [kind for kind, _ in copies]
    assert all(samples.dtype == np.int16 and samples.shape == (32_000,) for _, samples in copies)
    assert kinds.count("shift 50 ms") == 2 and kinds.count("gain +6 dB") == 1 and kinds.count("opus 0.9") == 1
    shifted = [samples for kind, samples in copies if kind == "shift 50 ms"]
    assert np.array_equal(shifted[0][800:], clip.samples[:-800])
    loud = TrialClip(0, row_of(0), 32_000, np.full(32_000, 20_000, np.int16), np.zeros(512))
    assert "gain +6 dB" not in [kind for kind, _ in copies_of(loud, waveform)]


def test_pairs_are_of_one_class_and_a_recording_that_is_there_twice_is_no_other_one():
    twice = noise(9, 32_000)
    clips = [
        clip_of(0, [1, 0], twice, subject="a"),
        clip_of(1, [1, 0], twice // 2, subject="b"),
        clip_of(2, [0, 1], subject="a"),
        clip_of(3, [0.6, 0.8], subject="b", labels=("speech",)),
        clip_of(4, [1, 0], subject="c", labels=(), source="pack:0"),
    ]
    units = np.array([clip.embedding for clip in clips])
    others = cosines_of_others(clips, units)
    assert others["same subject and class"].tolist() == [0.0]
    assert others["same class, another subject"].tolist() == [0.0]
    assert nearest_others(clips, units).tolist() == pytest.approx([0.6, 1.0, 0.8, 0.8, 1.0])


def test_the_trial_takes_what_the_model_hears_as_a_health_sound(tmp_path, default_bundle):
    waveforms = [noise(number, level=level) for number, level in enumerate((0, 300, 2000, 2000))]
    rows = [row_of(number) for number in range(4)]
    offsets = np.concatenate([[0], np.cumsum([len(waveform) for waveform in waveforms])])
    store = WaveformStore(rows, np.concatenate(waveforms), offsets)
    result = run_trial(store, default_bundle, 2, 0.0, 0)
    assert (result["clips"], result["clips_copied"]) == (4, 2)
    assert {name: shares["pairs"] for name, shares in result["others"].items()} == {
        "same subject and class": 6,
        "nearest other recording": 4,
    }
    assert [result["copies"][kind]["pairs"] for kind in ("mp3 0.5", "crop 1.5 s")] == [2, 2]
    assert all(0 <= share <= 1 for shares in result["copies"].values() for share in shares["above"])
    assert len(as_table(json.loads(json.dumps(result))).splitlines()) == 2 + len(result["copies"]) + 2


def test_too_few_recordings_are_refused(energy_interpreter, default_bundle):
    store = WaveformStore([row_of(0)], noise(0), np.array([0, 48_000]))
    with pytest.raises(DataError, match="expected at least 3"):
        trial_clips(store, Embedder(default_bundle, energy_interpreter), 0.3)
