"""Trains the student on labels, the teachers' targets and composed soundscapes."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import DataError
from core.files import sha256_of_file
from core.interpreter import EMBEDDING_SIZE
from distill.checkpoints import checkpoint_sha256, load_checkpoint, save_checkpoint, source_commit
from distill.corpus.labels import event_labels_of
from distill.corpus.manifests import packs_used
from distill.corpus.waveform_store import WaveformStore
from distill.distillation.losses import embedding_regression, relational, weighted_bce
from distill.distillation.quantization_aware import (
    QuantizationAware,
    QuantizationAwareSettings,
    bake_checkpoint,
    start_from,
)
from distill.distillation.soundscapes import COUGH, Batch, Soundscapes, SoundscapeSettings
from distill.distillation.targets import (
    EMBEDDINGS_FILE,
    EVENTS_FILE,
    Targets,
    cut_crop,
    teacher_of,
)
from distill.evaluation.metrics import auroc
from distill.models.student import Student, StudentOutputs, StudentSettings, load_student
from distill.settings import Settings
from distill.training.device import autocast, training_device
from distill.training.loop import TrainingSettings, train

_BATCH = 64


class LossWeights(Settings):
    """Weight of each loss in the sum."""

    events: float = 1.0
    activity: float = 0.5
    embedding: float = 0.5
    relational: float = 0.5


class DistillSettings(Settings):
    """Everything that a distillation run depends on, beside its data."""

    student: StudentSettings = StudentSettings()
    losses: LossWeights = LossWeights()
    soundscapes: SoundscapeSettings = SoundscapeSettings()
    training: TrainingSettings
    quantization: QuantizationAwareSettings | None = None


class DistilledStudent(nn.Module):
    """The student and the head that maps its embedding to the teacher's, used in training only.

    Under autocast the body learns in bfloat16; the front end, whose energies span more than that resolves, and the
    losses are computed in float32.
    """

    def __init__(self, settings: StudentSettings, teacher_size: int):
        super().__init__()
        self.student = Student(settings)
        self.teacher_head = nn.Linear(EMBEDDING_SIZE, teacher_size)

    def compile(self, *arguments: Any, **options: Any) -> None:
        """Compile the body, where the time goes; `losses` and validation both call it."""
        self.student.body.compile(*arguments, **options)

    def losses(self, batch: Batch, weights: LossWeights) -> dict[str, Tensor]:
        """Return the weighted sum as "loss", and each loss apart."""
        return self.losses_of(self.outputs(batch), batch, weights)

    def outputs(self, batch: Batch) -> StudentOutputs:
        """The student's outputs for a batch; the front end has nothing to learn."""
        with torch.no_grad(), autocast(batch.waveform.device, "float32"):
            features = self.student.front_end(batch.waveform).contiguous(memory_format=torch.channels_last)
        return self.student.body(features)

    def losses_of(self, outputs: StudentOutputs, batch: Batch, weights: LossWeights) -> dict[str, Tensor]:
        """Return the losses of the student's outputs for `batch`; see `losses`."""
        activity_weights = batch.activity_weight[:, None].expand_as(batch.activity)
        with autocast(batch.waveform.device, "float32"):
            embedding, event_logits, activity_logits = (output.float() for output in outputs)
            projected = self.teacher_head(embedding)
            parts = {
                "events": weighted_bce(event_logits, batch.events, batch.event_weights),
                "activity": weighted_bce(activity_logits, batch.activity, activity_weights),
                "embedding": embedding_regression(projected, batch.teacher, batch.teacher_weight),
                "relational": relational(embedding, batch.teacher, batch.teacher_weight),
            }
        return {"loss": sum(getattr(weights, name) * value for name, value in parts.items()), **parts}


def validate(student: Student, store: WaveformStore, targets: Targets) -> dict[str, float]:
    """Cough AUROC of the labelled validation recordings (maximum over their crops): of all packs, and of Coswara alone.

    In Coswara one microphone recorded coughs, breaths and speech, so that the channel cannot help. A set of
    recordings without both classes has no AUROC and is left out.
    """
    best = _best_cough_logits(student, store, targets)
    coswara = [row for row in best if store.rows[row].pack.startswith("coswara")]
    aurocs = {}
    for name, rows in {"cough_auroc": list(best), "cough_auroc_coswara": coswara}.items():
        is_cough = ["cough" in event_labels_of(store.rows[row].labels) for row in rows]
        if len(set(is_cough)) == 2:
            aurocs[name] = auroc([best[row] for row in rows], is_cough)
    return aurocs


