"""Tunes the event layer of a trained student to the recordings that people labelled, as they are."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from core.errors import DataError
from core.files import make_folder
from distill.checkpoints import checkpoint_sha256, load_checkpoint, save_checkpoint, source_commit
from distill.corpus.labels import EVENT_LABELS, holds_event
from distill.corpus.waveform_store import WaveformStore
from distill.distillation.targets import Targets, cut_crop
from distill.models.student import Student, build_student
from distill.settings import Settings

_BATCH = 128
_LAYER = "student.body.events"


class EventLayerSettings(Settings):
    """How far the event layer may go: ``pull`` holds each weight back, in units of its input's deviation.

    A label that fewer than ``min_recordings`` training recordings hold keeps its weights.
    """

    pull: NonNegativeFloat = 0.01
    min_recordings: PositiveInt = 50


def tune_event_layer(
    checkpoint: Path, settings: EventLayerSettings, store: WaveformStore, targets: Targets, folder: Path
) -> Path:
    """Tune the event layer of `checkpoint`'s student; write it as ``final.pt`` in `folder`, and return that path.

    All else stays, and packs that the student left out are left out. The layer is fitted to the embeddings of the
    crops of training recordings, each recording counting the same. What a pack's labels leave open is learnt from the
    event teachers' scores in `targets`.

    Raises
    ------
    DataError
        If the checkpoint holds no student, or no training recording is left.
    """
    trained = load_checkpoint(checkpoint)
    student = build_student(trained, checkpoint)
    store = store.without_packs(trained.settings.get("leave_out", ()))
    of_training = np.isin(targets.row, store.indices("train"))
    if not of_training.any():
        raise DataError("no training recording is left for the event layer")
    rows, offsets = targets.row[of_training], targets.offset[of_training]
    events, is_taught = event_targets(store, rows, targets.scores[of_training], settings.min_recordings)
    embeddings = embed_crops(student, store, rows, offsets)
    weight, bias = fit(student.body.events, embeddings, events, rows, settings.pull)
    taught = torch.from_numpy(is_taught)
    tuned = {
        f"{_LAYER}.weight": torch.where(taught[:, None], weight, student.body.events.weight.detach()),
        f"{_LAYER}.bias": torch.where(taught, bias, student.body.events.bias.detach()),
    }
    make_folder(folder)
    save_checkpoint(
        folder / "final.pt",
        model_state=trained.model_state | tuned,
        training_state=trained.training_state,
        settings=trained.settings | {"event_layer": settings.model_dump()},
        provenance=trained.provenance
        | {"event_layer_from_sha256": checkpoint_sha256(checkpoint), "event_layer_commit": source_commit()},
    )
    return folder / "final.pt"


def event_targets(
    store: WaveformStore, rows: np.ndarray, scores: np.ndarray, min_recordings: int
) -> tuple[np.ndarray, np.ndarray]:
    """Targets (n, n_events) in [0, 1] of crops of recordings `rows`, and for each label whether enough hold it."""
    events, is_taught = scores.astype(np.float32), np.zeros(len(EVENT_LABELS), dtype=bool)
    for column, label in enumerate(EVENT_LABELS):
        labelled = [row for row in set(rows.tolist()) if store.rows[row].labelled]
        holds = {row: holds_event(store.rows[row].labels, label) for row in labelled}
        is_taught[column] = sum(known is True for known in holds.values()) >= min_recordings
        known = np.array([holds.get(row) is not None for row in rows.tolist()])
        events[known, column] = [float(holds[row]) for row in rows[known].tolist()]
    return events, is_taught


def embed_crops(student: Student, store: WaveformStore, rows: np.ndarray, offsets: np.ndarray) -> Tensor:
    """Embeddings (n, 512) of the crops of recordings `rows` that begin at `offsets`."""
    embeddings = []
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            batch = zip(rows[start : start + _BATCH], offsets[start : start + _BATCH], strict=True)
            clips = np.stack([cut_crop(store.waveform(int(row)), int(offset)) for row, offset in batch])
            embeddings.append(student(torch.from_numpy(clips)).embedding)
    return torch.cat(embeddings).clone()


def fit(
    layer: torch.nn.Linear, embeddings: Tensor, events: np.ndarray, rows: np.ndarray, pull: float
) -> tuple[Tensor, Tensor]:
    """The weight and bias near those of `layer` with the lowest cross-entropy, each recording counting the same.

    Parameters
    ----------
    embeddings : tensor, shape (n, 512)
    events : array, shape (n, n_events), in [0, 1]
    rows : array, shape (n,), the recording of each crop
    pull : times the squared distance from the layer's weights, each times its input's standard deviation
    """
    _, recording, n_crops = np.unique(rows, return_inverse=True, return_counts=True)
    share = torch.from_numpy(1.0 / (n_crops[recording] * len(n_crops))).float()[:, None]
    targets, deviation = torch.from_numpy(events), embeddings.std(dim=0)
    before = layer.weight.detach().clone()
    weight, bias = before.clone().requires_grad_(), layer.bias.detach().clone().requires_grad_()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        entropy = F.binary_cross_entropy_with_logits(F.linear(embeddings, weight, bias), targets, reduction="none")
        total = (share * entropy).sum() + pull * ((weight - before) * deviation).square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    return weight.detach(), bias.detach()
