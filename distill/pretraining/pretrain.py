"""Pretrains the teacher: a masked autoencoder on clips of recordings."""

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
    With `shards`, the recordings of that corpus are trained on instead. Validation, rooms and backgrounds then come
    from the store, where there is one. The clips depend on the number of processes.
    """
    training = settings.training
    check_shares(training.batch_size, training.accumulate_steps)
    device = training_device()
    front_end = HearFrontEnd().to(device)
    stream = _stream(settings, shards, store) if shards is not None else None
    model = initial_model(settings, device)
    batches = Batches(front_end, stream or sampler_of(settings, store))
    return train(
        model,
        batches.loss_of,
        batches.at,
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
    trained_on = stream.origin() if stream is not None else {"packs": packs_used(store.rows, role="train")}
    return trained_on if store is None else {**trained_on, "store_sha256": store.fingerprint()}


def initial_model(settings: PretrainSettings, device: torch.device) -> MaskedAutoencoder:
    """Make the autoencoder that a run begins with: its weights follow from the seed."""
    torch.manual_seed(settings.training.seed)
    return MaskedAutoencoder(settings.model).to(device)


def sampler_of(settings: PretrainSettings, store: WaveformStore) -> ClipSampler:
    """Draw from the store's training recordings the share of each batch that is this process's."""
    share = settings.training.batch_size // n_processes()
    return ClipSampler(store, "train", settings.clips, share, settings.training.seed, process_index() * share)


class Batches:
    """The batches of this process, and the loss of one, on the device that the front end is on.

    A CPU makes its clips ahead of time, in the loading threads. A GPU that would eat more than these can make gets
    what chance drew for each clip, and makes the clips itself, within the step. Clips of shards are always made in the
    threads.
    """

    def __init__(self, front_end: HearFrontEnd, source: ClipSampler | ShardSampler) -> None:
        self._front_end, self._source = front_end, source
        device = front_end.window.device
        self._drawn = source.to(device) if isinstance(source, ClipSampler) and device.type != "cpu" else None

    def at(self, step: int) -> Tensor:
        """Make the clips of a step, as `ClipMaker.made` says, or draw the numbers that they are made from."""
        return self._source.batch_at(step) if self._drawn is None else self._drawn.draws_at(step)

    def loss_of(self, model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
        """The loss of a batch of `at`: that of the removed patches of the images of its clips.

        Clips are waveforms (batch, 32000), or pairs (batch, 2, 32000) of what is seen and what is to be predicted.
        """
        with torch.no_grad(), autocast(batch.device, "float32"):  # PCEN's range is too wide for bfloat16
            waveforms = batch if self._drawn is None else self._drawn.clips(batch)
            images = self._front_end(waveforms.flatten(0, -2)).unflatten(0, waveforms.shape[:-1])
        if waveforms.ndim == 2:
            return {"loss": model(images).loss}
        return {"loss": model(images[:, 0], wanted=images[:, 1]).loss}


def _validation(store: WaveformStore, front_end: HearFrontEnd, run_dir: Path) -> Validation | None:
    has_validation = any(row.role == "validation" for row in store.rows)
    return Validation(store, front_end, run_dir) if has_validation else None


def open_store(folder: Path | None) -> WaveformStore | None:
    """Open the store in `folder`, where one is named."""
    try:
        return WaveformStore.open(folder) if folder is not None else None
    except OSError as error:
        raise DataError(f"cannot open the waveform store {folder}: {error}") from error