def _best_cough_logits(student: Student, store: WaveformStore, targets: Targets) -> dict[int, float]:
    """The highest cough logit of each labelled validation recording's crops, by the recording's row."""
    rows = [store.rows[row] for row in targets.row]
    crops = [crop for crop, row in enumerate(rows) if row.role == "validation" and row.labelled]
    device = next(student.parameters()).device
    best: dict[int, float] = {}
    for start in range(0, len(crops), _BATCH):
        batch = crops[start : start + _BATCH]
        clips = [cut_crop(store.waveform(int(targets.row[crop])), int(targets.offset[crop])) for crop in batch]
        with torch.inference_mode():
            logits = student(torch.from_numpy(np.stack(clips)).to(device)).event_logits[:, COUGH].tolist()
        for crop, logit in zip(batch, logits, strict=True):
            row = int(targets.row[crop])
            best[row] = max(best.get(row, -np.inf), logit)
    return best


def tuned_from(checkpoint: Path, settings: DistillSettings) -> DistillSettings:
    """The settings of tuning a checkpoint's student to int8: its architecture and, by hash, where it came from."""
    quantization = settings.quantization or QuantizationAwareSettings()
    origin = quantization.model_copy(update={"from_sha256": checkpoint_sha256(checkpoint)})
    return settings.model_copy(update={"student": load_student(checkpoint).settings, "quantization": origin})


def drop_teacher_head(final: Path) -> None:
    """Leave the head for the teacher out of a finished checkpoint: only training uses it."""
    trained = load_checkpoint(final)
    kept = {name: value for name, value in trained.model_state.items() if not name.startswith("teacher_head.")}
    save_checkpoint(final, **{**vars(trained), "model_state": kept})


def _load_targets(folder: Path, store: WaveformStore) -> Targets:
    targets = Targets.load(folder)
    if targets.row.max(initial=-1) >= len(store.rows):
        raise DataError(f"{folder} was made for another store: it names recording {targets.row.max()}")
    return targets


def _provenance(store: WaveformStore, targets_folder: Path) -> dict[str, Any]:
    return {
        "commit": source_commit(),
        "store_sha256": store.fingerprint(),
        "targets_sha256": {name: sha256_of_file(targets_folder / name) for name in (EVENTS_FILE, EMBEDDINGS_FILE)},
        "teacher": teacher_of(targets_folder / EMBEDDINGS_FILE),
        "packs": packs_used(store.rows, role="train"),
    }


def distill(
    settings: DistillSettings,
    store: WaveformStore,
    targets_folder: Path,
    run_dir: Path,
    time_limit_s: float | None,
    qat: Path | None = None,
) -> Path:
    """Train a student on `store` and the targets, on a CUDA device where there is one; returns the final checkpoint.

    With `qat`, the student of that checkpoint is tuned to int8 and final.pt holds weights on its grid.
    """
    settings = settings if qat is None else tuned_from(qat, settings)
    targets = _load_targets(targets_folder, store)
    batch_size, seed = settings.training.batch_size, settings.training.seed
    torch.manual_seed(seed)
    soundscapes = Soundscapes(
        store, targets, role="train", batch_size=batch_size, seed=seed, settings=settings.soundscapes
    )
    distilled = DistilledStudent(settings.student, targets.embedding.shape[1])
    model = distilled if qat is None else QuantizationAware(start_from(distilled, qat), settings.quantization)
    final = train(
        model.to(training_device(), memory_format=torch.channels_last),
        lambda module, batch: module.losses(batch, settings.losses),
        soundscapes.batch_at,
        settings.training,
        run_dir,
        on_checkpoint=lambda _, module: validate(module.student, store, targets),
        time_limit_s=time_limit_s,
        provenance=_provenance(store, targets_folder),
        run_settings=settings,
    )
    if qat is None:
        drop_teacher_head(final)
    else:
        bake_checkpoint(final, model)
    return final
