"""Cuts a corpus into crops, computes the teachers' targets for each and keeps them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from core.clips import CLIP_SAMPLES
from core.errors import DataError, OutputError
from core.files import check_replaceable, make_folder
from distill.corpus.arrays import read_npz
from distill.corpus.labels import EVENT_LABELS
from distill.corpus.waveform_store import WaveformStore, as_float
from distill.distillation.efficientat import EfficientAtTeacher, event_logits
from distill.distillation.event_teachers import EventTeacherSettings, blended
from distill.distillation.teachers import Teacher, load_teacher
from distill.distillation.yamnet import YamnetTeacher
from distill.shown_text import progress_label

CROP_HOP_SAMPLES = 16_000
OFFSET_GRID_SAMPLES = 640
MAX_CROPS_PER_RECORDING = 12
MAX_BLOCK_SIZE = 512
EVENTS_FILE = "events.npz"
EMBEDDINGS_FILE = "embeddings.npz"
MN04_FILE = "events_mn04.npz"
_BATCH = 64
_SPARE_AXES = 32


@dataclass(frozen=True)
class Targets:
    """Crops of a waveform store and what the teachers say of them.

    ``row`` (n,) and ``offset`` (n,): the recording and its first sample; ``scores`` (n, n_events) in [0, 1], float32,
    of the event teacher; ``embedding`` (n, d), float32, of the embedding teachers, as `balance` leaves it.
    """

    row: np.ndarray
    offset: np.ndarray
    scores: np.ndarray
    embedding: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> "Targets":
        """Read what `save_events` and `save_embeddings` wrote into `folder`; anything else raises `DataError`."""
        events, embeddings = (_load(folder / name) for name in (EVENTS_FILE, EMBEDDINGS_FILE))
        _check_same_crops(folder, events, embeddings, (EVENTS_FILE, EMBEDDINGS_FILE))
        return cls(
            events["row"],
            events["offset"],
            _scores(folder / EVENTS_FILE, events),
            embeddings["values"].astype(np.float32),
        )

    @classmethod
    def load_blended(cls, folder: Path, settings: EventTeacherSettings) -> "Targets":
        """Read both event teachers' scores of the crops in `folder`, blended, without embeddings."""
        yamnet, mn04 = (_load(folder / name) for name in (EVENTS_FILE, MN04_FILE))
        _check_same_crops(folder, yamnet, mn04, (EVENTS_FILE, MN04_FILE))
        scores = blended(_scores(folder / EVENTS_FILE, yamnet), _scores(folder / MN04_FILE, mn04), settings)
        return cls(yamnet["row"], yamnet["offset"], scores, np.zeros((len(scores), 0), np.float32))


def _check_same_crops(
    folder: Path, one: dict[str, np.ndarray], other: dict[str, np.ndarray], names: tuple[str, str]
) -> None:
    if any(not np.array_equal(one[name], other[name]) for name in ("row", "offset")):
        raise DataError(f"{names[0]} and {names[1]} in {folder} are of different crops: compute both again")


def _scores(path: Path, events: dict[str, np.ndarray]) -> np.ndarray:
    scores = events["values"].astype(np.float32)
    if scores.shape[1:] != (len(EVENT_LABELS),):
        raise DataError(f"{path} does not hold {len(EVENT_LABELS)} events: score the crops again")
    return scores


def _load(path: Path) -> dict[str, np.ndarray]:
    arrays = read_npz(path, ("row", "offset", "values"), "does not hold targets")
    row, offset, values = (arrays[name] for name in ("row", "offset", "values"))
    if not (row.shape == offset.shape == values.shape[:1] and row.dtype.kind == offset.dtype.kind == "i"):
        raise DataError(
            f"{path} does not hold targets: its arrays have the shapes {row.shape}, {offset.shape}, {values.shape}"
        )
    if (len(row) and min(row.min(), offset.min()) < 0) or not np.isfinite(values).all():
        raise DataError(f"{path} does not hold targets: a recording, an offset or a value is out of range")
    return arrays


