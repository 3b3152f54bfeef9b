"""Trains the student on labels, the teachers' targets and composed soundscapes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from core.errors import DataError
from core.files import sha256_of_file
from core.interpreter import EMBEDDING_SIZE
from distill.checkpoints import checkpoint_sha256, load_checkpoint, save_checkpoint, source_commit
from distill.corpus.disturbances import Disturbances, DisturbanceSettings
from distill.corpus.labels import EVENT_LABELS
from distill.corpus.manifests import packs_used
from distill.corpus.waveform_store import WaveformStore
from distill.distillation.augmentation import AugmentationSettings, masked, mixed
from distill.distillation.event_layer import EventLayerSettings
from distill.distillation.event_teachers import EventTeacherSettings
from distill.distillation.losses import embedding_regression, relational, weighted_bce
from distill.distillation.mixtures import Mixtures, is_mixtures
from distill.distillation.quantization_aware import (
    QuantizationAware,
    QuantizationAwareSettings,
    bake_checkpoint,
    start_from,
)
from distill.distillation.soundscapes import Batch, Soundscapes, SoundscapeSettings
from distill.distillation.targets import (
    EMBEDDINGS_FILE,
    EVENTS_FILE,
    Targets,
    teacher_of,
)
from distill.distillation.validation import validate
from distill.models.student import Student, StudentOutputs, StudentSettings, load_student
from distill.settings import Settings
from distill.training.device import autocast, training_device
from distill.training.loop import TrainingSettings, train


class LossWeights(Settings):
    """Weight of each loss in the sum."""

    events: float = 1.0
    activity: float = 0.5
    embedding: float = 0.5
    relational: float = 0.5
    event_labels: dict[Literal[EVENT_LABELS], NonNegativeFloat] = Field(default_factory=dict)

    def of_event_labels(self) -> Tensor:
        """Weight of each event label in the loss of the events, 1 where none is set, shape (n_events,)."""
        return torch.tensor([self.event_labels.get(label, 1.0) for label in EVENT_LABELS])


class DistillSettings(Settings):
    """Everything that a distillation run depends on, beside its data.

    Packs that are named in ``leave_out`` are not learnt from, nor is anything else of their subjects and sources.
    ``teachers`` and ``n_mixtures`` are for mixtures alone. Of these the first ``n_mixtures`` are learnt from, or all.
    Without mixtures the event targets are YAMNet's scores and the labels.
    """

    student: StudentSettings = StudentSettings()
    losses: LossWeights = LossWeights()
    soundscapes: SoundscapeSettings = SoundscapeSettings()
    teachers: EventTeacherSettings = EventTeacherSettings()
    n_mixtures: PositiveInt | None = None
    disturbances: DisturbanceSettings = DisturbanceSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    leave_out: tuple[str, ...] = ()
    training: TrainingSettings
    quantization: QuantizationAwareSettings | None = None
    event_layer: EventLayerSettings = EventLayerSettings()


class DistilledStudent(nn.Module):
    """The student and the head that maps its embedding to the teacher's, used in training only.

    Under autocast the body learns in bfloat16; the front end, whose energies span more than that resolves, and the
    losses are computed in float32.
    """

    def __init__(self, settings: StudentSettings, teacher_size: int, augmentation: AugmentationSettings | None = None):
        super().__init__()
        self.student = Student(settings)
        self.augmentation = augmentation or AugmentationSettings()
        self.teacher_head = nn.Linear(EMBEDDING_SIZE, teacher_size)

    def compile(self, *arguments: Any, **options: Any) -> None:
        """Compile the body, where the time goes; `losses` and validation both call it."""
        self.student.body.compile(*arguments, **options)

    def losses(self, batch: Batch, weights: LossWeights) -> dict[str, Tensor]:
        """Return the weighted sum as "loss", and each loss apart, for the batch masked and mixed as is set."""
        features = self._features(batch)
        if self.augmentation.mix_probability:
            features, batch = mixed(features, batch, self.augmentation)
        if self.augmentation.mask_probability:
            features = masked(features, self.augmentation)
        return self.losses_of(self._outputs_of(features), batch, weights)

    def outputs(self, batch: Batch) -> StudentOutputs:
        """The student's outputs for a batch as it is."""
        return self._outputs_of(self._features(batch))

    def _features(self, batch: Batch) -> Tensor:
        """The front end's features; it has nothing to learn."""
        with torch.no_grad(), autocast(batch.waveform.device, "float32"):
            return self.student.front_end(batch.waveform)

    def _outputs_of(self, features: Tensor) -> StudentOutputs:
        return self.student.body(features.contiguous(memory_format=torch.channels_last))

    def losses_of(self, outputs: StudentOutputs, batch: Batch, weights: LossWeights) -> dict[str, Tensor]:
        """Return the losses of the student's outputs for `batch`; see `losses`."""
        activity_weights = batch.activity_weight[:, None].expand_as(batch.activity)
        label_weights = weights.of_event_labels().to(batch.events.device)
        with autocast(batch.waveform.device, "float32"):
            embedding, event_logits, activity_logits = (output.float() for output in outputs)
            projected = self.teacher_head(embedding)
            parts = {
                "events": weighted_bce(event_logits, batch.events, batch.event_weights * label_weights),
                "activity": weighted_bce(activity_logits, batch.activity, activity_weights),
                "embedding": embedding_regression(projected, batch.teacher, batch.teacher_weight),
                "relational": relational(embedding, batch.teacher, batch.teacher_weight),
            }
        return {"loss": sum(getattr(weights, name) * value for name, value in parts.items()), **parts}


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


