"""Keeps composed clips with what the teachers hear in each, so that they are scored once and learnt from often."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.progress import track
from torch import from_numpy

from core.clips import CLIP_SAMPLES
from core.errors import DataError, OutputError, one_line
from core.files import sha256_of_file, write_atomically
from distill.corpus.labels import EVENT_LABELS, N_ACTIVITY_FRAMES
from distill.corpus.waveform_store import FULL_SCALE, WaveformStore, as_float
from distill.distillation.efficientat import EfficientAtTeacher, event_logits
from distill.distillation.event_teachers import EventTargets, EventTeacherSettings, event_targets
from distill.distillation.soundscapes import Batch, ComposedClip, Soundscapes
from distill.distillation.targets import balance
from distill.distillation.yamnet import YamnetTeacher
from distill.folders import locked
from distill.prefetch import prefetch

SCHEMA = "tussis.mixtures/2"
INDEX_FILE = "mixtures.json"
BATCH_SIZE = 64
YAMNET_STARTS = (0, 8_200, 16_400)  # three frames of 0.975 s cover 2 s
_INDEX_KEYS = {"store_sha256", "n_clips", "batch_size", "teachers", "block_sizes", "n_batches_done"}
_SMALLEST_SCORE = 1e-5
_N_EVENTS = len(EVENT_LABELS)
_ROWS_AT_A_TIME = 4_096
_NO_ROW = -1


class _Kept(NamedTuple):
    """What is kept of n clips, each in a file of its name; ``background_row`` is -1 without a background."""

    waveform: np.ndarray
    row: np.ndarray
    background_row: np.ndarray
    events: np.ndarray
    event_weights: np.ndarray
    activity: np.ndarray
    activity_weight: np.ndarray
    mn04_logits: np.ndarray
    yamnet_scores: np.ndarray
    heard: np.ndarray


class MixtureTeachers:
    """mn04_as and YAMNet, which hear a batch side by side on a thread each."""

    def __init__(self, mn04: Path, yamnet: Path) -> None:
        self.mn04, self.yamnet = EfficientAtTeacher(mn04), YamnetTeacher(yamnet)
        self.fingerprint = f"{self.mn04.fingerprint}+yamnet:{sha256_of_file(yamnet)}"
        self.block_sizes = (self.mn04.embedding_size, 521)
        self._pool = ThreadPoolExecutor(1)

    def hear(self, waveforms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Event logits of mn04_as, event scores of YAMNet, and embeddings, of clips (n, 32000), float32.

        An embedding is what mn04_as's last layer takes, then the mean logits of YAMNet's 521 classes.
        """
        classes = self._pool.submit(
            lambda: np.stack([self.yamnet.class_scores(waveform, YAMNET_STARTS) for waveform in waveforms])
        )
        logits, inner = self.mn04.run(from_numpy(waveforms))
        scores = np.clip(classes.result(), _SMALLEST_SCORE, 1 - _SMALLEST_SCORE)
        class_logits = np.log(scores / (1 - scores)).mean(axis=1)
        events = self.yamnet.event_scores(scores.max(axis=1))
        return event_logits(logits), events, np.concatenate([inner, class_logits], axis=1)


def save_mixtures(soundscapes: Soundscapes, teachers: MixtureTeachers, n_batches: int, folder: Path) -> None:
    """Compose `n_batches` batches and keep them, with what the teachers hear, in `folder`; goes on with what is there.

    Raises
    ------
    DataError : `folder` holds mixtures of other settings, recordings or teachers.
    OutputError : another process writes there, or nothing can be written.
    """
    size = soundscapes.batch_size
    index = {
        "schema": SCHEMA,
        "store_sha256": soundscapes.store.fingerprint(),
        "n_clips": n_batches * size,
        "batch_size": size,
        "seed": soundscapes.seed,
        "soundscapes": soundscapes.settings.model_dump(mode="json"),
        "teachers": teachers.fingerprint,
        "block_sizes": list(teachers.block_sizes),
    }
    with locked(folder):
        _fill(soundscapes, teachers, index, folder)


