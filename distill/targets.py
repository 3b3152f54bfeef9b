"""The only place where a corpus is cut into crops and the teachers' targets for each crop are computed and kept."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import typer
from rich.progress import track

from core.errors import DataError, exit_on_error
from distill.student import EVENT_LABELS
from distill.teachers import Teacher, YamnetTeacher, load_teacher
from distill.waveform_store import WaveformStore

CROP_SAMPLES = 32_000
CROP_HOP_SAMPLES = 16_000
OFFSET_GRID_SAMPLES = 640
MAX_CROPS_PER_RECORDING = 12
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

    def save(self, path: Path) -> None:
        """Write as an npz without pickle, the embeddings in float16."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez(
            partial,
            row=self.row,
            offset=self.offset,
            scores=self.scores.astype(np.float16),
            embedding=self.embedding.astype(np.float16),
        )
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Targets":
        """Read what `save` wrote; anything else raises `DataError`."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in ("row", "offset", "scores", "embedding")}
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{path} does not hold targets: {error}") from error
        return cls(
            arrays["row"],
            arrays["offset"],
            arrays["scores"].astype(np.float32),
            arrays["embedding"].astype(np.float32),
        )


def crop_offsets(n_samples: int) -> list[int]:
    """First samples of the crops of a recording: each second, on the 40-ms grid, at most 12, evenly spread."""
    last = max(0, n_samples - CROP_SAMPLES) // OFFSET_GRID_SAMPLES * OFFSET_GRID_SAMPLES
    n_crops = min(MAX_CROPS_PER_RECORDING, 1 + -(-last // CROP_HOP_SAMPLES))
    grid = np.linspace(0, last, n_crops) // OFFSET_GRID_SAMPLES * OFFSET_GRID_SAMPLES
    return sorted({int(offset) for offset in grid})


def cut_crop(waveform: np.ndarray, offset: int) -> np.ndarray:
    """Cut 2 s of an int16 recording at `offset`, tiled where it is shorter; shape (32000,), float32."""
    piece = waveform[offset : offset + CROP_SAMPLES].astype(np.float32) / 32768
    return piece if len(piece) == CROP_SAMPLES else np.resize(piece, CROP_SAMPLES)


def compute_targets(store: WaveformStore, event_teacher: YamnetTeacher, embedding_teacher: Teacher) -> Targets:
    """Run both teachers over every crop of the training and validation recordings."""
    rows = [index for index, row in enumerate(store.rows) if row.role in ("train", "validation")]
    crops = [(row, offset) for row in rows for offset in crop_offsets(len(store.waveform(row)))]
    row, offset = (np.array(column, dtype=np.int64) for column in zip(*crops, strict=True))
    scores = _event_scores(store, rows, crops, event_teacher)
    embedding = _embeddings(store, crops, embedding_teacher)
    centred = embedding - embedding.mean(axis=0)
    return Targets(row, offset, scores, centred / (embedding.std(axis=0) + 1e-6))


def _event_scores(
    store: WaveformStore, rows: list[int], crops: list[tuple[int, int]], teacher: YamnetTeacher
) -> np.ndarray:
    frame_scores = {
        row: teacher.scores(store.waveform(row).astype(np.float32) / 32768)
        for row in track(rows, description=f"{teacher.name} scores")
    }
    return np.stack([_scores_of_crop(frame_scores[row], offset) for row, offset in crops])


def _scores_of_crop(frame_scores: np.ndarray, offset: int) -> np.ndarray:
    """Maximum over the frames whose centre lies inside the crop; the nearest frame where none does."""
    centres = (np.arange(len(frame_scores)) * YamnetTeacher.HOP_SAMPLES) + YamnetTeacher.FRAME_SAMPLES // 2
    inside = (centres >= offset) & (centres < offset + CROP_SAMPLES)
    if not inside.any():
        inside[np.argmin(np.abs(centres - offset - CROP_SAMPLES // 2))] = True
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


@app.command()
def compute(
    store: Path = typer.Option(..., help="Folder written by python -m distill.waveform_store."),  # noqa: B008
    teacher: str = typer.Option(..., help="Embedding teacher, for instance mae:runs/pretrain/final.pt."),
    events: Path = typer.Option(..., help="YAMNet as .tflite: the event teacher."),  # noqa: B008
    out: Path = typer.Option(..., help="npz to write."),  # noqa: B008
) -> None:
    """Compute the teachers' targets for every crop, once."""
    with exit_on_error("targets"):
        targets = compute_targets(WaveformStore.open(store), YamnetTeacher(events), load_teacher(teacher))
        targets.save(out)
        print(f"{len(targets.row)} crops, {len(EVENT_LABELS)} events, embedding of {targets.embedding.shape[1]}: {out}")


def main() -> None:
    """Entry point of ``python -m distill.targets``."""
    app()


if __name__ == "__main__":
    main()
