"""Near-duplicates: the same samples, the same sound at another level, and what is unlike."""

import numpy as np

from distill.mining.pack import NearDuplicates


def embeddings(n, seed=0):
    """Unlike sounds as a model embeds them: far from zero in one direction, so that all cosines are near 1."""
    return 10 + np.random.default_rng(seed).normal(size=(n, 512))


def filled(vectors, n_compared=100):
    duplicates = NearDuplicates(0.99, n_compared)
    for number, vector in enumerate(vectors):
        duplicates.keep(f"{number:064d}", vector)
    return duplicates


def test_the_same_samples_are_a_duplicate_however_long_ago():
    duplicates = filled(embeddings(50), n_compared=4)
    assert duplicates.has(f"{0:064d}", embeddings(1, seed=9)[0])
    assert not duplicates.has("f" * 64, embeddings(1, seed=9)[0])


def test_unlike_sounds_are_told_apart_although_their_raw_cosines_are_above_the_threshold():
    kept, other = embeddings(20), embeddings(1, seed=9)[0]
    raw = kept @ other / np.linalg.norm(kept, axis=1) / np.linalg.norm(other)
    assert raw.min() > 0.985
    duplicates = filled(kept)
    assert not duplicates.has("f" * 64, other)
    assert duplicates.has("f" * 64, kept[7] + 0.1 * np.random.default_rng(1).normal(size=512))
    assert not duplicates.has("f" * 64, kept[7] + 0.3 * np.random.default_rng(1).normal(size=512))


def test_only_the_newest_embeddings_are_compared():
    kept = embeddings(20)
    duplicates = filled(kept, n_compared=4)
    assert [duplicates.has("f" * 64, vector) for vector in kept] == [False] * 16 + [True] * 4


def test_the_centre_is_the_mean_of_all_kept_clips():
    kept, other = embeddings(20), embeddings(1, seed=9)[0]
    centred, own = kept - kept.mean(axis=0), other - kept.mean(axis=0)
    greatest = (centred @ own / np.linalg.norm(centred, axis=1) / np.linalg.norm(own)).max()
    for cosine, expected in ((greatest - 1e-3, True), (greatest + 1e-3, False)):
        duplicates = NearDuplicates(cosine, 100)
        for number, vector in enumerate(kept):
            duplicates.keep(f"{number:064d}", vector)
        assert duplicates.has("f" * 64, other) is expected


def test_the_first_clips_are_never_near_duplicates_because_there_is_no_centre_yet():
    one, two = embeddings(2)
    duplicates = filled([])
    assert not duplicates.has("a" * 64, one)
    duplicates.keep("a" * 64, one)
    assert not duplicates.has("b" * 64, one)
    duplicates.keep("b" * 64, two)
    assert duplicates.has("c" * 64, one)