def _provenance(store: WaveformStore, made_from: dict[str, Any]) -> dict[str, Any]:
    packs = packs_used(store.rows, role="train")
    return {"commit": source_commit(), "store_sha256": store.fingerprint(), **made_from, "packs": packs}


def distill(
    settings: DistillSettings,
    store: WaveformStore,
    source: Path,
    run_dir: Path,
    time_limit_s: float | None,
    qat: Path | None = None,
) -> Path:
    """Train a student on `store` and a folder of targets or mixtures, on a CUDA device where there is one.

    With `qat`, the student of that checkpoint is tuned to int8 and final.pt holds weights on its grid. Returns the
    final checkpoint.
    """
    settings = settings if qat is None else tuned_from(qat, settings)
    torch.manual_seed(settings.training.seed)
    store = store.without_packs(settings.leave_out)
    clips, teacher_size, made_from = _clips(settings, store, source)
    disturb = Disturbances(settings.disturbances)
    distilled = DistilledStudent(settings.student, teacher_size, settings.augmentation)
    model = distilled if qat is None else QuantizationAware(start_from(distilled, qat), settings.quantization)
    final = train(
        model.to(training_device(), memory_format=torch.channels_last),
        lambda module, batch: module.losses(batch, settings.losses),
        lambda step: disturbed(clips(step), disturb, settings.training.seed, step),
        settings.training,
        run_dir,
        on_checkpoint=lambda _, module: validate(module.student, store),
        time_limit_s=time_limit_s,
        provenance=_provenance(store, made_from),
        run_settings=settings,
    )
    if qat is None:
        drop_teacher_head(final)
    else:
        bake_checkpoint(final, model)
    return final


def _clips(
    settings: DistillSettings, store: WaveformStore, source: Path
) -> tuple[Callable[[int], Batch], int, dict[str, Any]]:
    """The batch of a step, the size of the embedding that it holds, and what it was made from."""
    options = {"batch_size": settings.training.batch_size, "seed": settings.training.seed}
    if is_mixtures(source):
        mixtures = Mixtures(store, source, settings.teachers, n_clips=settings.n_mixtures, **options)
        return mixtures.batch_at, mixtures.embedding_size, mixtures.made_from
    targets = _load_targets(source, store)
    soundscapes = Soundscapes(store, targets, role="train", settings=settings.soundscapes, **options)
    made_from = {
        "targets_sha256": {name: sha256_of_file(source / name) for name in (EVENTS_FILE, EMBEDDINGS_FILE)},
        "teacher": teacher_of(source / EMBEDDINGS_FILE),
    }
    return soundscapes.batch_at, targets.embedding.shape[1], made_from


def disturbed(batch: Batch, disturb: Disturbances, seed: int, step: int) -> Batch:
    """Disturb the clips of a step's batch; targets stay, since what happened in them does."""
    rng = np.random.default_rng((seed, step, 1))
    return batch._replace(waveform=torch.from_numpy(disturb(batch.waveform.numpy(), rng)))