def _fill(soundscapes: Soundscapes, teachers: MixtureTeachers, index: dict[str, Any], folder: Path) -> None:
    size, done = index["batch_size"], _batches_done(folder, index)
    n_batches = index["n_clips"] // size
    kept = _open_arrays(folder, index, "r+" if done else "w+")
    with closing(prefetch(soundscapes.clips_at, done, n_batches)) as composed:
        for batch in track(range(done, n_batches), "mixtures"):
            clips = _heard(*next(composed), soundscapes, teachers)
            for array, values in zip(kept, clips, strict=True):
                array[batch * size : (batch + 1) * size] = values
            if (batch + 1) % 64 == 0 or batch + 1 == n_batches:
                for array in kept:
                    array.flush()
                write_atomically(folder / INDEX_FILE, json.dumps({**index, "n_batches_done": batch + 1}, indent=1))


def _heard(
    waveforms: np.ndarray, clips: list[ComposedClip], soundscapes: Soundscapes, teachers: MixtureTeachers
) -> _Kept:
    mn04_logits, yamnet_scores, heard = teachers.hear(waveforms)
    return _Kept(
        np.clip(np.rint(waveforms * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1),
        soundscapes.targets.row[[clip.crop for clip in clips]],
        [_NO_ROW if clip.background is None else soundscapes.targets.row[clip.background] for clip in clips],
        np.stack([clip.events for clip in clips]),
        np.stack([clip.event_weights for clip in clips]),
        np.stack([clip.activity for clip in clips]),
        np.array([clip.activity_weight for clip in clips]),
        mn04_logits,
        yamnet_scores,
        heard,
    )


def _open_arrays(folder: Path, index: dict[str, Any], mode: str) -> _Kept:
    n, n_heard = index["n_clips"], sum(index["block_sizes"])
    shapes = {
        "waveform": ((n, CLIP_SAMPLES), np.int16),
        "row": ((n,), np.int32),
        "background_row": ((n,), np.int32),
        "events": ((n, _N_EVENTS), np.float16),
        "event_weights": ((n, _N_EVENTS), np.float16),
        "activity": ((n, N_ACTIVITY_FRAMES), np.uint8),
        "activity_weight": ((n,), np.float16),
        "mn04_logits": ((n, _N_EVENTS), np.float16),
        "yamnet_scores": ((n, _N_EVENTS), np.float32),
        "heard": ((n, n_heard), np.float16),
    }
    return _Kept(*(_open_array(folder / f"{name}.npy", mode, *of) for name, of in shapes.items()))


def _open_array(path: Path, mode: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    try:
        array = np.lib.format.open_memmap(path, mode, dtype, shape)
    except OSError as error:
        raise OutputError(f"{path} cannot be opened: {error.strerror or error}.") from error
    except ValueError as error:
        raise DataError(f"{path} does not hold mixtures: {one_line(error)}") from error
    if array.shape != shape or array.dtype != dtype:
        raise DataError(f"{path} holds {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}: remove the folder")
    return array


def _batches_done(folder: Path, index: dict[str, Any]) -> int:
    path = folder / INDEX_FILE
    if not path.exists():
        return 0
    found = read_index(folder)
    if different := [key for key, value in index.items() if found.get(key) != value]:
        raise DataError(f"{path} was made with another {different[0]}: name another folder, or remove this one")
    return int(found["n_batches_done"])


def read_index(folder: Path) -> dict[str, Any]:
    """Read what a folder of mixtures says of itself; anything else raises `DataError`."""
    path = folder / INDEX_FILE
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} holds no mixtures: {error}") from error
    if not isinstance(index, dict) or index.get("schema") != SCHEMA or not index.keys() >= _INDEX_KEYS:
        raise DataError(f"{path} is not an index of mixtures ({SCHEMA})")
    return index


def is_mixtures(folder: Path) -> bool:
    """Whether a folder holds mixtures rather than the targets of crops."""
    return (folder / INDEX_FILE).exists()


class Mixtures:
    """Batches of the first `n_clips` kept clips, or of all, drawn at random: a pure function of the seed and the step.

    With `n_clips` a run begins, and goes on, while more are being made. Clips of recordings that `store` leaves out of
    training are not drawn.
    """

    def __init__(
        self,
        store: WaveformStore,
        folder: Path,
        settings: EventTeacherSettings,
        *,
        batch_size: int,
        seed: int,
        n_clips: int | None = None,
    ) -> None:
        index = read_index(folder)
        n_done, n_clips = index["n_batches_done"] * index["batch_size"], n_clips or index["n_clips"]
        if n_done < n_clips:
            raise DataError(f"{folder} holds {n_done} finished clips, not {n_clips}: run tussis-targets mixtures again")
        if index["store_sha256"] != store.fingerprint():
            raise DataError(f"{folder} was made for another store: name that one, or make the mixtures again")
        kept = _Kept(*(array[:n_clips] for array in _open_arrays(folder, index, "r")))
        self._places = np.flatnonzero(_is_of_training(store, kept.row) & _is_of_training(store, kept.background_row))
        if not len(self._places):
            raise DataError(f"{folder} holds no clip without the recordings that are left out")
        self._waveform = kept.waveform
        kept = kept._replace(waveform=np.zeros(0), **{n: getattr(kept, n)[self._places] for n in _Kept._fields[1:]})
        self.batch_size, self.seed, self.n_clips = batch_size, seed, len(self._places)
        unsettled = ("n_batches_done", "n_clips")
        described = {name: value for name, value in index.items() if name not in unsettled}
        self.made_from = {"teacher": index["teachers"], "mixtures": {**described, "n_clips": n_clips}}
        self._activity, self._activity_weight = np.array(kept.activity), np.array(kept.activity_weight, np.float32)
        self._embedding = balance(kept.heard.astype(np.float32), index["block_sizes"]).astype(np.float16)
        parts = [event_targets(*of_rows, settings) for of_rows in _labels(store, kept)]
        self.events = np.concatenate([part.events for part in parts])
        self.weights = np.concatenate([part.weights for part in parts])

    @property
    def embedding_size(self) -> int:
        """Values of a clip's embedding target."""
        return self._embedding.shape[1]

    def batch_at(self, step: int) -> Batch:
        """Draw the batch of a step, each clip turned by some of its 40-ms frames."""
        rng = np.random.default_rng((self.seed, step))
        chosen = np.sort(rng.integers(self.n_clips, size=self.batch_size))
        turns = rng.integers(N_ACTIVITY_FRAMES, size=self.batch_size)
        arrays = (
            _turned(as_float(self._waveform[self._places[chosen]]), turns),
            self.events[chosen],
            self.weights[chosen],
            _turned(self._activity[chosen].astype(np.float32), turns),
            self._activity_weight[chosen],
            self._embedding[chosen].astype(np.float32),
            np.ones(len(chosen), dtype=np.float32),
        )
        return Batch(*(from_numpy(array) for array in arrays))


def _is_of_training(store: WaveformStore, rows: np.ndarray) -> np.ndarray:
    """Whether each row is a training recording, or none."""
    return (rows == _NO_ROW) | np.isin(rows, store.indices("train"))


def _turned(values: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Turn each row of (n, 50 * m) by as many of its 50 frames."""
    step = values.shape[1] // N_ACTIVITY_FRAMES
    return np.stack([np.roll(row, turn * step) for row, turn in zip(values, frames, strict=True)])


def _labels(store: WaveformStore, kept: _Kept) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(kept.row), _ROWS_AT_A_TIME):
        part = slice(start, start + _ROWS_AT_A_TIME)
        composed = EventTargets(kept.events[part].astype(np.float32), kept.event_weights[part].astype(np.float32))
        rows = [store.rows[row] for row in kept.row[part]]
        yield rows, composed, kept.yamnet_scores[part], kept.mn04_logits[part].astype(np.float32)
