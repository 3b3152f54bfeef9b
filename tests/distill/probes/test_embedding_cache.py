"""Embeddings on disk: taken where file, model and hop are the same, made anew where the file is damaged."""

from dataclasses import replace

import numpy as np
import pytest

from distill.probes import embedding_cache
from distill.probes.embedding_cache import EmbeddingCache


@pytest.fixture
def calls(monkeypatch):
    """The paths that were embedded and not taken from the cache."""
    made, embed = [], embedding_cache.embed_recording
    monkeypatch.setattr(embedding_cache, "embed_recording", lambda path, model: made.append(path) or embed(path, model))
    return made


def kept_files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_same_file_is_embedded_once_under_any_name(tmp_path, stand_in, write_recording, calls):
    path = write_recording(tmp_path / "a.wav", 1)
    (tmp_path / "b.wav").write_bytes(path.read_bytes())
    first = EmbeddingCache(tmp_path / "cache", stand_in).embed(path)
    second = EmbeddingCache(tmp_path / "cache", stand_in).embed(tmp_path / "b.wav")
    assert calls == [path] and first.sha256 == second.sha256
    np.testing.assert_array_equal(first.embeddings, second.embeddings)
    np.testing.assert_array_equal(first.event_probabilities, second.event_probabilities)
    assert [file.suffix for file in kept_files(tmp_path / "cache")] == [".npz"]


def test_another_model_or_hop_or_sound_is_embedded_anew(tmp_path, stand_in, write_recording, calls):
    path = write_recording(tmp_path / "a.wav", 1)
    for model in (stand_in, replace(stand_in, sha256="1" * 64), replace(stand_in, hop_s=0.5)):
        EmbeddingCache(tmp_path / "cache", model).embed(path)
    write_recording(path, 2)
    EmbeddingCache(tmp_path / "cache", stand_in).embed(path)
    assert len(calls) == len(kept_files(tmp_path / "cache")) == 4


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", None])
def test_a_damaged_file_is_made_anew(tmp_path, stand_in, write_recording, calls, content):
    path, cache = write_recording(tmp_path / "a.wav", 1), EmbeddingCache(tmp_path / "cache", stand_in)
    whole = cache.embed(path)
    (file,) = kept_files(tmp_path / "cache")
    file.write_bytes(file.read_bytes()[:-200] if content is None else content)
    again = cache.embed(path)
    assert len(calls) == 2 and cache.embed(path).sha256 == whole.sha256 and len(calls) == 2
    np.testing.assert_array_equal(again.embeddings, whole.embeddings)


def test_where_nothing_can_be_kept_the_work_goes_on(tmp_path, stand_in, write_recording, calls, capsys):
    path = write_recording(tmp_path / "a.wav", 1)
    (tmp_path / "cache").write_text("a file, not a folder")
    cache = EmbeddingCache(tmp_path / "cache", stand_in)
    assert len(cache.embed(path).embeddings) == len(cache.embed(path).embeddings) > 0
    assert len(calls) == 2 and capsys.readouterr().err.count("Embeddings are not kept.") == 1
