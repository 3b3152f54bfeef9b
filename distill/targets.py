"""The only place where a corpus is cut into crops and the teachers' targets for each crop are computed and kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.progress import track

from core.clips import CLIP_SAMPLES
from core.errors import DataError, exit_on_error
from distill.teachers import Teacher, YamnetTeacher, load_teacher
from distill.waveform_store import WaveformStore

CROP_HOP_SAMPLES = 16_000
OFFSET_GRID_SAMPLES = 640
MAX_CROPS_PER_RECORDING = 12
EVENTS_FILE = "events.npz"
EMBEDDINGS_FILE = "embeddings.npz"
_BATCH = 64


@dataclass(frozen=True)
class Targets:
    """Crops of a waveform store and what the teachers say of them.

    ``row`` (n,) and ``offset`` (n,): the recording and its first sample; ``scores`` (n, n_events) in [0, 1], float32,
    of the event teacher; ``embedding`` (n, d), float32, of the embedding teacher, centred and scaled over the crops.
    """

    row: np.ndarray
    offset: np.ndarray
    scores: np.ndarray
    embedding: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> "Targets":
        """Read what `save_events` and `save_embeddings` wrote into `folder`; anything else raises `DataError`."""
        events, embeddings = (_load(folder / name) for name in (EVENTS_FILE, EMBEDDINGS_FILE))
        if any(not np.array_equal(events[name], embeddings[name]) for name in ("row", "offset")):
            raise DataError(
                f"{EVENTS_FILE} and {EMBEDDINGS_FILE} in {folder} are of different crops: compute both again"
            )
        scores, embedding = events["values"].astype(np.float32), embeddings["values"].astype(np.float32)
        return cls(events["row"], events["offset"], scores, embedding)


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in ("row", "offset", "values")}
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} does not hold targets: {error}") from error


def _save(path: Path, crops: list[tuple[int, int]], values: np.ndarray) -> None:
    """Write as an npz without pickle, the values in float16, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    row, offset = (np.array(column, dtype=np.int64) for column in zip(*crops, strict=True))
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, row=row, offset=offset, values=values.astype(np.float16))
    partial.replace(path)


def crop_offsets(n_samples: int) -> list[int]:
    """First samples of the crops of a recording: each second, on the 40-ms grid, at most 12, evenly spread."""
    last = max(0, n_samples - CLIP_SAMPLES) // OFFSET_GRID_SAMPLES * OFFSET_GRID_SAMPLES
    n_crops = min(MAX_CROPS_PER_RECORDING, 1 + -(-last // CROP_HOP_SAMPLES))
    grid = np.linspace(0, last, n_crops) // OFFSET_GRID_SAMPLES * OFFSET_GRID_SAMPLES
    return sorted({int(offset) for offset in grid})


def cut_crop(waveform: np.ndarray, offset: int) -> np.ndarray:
    """Cut 2 s of an int16 recording at `offset`, tiled where it is shorter; shape (32000,), float32."""
    piece = waveform[offset : offset + CLIP_SAMPLES].astype(np.float32) / 32768
    return piece if len(piece) == CLIP_SAMPLES else np.resize(piece, CLIP_SAMPLES)


def all_crops(store: WaveformStore) -> list[tuple[int, int]]:
    """List the crops (row, offset) of the training and validation recordings."""
    rows = store.indices("train") + store.indices("validation")
    return [(row, offset) for row in rows for offset in crop_offsets(len(store.waveform(row)))]


def save_events(store: WaveformStore, teacher: YamnetTeacher, folder: Path) -> None:
    """Run the event teacher over every crop and keep its scores in `folder`."""
    crops = all_crops(store)
    _save(folder / EVENTS_FILE, crops, _event_scores(store, crops, teacher))


def save_embeddings(store: WaveformStore, teacher: Teacher, folder: Path) -> None:
    """Run the embedding teacher over every crop and keep the centred, scaled embeddings in `folder`."""
    crops = all_crops(store)
    embedding = _embeddings(store, crops, teacher)
    _save(folder / EMBEDDINGS_FILE, crops, (embedding - embedding.mean(axis=0)) / (embedding.std(axis=0) + 1e-6))


def _event_scores(store: WaveformStore, crops: list[tuple[int, int]], teacher: YamnetTeacher) -> np.ndarray:
    rows = sorted({row for row, _ in crops})
    frame_scores = {
        row: teacher.scores(store.waveform(row)) for row in track(rows, description=f"{teacher.name} scores")
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
    batches = [crops[start : start + _BATCH] for start in range(0, len(crops), _BATCH)]
    embeddings = []
    for batch in track(batches, description=f"{teacher.name} embeddings"):
        waveforms = np.stack([cut_crop(store.waveform(row), offset) for row, offset in batch])
        with torch.inference_mode():
            embeddings.append(teacher.embed(torch.from_numpy(waveforms)).float().numpy())
    return np.concatenate(embeddings)


app = typer.Typer(add_completion=False)
StoreOption = Annotated[Path, typer.Option(help="Folder written by python -m distill.waveform_store.")]
OutOption = Annotated[Path, typer.Option(help="Folder of the targets.")]


@app.command()
def events(
    store: StoreOption, out: OutOption, yamnet: Annotated[Path, typer.Option(help="YAMNet as .tflite.")]
) -> None:
    """Score every crop with the event teacher, once."""
    with exit_on_error("targets"):
        save_events(WaveformStore.open(store), YamnetTeacher(yamnet), out)


@app.command()
def embeddings(
    store: StoreOption,
    out: OutOption,
    teacher: Annotated[str, typer.Option(help="Embedding teacher, for instance mae:runs/pretrain/final.pt.")],
) -> None:
    """Embed every crop with the embedding teacher, once."""
    with exit_on_error("targets"):
        save_embeddings(WaveformStore.open(store), load_teacher(teacher), out)


def main() -> None:
    """Entry point of ``python -m distill.targets``."""
    app()


if __name__ == "__main__":
    main()
