"""The only place that trains the student, from teachers' targets, labels and composed soundscapes (tussis-distill)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn

from core.errors import DataError, exit_on_error
from core.files import sha256_of_file
from core.interpreter import EMBEDDING_SIZE
from distill.checkpoints import checkpoint_sha256, load_checkpoint, save_checkpoint, source_commit
from distill.corpus.labels import positives
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
    TEACHER_HELP,
    Targets,
    cut_crop,
    ensure_embeddings,
    teacher_of,
)
from distill.evaluation.metrics import auroc
from distill.models.student import Student, StudentOutputs, StudentSettings, load_student
from distill.settings import Settings, load_settings
from distill.training.device import autocast, training_device
from distill.training.loop import TrainingSettings, train
from distill.training.processes import check_alone

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
        """What the student says of a batch; the front end has nothing to learn."""
        with torch.no_grad(), autocast(batch.waveform.device, "float32"):
            features = self.student.front_end(batch.waveform).contiguous(memory_format=torch.channels_last)
        return self.student.body(features)

    def losses_of(self, outputs: StudentOutputs, batch: Batch, weights: LossWeights) -> dict[str, Tensor]:
        """Return the losses of what the student said of `batch`; see `losses`."""
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
    crops = [
        crop
        for crop, row in enumerate(targets.row)
        if store.rows[row].role == "validation" and store.rows[row].labelled
    ]
    best: dict[int, float] = {}
    device = next(student.parameters()).device
    for start in range(0, len(crops), _BATCH):
        chosen = crops[start : start + _BATCH]
        waveforms = [cut_crop(store.waveform(int(targets.row[c])), int(targets.offset[c])) for c in chosen]
        with torch.inference_mode():
            logits = student(torch.from_numpy(np.stack(waveforms)).to(device)).event_logits[:, COUGH]
        for crop, logit in zip(chosen, logits.tolist(), strict=True):
            row = int(targets.row[crop])
            best[row] = max(best.get(row, -np.inf), logit)
    coswara = {row for row in best if store.rows[row].pack.startswith("coswara")}
    chosen = {"cough_auroc": best, "cough_auroc_coswara": {r: s for r, s in best.items() if r in coswara}}
    return {name: _cough_auroc(store, scores) for name, scores in chosen.items() if _has_both(store, scores)}


def _is_cough(store: WaveformStore, rows: Iterable[int]) -> np.ndarray:
    return np.array([positives(store.rows[row].labels)[COUGH] > 0 for row in rows], dtype=bool)


def _has_both(store: WaveformStore, score_of_row: dict[int, float]) -> bool:
    return len(set(_is_cough(store, score_of_row))) == 2


def _cough_auroc(store: WaveformStore, score_of_row: dict[int, float]) -> float:
    return auroc(list(score_of_row.values()), _is_cough(store, score_of_row))


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
    if qat is not None:
        settings = tuned_from(qat, settings)
    targets = Targets.load(targets_folder)
    if targets.row.max(initial=-1) >= len(store.rows):
        raise DataError(f"{targets_folder} was made for another store: it names recording {targets.row.max()}")
    torch.manual_seed(settings.training.seed)
    soundscapes = _soundscapes(settings, store, targets)
    model = DistilledStudent(settings.student, targets.embedding.shape[1])
    if qat is not None:
        model = QuantizationAware(start_from(model, qat), settings.quantization)
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
    if qat is not None:
        bake_checkpoint(final, model)
    drop_teacher_head(final)
    return final


def _soundscapes(settings: DistillSettings, store: WaveformStore, targets: Targets) -> Soundscapes:
    batch_size, seed = settings.training.batch_size, settings.training.seed
    return Soundscapes(store, targets, role="train", batch_size=batch_size, seed=seed, settings=settings.soundscapes)


def drop_teacher_head(final: Path) -> None:
    """Leave the head for the teacher out of a finished checkpoint: only training uses it."""
    trained = load_checkpoint(final)
    kept = {name: value for name, value in trained.model_state.items() if not name.startswith("teacher_head.")}
    save_checkpoint(
        final,
        model_state=kept,
        training_state=trained.training_state,
        settings=trained.settings,
        provenance=trained.provenance,
    )


def tuned_from(checkpoint: Path, settings: DistillSettings) -> DistillSettings:
    """The settings of tuning a checkpoint's student to int8: its architecture and, by hash, where it came from."""
    quantization = settings.quantization or QuantizationAwareSettings()
    origin = quantization.model_copy(update={"from_sha256": checkpoint_sha256(checkpoint)})
    return settings.model_copy(update={"student": load_student(checkpoint).settings, "quantization": origin})


def _provenance(store: WaveformStore, targets_folder: Path) -> dict[str, Any]:
    return {
        "commit": source_commit(),
        "targets_sha256": {name: sha256_of_file(targets_folder / name) for name in (EVENTS_FILE, EMBEDDINGS_FILE)},
        "teacher": teacher_of(targets_folder / EMBEDDINGS_FILE),
        "packs": packs_used(store.rows, role="train"),
    }


app = typer.Typer(add_completion=False)


@app.command()
def run(
    config: Annotated[Path, typer.Option(help="TOML settings, for instance distill/configs/distil_small.toml.")],
    store: Annotated[Path, typer.Option(help="Folder written by tussis-corpus store.")],
    targets: Annotated[Path, typer.Option(help="Folder written by python -m distill.distillation.targets.")],
    out: Annotated[Path, typer.Option(help="Run folder: settings, log, latest.pt to resume from, final.pt.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings as key.sub=value.")] = None,
    teacher: Annotated[str | None, typer.Option(help=TEACHER_HELP)] = None,
    qat: Annotated[
        Path | None, typer.Option(help="Checkpoint of a trained student to tune to int8, instead of a new one.")
    ] = None,
    time_limit_s: Annotated[float | None, typer.Option(help="Stop after this many seconds of training.")] = None,
) -> None:
    """Distil a student from the teachers' targets; with --teacher its embeddings are made first where they are absent.

    Example: tussis-distill --config distill/configs/distil_small.toml --store cache/store
    --targets cache/targets --out runs/student
    """
    with exit_on_error("tussis-distill"):
        check_alone("the training")
        settings = load_settings(DistillSettings, config, overrides or [])
        opened = WaveformStore.open(store)
        if teacher is not None:
            ensure_embeddings(opened, teacher, targets)
        print(distill(settings, opened, targets, out, time_limit_s, qat))


def main() -> None:
    """Entry point of ``tussis-distill``."""
    app()


if __name__ == "__main__":
    main()
