"""Pretrains the teacher: a masked autoencoder on clips of recordings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from core.errors import DataError
from distill.checkpoints import source_commit
from distill.corpus.manifests import packs_used
from distill.corpus.waveform_store import WaveformStore
from distill.models.hear_front_end import HearFrontEnd
from distill.models.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderSettings
from distill.models.patches import N_PATCHES
from distill.pretraining.clips import ClipSampler, ClipSettings
from distill.pretraining.reconstructions import draw_reconstructions
from distill.pretraining.shard_clips import ShardSampler
from distill.settings import Settings
from distill.training.device import autocast, training_device
from distill.training.loop import TrainingSettings, train
from distill.training.processes import check_shares, n_processes, process_index
from distill.training.state import LossOf

_UNCHANGED_CLIPS = ClipSettings(time_shift_max_s=0.0, background_probability=0.0, random_channel=False)
_VALIDATION_BATCHES = 4
_VALIDATION_BATCH_SIZE = 32
_VALIDATION_SEED = 0
_PICTURED_CLIPS = 4


class PretrainSettings(Settings):
    """Everything that a pretraining run depends on, beside its data."""

    model: MaskedAutoencoderSettings = MaskedAutoencoderSettings()
    clips: ClipSettings = ClipSettings()
    training: TrainingSettings


class Validation:
    """What is measured and drawn at each checkpoint: the loss of the same held-out clips under the same masks."""

    def __init__(self, store: WaveformStore, front_end: HearFrontEnd, run_dir: Path) -> None:
        sampler = ClipSampler(store, "validation", _UNCHANGED_CLIPS, _VALIDATION_BATCH_SIZE, _VALIDATION_SEED)
        self._batches = [sampler.batch_at(step) for step in range(_VALIDATION_BATCHES)]
        self._front_end, self._run_dir = front_end, run_dir

    def __call__(self, step: int, model: MaskedAutoencoder) -> dict[str, float]:
        """Return the validation loss; leaves ``reconstructions_STEP.png`` in the run folder."""
        device = model.encoder.class_token.device
        masks = Generator().manual_seed(_VALIDATION_SEED)
        # Other sizes and another precision than in training would have compiled blocks compiled again, for minutes.
        with torch.compiler.set_stance("force_eager"):
            losses = [model(self._front_end(batch.to(device)), masks).loss.item() for batch in self._batches]
            pictured = self._batches[0][:_PICTURED_CLIPS].to(device)
            draw_reconstructions(model, self._front_end, pictured, self._run_dir / f"reconstructions_{step:07d}.png")
        return {"validation_loss": sum(losses) / len(losses)}


def pretrain(
    settings: PretrainSettings,
    store: WaveformStore | None,
    run_dir: Path,
    time_limit_s: float | None,
    shards: Path | None = None,
) -> Path:
    """Pretrain on the store's training recordings, on a CUDA device where there is one; returns final.pt.

    Within `processes.joined` each process draws its share of a batch: the same clips as one process would in all.
    With `shards`, the recordings of that corpus are trained on instead; then the store, where there is one, is what
    validation, rooms and backgrounds come from, and the clips depend on the number of processes.
    """
    training = settings.training
    check_shares(training.batch_size, training.accumulate_steps)
    device = training_device()
    front_end = HearFrontEnd().to(device)
    stream = _stream(settings, shards, store) if shards is not None else None
    model, loss_of, batch_at = learning_parts(settings, store, front_end, stream)
    return train(
        model,
        loss_of,
        batch_at,
        training,
        run_dir,
        on_checkpoint=_validation(store, front_end, run_dir) if store is not None else None,
        time_limit_s=time_limit_s,
        provenance={"commit": source_commit(), **_origin(store, stream)},
        run_settings=settings,
        flops_per_clip=model.training_flops,
        draws_per_clip=N_PATCHES,
        position_at=stream.position_at if stream is not None else None,
    )


def _stream(settings: PretrainSettings, shards: Path, store: WaveformStore | None) -> ShardSampler:
    share, place = settings.training.batch_size // n_processes(), (process_index(), n_processes())
    return ShardSampler(shards, settings.clips, share, settings.training.seed, *place, store=store)


def _origin(store: WaveformStore | None, stream: ShardSampler | None) -> dict[str, Any]:
    """What a checkpoint says of the recordings that it was trained on."""
    return stream.origin() if stream is not None else {"packs": packs_used(store.rows, role="train")}


def learning_parts(
    settings: PretrainSettings,
    store: WaveformStore | None,
    front_end: HearFrontEnd,
    stream: ShardSampler | None = None,
) -> tuple[MaskedAutoencoder, LossOf, Callable[[int], Tensor]]:
    """Make the model, its loss, and the batches of this process, for the device that the front end is on.

    A CPU makes its clips ahead of time, in the loading threads. A GPU that would eat more than these can make gets
    what chance drew for each clip, and makes the clips itself, within the step. Clips of a `stream` of shards are
    always made in the threads.
    """
    torch.manual_seed(settings.training.seed)
    device = front_end.window.device
    model = MaskedAutoencoder(settings.model).to(device)
    if stream is not None:
        return model, reconstruction_loss(front_end), stream.batch_at
    share = settings.training.batch_size // n_processes()
    first_clip = process_index() * share
    sampler = ClipSampler(store, "train", settings.clips, share, settings.training.seed, first_clip)
    if device.type == "cpu":
        return model, reconstruction_loss(front_end), sampler.batch_at
    return model, reconstruction_loss(front_end, sampler.to(device).clips), sampler.draws_at


def reconstruction_loss(front_end: HearFrontEnd, clips_of: Callable[[Tensor], Tensor] = lambda clips: clips) -> LossOf:
    """Make the loss of a batch: that of the removed patches of the images of its clips.

    A batch is waveforms (batch, 32000), pairs (batch, 2, 32000) of what is seen and what is to be predicted, or what
    `clips_of` makes these from on the device.
    """

    def loss_of(model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
        with torch.no_grad(), autocast(batch.device, "float32"):  # PCEN's range is too wide for bfloat16
            waveforms = clips_of(batch)
            images = front_end(waveforms.flatten(0, -2)).unflatten(0, waveforms.shape[:-1])
        if waveforms.ndim == 2:
            return {"loss": model(images).loss}
        return {"loss": model(images[:, 0], wanted=images[:, 1]).loss}

    return loss_of


def _validation(store: WaveformStore, front_end: HearFrontEnd, run_dir: Path) -> Validation | None:
    has_validation = any(row.role == "validation" for row in store.rows)
    return Validation(store, front_end, run_dir) if has_validation else None


def open_store(folder: Path | None) -> WaveformStore | None:
    """Open the store in `folder`, where one is named."""
    try:
        return WaveformStore.open(folder) if folder is not None else None
    except OSError as error:
        raise DataError(f"cannot open the waveform store {folder}: {error}") from error
