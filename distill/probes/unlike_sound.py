"""Embeds sound that a probe was not fitted on, so that its distance from the training embeddings can be measured."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.audio import SAMPLE_RATE_HZ, read_waveform, write_wav
from core.errors import DataError
from core.probes import ClipSelection
from distill.corpus.tables import read_table
from distill.probes.cohort import Cohort
from distill.probes.embed import EmbeddingModel, pool_clips
from distill.probes.embedding_cache import EmbeddingCache

ASKED_FOR = ("music", "speech", "another microphone")
SIMULATED = "a telephone's band (simulated)"
TELEPHONE_BAND_HZ = (300.0, 3400.0)
MAX_RECORDINGS, MAX_SIMULATED = 200, 50
SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a"})

Array = NDArray[np.float64]


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
) -> dict[str, Array | None]:
    """Pooled embeddings (m, 512) of each kind of other sound, those that core would score; None where none was given.

    Beside what is given, some of the cohort's own recordings are heard through a telephone's band.
    """
    kept = EmbeddingCache(cache, model)

    def pooled(paths: Sequence[Path], embed: EmbeddingCache) -> Array:
        embeddings = (pool_clips(embed.embed(path), selection, model.event_labels) for path in paths)
        return np.array([each for each in embeddings if each is not None])

    unlike: dict[str, Array | None] = dict.fromkeys(ASKED_FOR)
    unlike |= {name: pooled(paths, kept) for name, paths in recordings.items()}
    with tempfile.TemporaryDirectory() as folder:
        made = [Path(folder) / f"{i}.wav" for i in range(min(MAX_SIMULATED, len(cohort.paths)))]
        for source, target in zip(_spread(cohort.paths, MAX_SIMULATED), made, strict=True):
            write_wav(target, through_telephone(read_waveform(source)))
        unlike[SIMULATED] = pooled(made, EmbeddingCache(None, model))
    return unlike


def through_telephone(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """A waveform (n,) at 16 kHz in the band that a telephone passes."""
    from scipy.signal import butter, sosfilt

    sections = butter(4, TELEPHONE_BAND_HZ, btype="bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    return sosfilt(sections, waveform).astype(np.float32)


def _spread(paths: Sequence[Path], at_most: int) -> list[Path]:
    """At most so many of some paths, evenly over all of them."""
    places = np.unique(np.linspace(0, len(paths) - 1, min(at_most, len(paths))).astype(int)) if paths else []
    return [paths[i] for i in places]
