"""Embeds sound that a probe was not fitted on, so that its distance from the training embeddings can be measured."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from core.audio import SAMPLE_RATE_HZ, read_waveform, write_wav
from core.errors import DataError
from core.interpreter import EMBEDDING_SIZE
from core.probes import ClipSelection
from distill.corpus.tables import read_table
from distill.probes.cohort import WHOLE_RECORDING, Cohort
from distill.probes.domain_fit import MIN_UNLIKE, OtherSound
from distill.probes.embed import EmbeddedRecording, EmbeddingModel, embed_recording, pool_clips
from distill.probes.embedding_cache import EmbeddingCache

ASKED_FOR = ("music", "speech", "another microphone")
SIMULATED = "a telephone's band (simulated)"
TELEPHONE_BAND_HZ = (300.0, 3400.0)
MAX_RECORDINGS, MAX_SIMULATED = 200, 50
SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a"})

Array = NDArray[np.float64]
T = TypeVar("T")


def read_unlike(given: Sequence[str]) -> dict[str, list[Path]]:
    """The recordings of each ``NAME=PATH``, where PATH is a folder of sounds or a table with the column path.

    At most `MAX_RECORDINGS`, spread over what is there. DataError where there are none.
    """
    found = {}
    for each in given:
        name, is_given, text = each.partition("=")
        path = Path(text).expanduser()
        if not (is_given and name.strip() and text):
            raise DataError(f"--unlike is {each!r}; expected NAME=FOLDER or NAME=TABLE")
        if path.is_dir():
            recordings = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        else:
            recordings = [path.parent / row.relative_path("path") for row in read_table(path, ("path",))]
        if not recordings:
            raise DataError(f"{path} has no recordings of {name.strip()!r}")
        found[name.strip()] = _spread(recordings, MAX_RECORDINGS)
    return found


def embed_unlike(
    recordings: Mapping[str, Sequence[Path]],
    cohort: Cohort,
    selection: ClipSelection,
    model: EmbeddingModel,
    cache: Path | None = None,
) -> dict[str, OtherSound | None]:
    """Each kind of other sound, those recordings that core would score; None where none was given.

    Beside what is given, some of the cohort's own recordings are heard through a telephone's band.
    """
    kept = EmbeddingCache(cache, model)
    given = {
        name: _other_sound([kept.embed(path) for path in paths], selection, model) for name, paths in recordings.items()
    }
    return {**dict.fromkeys(ASKED_FOR), **given, SIMULATED: _through_telephone(cohort, selection, model)}


def _other_sound(embedded: Sequence[EmbeddedRecording], selection: ClipSelection, model: EmbeddingModel) -> OtherSound:
    chosen = [pool_clips(each, selection, model.event_labels) for each in embedded]
    n_selected = sum(each is not None for each in chosen)
    if n_selected < MIN_UNLIKE:
        chosen = [pool_clips(each, WHOLE_RECORDING, model.event_labels) for each in embedded]
    return OtherSound(_stacked(chosen), n_selected)


def _through_telephone(cohort: Cohort, selection: ClipSelection, model: EmbeddingModel) -> OtherSound | None:
    """Some of a cohort's recordings through a telephone; None where the cohort does not know its recordings."""
    pooled, subjects = [], []
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "telephone.wav"
        for i in _spread(range(len(cohort.paths)), MAX_SIMULATED):
            write_wav(made, through_telephone(read_waveform(cohort.paths[i])))
            embedding = pool_clips(embed_recording(made, model), selection, model.event_labels)
            if embedding is not None:
                pooled.append(embedding)
                subjects.append(cohort.subjects[i])
    return OtherSound(_stacked(pooled), len(pooled), subjects) if cohort.paths else None


def _stacked(pooled: Sequence[Array | None]) -> Array:
    return np.array([each for each in pooled if each is not None]).reshape(-1, EMBEDDING_SIZE)


def through_telephone(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """A waveform (n,) at 16 kHz in the band that a telephone passes."""
    from scipy.signal import butter, sosfilt

    sections = butter(4, TELEPHONE_BAND_HZ, btype="bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    return sosfilt(sections, waveform).astype(np.float32)


def _spread(items: Sequence[T], at_most: int) -> list[T]:
    """At most so many of some items, evenly over all of them."""
    n = min(at_most, len(items))
    return [items[i * len(items) // n] for i in range(n)]