def save_values(path: Path, crops: list[tuple[int, int]], values: np.ndarray, teacher: str = "") -> None:
    """Write as an npz without pickle, the values in float16, whole or not at all; `teacher` is its fingerprint."""
    make_folder(path.parent)
    row, offset = (np.array(column, dtype=np.int64) for column in zip(*crops, strict=True))
    check_replaceable(path, "a zip of row.npy")
    partial = path.with_suffix(".partial.npz")
    try:
        np.savez(partial, row=row, offset=offset, values=values.astype(np.float16), teacher=np.array(teacher))
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error


def crop_offsets(n_samples: int) -> list[int]:
    """First samples of the crops of a recording: each second, on the 40-ms grid, at most 12, evenly spread."""
    last = max(0, n_samples - CLIP_SAMPLES) // OFFSET_GRID_SAMPLES * OFFSET_GRID_SAMPLES
    n_crops = min(MAX_CROPS_PER_RECORDING, 1 + -(-last // CROP_HOP_SAMPLES))
    grid = np.linspace(0, last, n_crops) // OFFSET_GRID_SAMPLES * OFFSET_GRID_SAMPLES
    return sorted({int(offset) for offset in grid})


def cut_crop(waveform: np.ndarray, offset: int) -> np.ndarray:
    """Cut 2 s of an int16 recording at `offset`, tiled where it is shorter; shape (32000,), float32."""
    piece = as_float(waveform[offset : offset + CLIP_SAMPLES])
    return piece if len(piece) == CLIP_SAMPLES else np.resize(piece, CLIP_SAMPLES)


def all_crops(store: WaveformStore) -> list[tuple[int, int]]:
    """List the crops (row, offset) of the training and validation recordings."""
    rows = store.indices("train") + store.indices("validation")
    return [(row, offset) for row in rows for offset in crop_offsets(len(store.waveform(row)))]


def save_events(store: WaveformStore, teacher: YamnetTeacher, folder: Path) -> None:
    """Run the event teacher over every crop and keep its scores in `folder`."""
    crops = all_crops(store)
    save_values(folder / EVENTS_FILE, crops, _event_scores(store, crops, teacher))


def save_mn04_events(store: WaveformStore, teacher: EfficientAtTeacher, folder: Path) -> None:
    """Run mn04_as over every crop and keep its logits of the event labels in `folder`."""
    crops = all_crops(store)
    logits = [
        event_logits(teacher.run(clips)[0]) for clips in _batches_of_crops(store, crops, f"{teacher.name} logits")
    ]
    save_values(folder / MN04_FILE, crops, np.concatenate(logits), teacher.fingerprint)


def save_embeddings(store: WaveformStore, teacher: Teacher, folder: Path) -> None:
    """Run the embedding teacher over every crop and keep the balanced embeddings in `folder`."""
    crops = all_crops(store)
    embedding = _embeddings(store, crops, teacher)
    if not np.isfinite(embedding).all():
        raise DataError(f"the teacher {teacher.name} gives embeddings that are not finite")
    blocks = np.split(embedding, np.cumsum(teacher.block_sizes)[:-1], axis=1)
    if any(np.all(block == block[0]) for block in blocks):
        raise DataError(f"the teacher {teacher.name} gives every crop the same embedding, or one of them does")
    save_values(folder / EMBEDDINGS_FILE, crops, balance(embedding, teacher.block_sizes), teacher.fingerprint)


def ensure_embeddings(store: WaveformStore, spec: str, folder: Path) -> None:
    """Keep the embeddings of the teacher `spec` in `folder`, unless they are there; another teacher's are not replaced.

    Raises
    ------
    DataError : the embeddings in `folder` are of another teacher.
    """
    teacher, path = load_teacher(spec), folder / EMBEDDINGS_FILE
    if not path.exists():
        save_embeddings(store, teacher, folder)
    elif (found := teacher_of(path)) != teacher.fingerprint:
        raise DataError(
            f"{path} holds the embeddings of {found or 'a teacher that it does not name'}, not of {teacher.name} "
            f"({teacher.fingerprint}): name another folder, or remove that file"
        )


def balance(embedding: np.ndarray, block_sizes: Sequence[int]) -> np.ndarray:
    """Centre and scale each value over the crops, then each block, so that every teacher weighs the same.

    Parameters
    ----------
    embedding : array, shape (n, d), float32
        The teachers' embeddings side by side; ``block_sizes`` sums to d.

    Returns
    -------
    array, shape (n, sum of the blocks' sizes), float32
        A block of more than `MAX_BLOCK_SIZE` values has become its first principal components, as many as that or as
        there are crops. The mean square of a value is 1 on average, and each block has the same share of the whole. A
        value that never changes is 0; so is a block of such values.
    """
    scaled = (embedding - embedding.mean(axis=0)) / (embedding.std(axis=0) + 1e-6)
    blocks = [_principal(block) for block in np.split(scaled, np.cumsum(block_sizes)[:-1], axis=1)]
    share = sum(block.shape[1] for block in blocks) / len(blocks)
    return np.concatenate([block * np.sqrt(share / max(_mean_square_norm(block), 1e-12)) for block in blocks], axis=1)


def _principal(block: np.ndarray) -> np.ndarray:
    """Centred values (n, d) as their first principal components, strongest first, where d is above `MAX_BLOCK_SIZE`."""
    n_components = min(MAX_BLOCK_SIZE, len(block))
    if block.shape[1] <= MAX_BLOCK_SIZE:
        return block
    return block @ principal_axes(block, n_components)


def principal_axes(values: np.ndarray, n_axes: int) -> np.ndarray:
    """First axes of centred values (n, d), strongest first, shape (d, n_axes); the same for the same values."""
    return first_axes(torch.from_numpy(values), n_axes).numpy()


def first_axes(values: Tensor, n_axes: int) -> Tensor:
    """First axes of centred values (n, d) on any device, strongest first, shape (d, n_axes).

    Found from a few more random ones (Halko et al. 2011, arXiv:0909.4061): all 24,576 of a ViT-L would take minutes.
    """
    with torch.random.fork_rng([values.device] if values.is_cuda else []):
        torch.manual_seed(0)
        return torch.svd_lowrank(values, q=min(n_axes + _SPARE_AXES, *values.shape), niter=4)[2][:, :n_axes]


def _mean_square_norm(block: np.ndarray) -> float:
    return float(np.square(block).sum(axis=1).mean())


def teacher_of(path: Path) -> str:
    """Return the fingerprint of the teacher of an npz, empty where it names none."""
    return str(read_npz(path, (), "does not hold targets", optional=("teacher",)).get("teacher", ""))


def _event_scores(store: WaveformStore, crops: list[tuple[int, int]], teacher: YamnetTeacher) -> np.ndarray:
    rows = sorted({row for row, _ in crops})
    frame_scores = {
        row: teacher.scores(store.waveform(row)) for row in track(rows, progress_label(f"{teacher.name} scores"))
    }
    return np.stack([_scores_of_crop(frame_scores[row], offset) for row, offset in crops])


def _scores_of_crop(frame_scores: np.ndarray, offset: int) -> np.ndarray:
    """Maximum over the frames whose centre lies inside the crop; the nearest frame where none does."""
    centres = (np.arange(len(frame_scores)) * YamnetTeacher.HOP_SAMPLES) + YamnetTeacher.FRAME_SAMPLES // 2
    inside = (centres >= offset) & (centres < offset + CLIP_SAMPLES)
    if not inside.any():
        inside[np.argmin(np.abs(centres - offset - CLIP_SAMPLES // 2))] = True
    return frame_scores[inside].max(axis=0)


def _embeddings(store: WaveformStore, crops: list[tuple[int, int]], teacher: Teacher) -> np.ndarray:
    embeddings = []
    for clips in _batches_of_crops(store, crops, f"{teacher.name} embeddings"):
        with torch.inference_mode():
            embeddings.append(teacher.embed(clips).float().numpy())
    return np.concatenate(embeddings)


def _batches_of_crops(store: WaveformStore, crops: list[tuple[int, int]], what: str) -> Iterator[Tensor]:
    batches = [crops[start : start + _BATCH] for start in range(0, len(crops), _BATCH)]
    for batch in track(batches, progress_label(what)):
        yield torch.from_numpy(np.stack([cut_crop(store.waveform(row), offset) for row, offset in batch]))
