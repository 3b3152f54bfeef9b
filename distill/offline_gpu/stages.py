"""The stages of a GPU machine's run: unpack, pretrain in the given time, embed, probe, keep."""

import json
import lzma
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.errors import DataError
from core.files import write_atomically
from distill.checkpoints import Checkpoint, checkpoint_sha256, load_checkpoint
from distill.corpus.channel import N_CHANNEL_DRAWS, Channel
from distill.corpus.shard_reader import unpack_corpus
from distill.corpus.shards import INDEX_FILE
from distill.corpus.waveform_store import MANIFEST_FILE, WaveformStore
from distill.distillation.targets import all_crops, cut_crop, first_axes
from distill.models.encoder import SIZES, Encoder
from distill.models.hear_front_end import HearFrontEnd
from distill.models.patches import N_PATCHES
from distill.offline_gpu.wheels import CORPUS_FOLDER
from distill.pretraining.pretrain import Batches, PretrainSettings, initial_model, pretrain, sampler_of
from distill.probes.encoder_probes import embed_rows, labelled_rows, probe_labels
from distill.settings import load_settings
from distill.shown_text import PlainConsole
from distill.training.device import autocast, training_device
from distill.training.state import Run

CONFIGS = Path(__file__).parents[1] / "configs"
N_VIEWS = 2
VIEW_SEED = 20_261_122
TARGET_SIZE = 256  # principal components: 13 MiB for the 27,000 crops of nine hours
_WARM_STEPS, _TIMED_STEPS = 4, 12
_RESERVE = 0.08  # of the time, for checkpoints, validation and a slower spell
_WARM_UP = 0.05
_CHECKPOINTS = 4
_LOG_LINES = 60
_EMBED_BATCH = 256


def unpack(pack: Path, run: Path) -> None:
    """Unpack the corpus of a pack into ``run/store``, unless it is there."""
    store, shards = run / "store", run / "shards"
    if (store / MANIFEST_FILE).exists():
        return
    shards.mkdir(parents=True, exist_ok=True)
    corpus = pack / CORPUS_FOLDER
    try:
        for packed in sorted(corpus.glob("*.tar.xz")):
            (shards / packed.name.removesuffix(".xz")).write_bytes(lzma.decompress(packed.read_bytes()))
        (shards / INDEX_FILE).write_bytes((corpus / INDEX_FILE).read_bytes())
    except (OSError, lzma.LZMAError) as error:
        raise DataError(f"{corpus} cannot be unpacked ({error}): pack it again with make gpu-pack") from error
    unpack_corpus(shards, store)


def pretrain_until(run: Path, size: str, until: float, seconds: float, overrides: Sequence[str]) -> None:
    """Pretrain ``run/SIZE`` until about the time `until`, as of `time.time`; goes on where it stopped.

    The first call measures a step, compilation apart, and plans as many as `seconds`, the time of all calls, allow. So
    the learning rate has come down when the time is over.
    """
    folder = run / size
    folder.mkdir(parents=True, exist_ok=True)
    store, plan_file = WaveformStore.open(run / "store"), folder / "plan.json"
    config = CONFIGS / f"{size}_h200.toml"
    if not plan_file.exists():
        plan = _fitting_plan(config, overrides, store)
        left_s = max(seconds - plan["measured_in_s"], 0.1 * seconds)
        plan |= {"seconds": seconds, "steps": max(4, int(left_s * (1 - _RESERVE) / plan["step_s"]))}
        write_atomically(plan_file, json.dumps(plan, indent=1) + "\n")
        print(f"{size}: {json.dumps(plan)}", flush=True)
    plan = json.loads(plan_file.read_text(encoding="utf-8"))
    settings = load_settings(PretrainSettings, config, [*plan["overrides"], *schedule(plan["steps"])])
    left_s = (until - time.time()) * (1 - _RESERVE / 2) + _seconds_before(folder)
    pretrain(settings, store, folder, time_limit_s=max(left_s, 0.001))


def _fitting_plan(config: Path, overrides: Sequence[str], store: WaveformStore) -> dict[str, Any]:
    """Measure the speed; in more parts where the memory does not hold a batch, uncompiled where compilation fails."""
    tried = list(overrides)
    while True:
        settings = load_settings(PretrainSettings, config, tried)
        training = settings.training
        try:
            return {"overrides": tried, **measured_speed(settings, store)}
        except torch.OutOfMemoryError:
            if training.batch_size % (2 * training.accumulate_steps):
                raise
            tried.append(f"training.accumulate_steps={2 * training.accumulate_steps}")
        except RuntimeError as error:  # torch.compile's own errors are among these
            if not training.compile:
                raise
            print(f"not compiled, since that failed: {str(error).splitlines()[0]}", flush=True)
            tried.append("training.compile=false")
        torch.cuda.empty_cache()


def _seconds_before(folder: Path) -> float:
    """Seconds of training in earlier calls, which a run's time limit includes."""
    latest = folder / "latest.pt"
    return load_checkpoint(latest).training_state["elapsed_s"] if latest.exists() else 0.0


def schedule(steps: int) -> list[str]:
    """Settings of a run that are a matter of its length."""
    return [
        f"training.steps={steps}",
        f"training.warmup_steps={max(1, round(_WARM_UP * steps))}",
        f"training.checkpoint_every_steps={max(1, -(-steps // _CHECKPOINTS))}",
        f"training.log_every_steps={max(1, steps // _LOG_LINES)}",
    ]


def measured_speed(settings: PretrainSettings, store: WaveformStore) -> dict[str, Any]:
    """Train a model that is thrown away: seconds a step, clips a second and MFU, from the middle of some steps."""
    model = initial_model(settings, training_device())
    batches = Batches(HearFrontEnd().to(training_device()), sampler_of(settings, store))
    torch.set_num_threads(settings.training.threads)
    run, seconds, started = Run(model, settings.training, N_PATCHES), [], time.monotonic()
    for step in range(_WARM_STEPS + _TIMED_STEPS):
        start = time.perf_counter()
        run.take_step(batches.at(step), batches.loss_of)
        seconds.append(time.perf_counter() - start)
    step_s = statistics.median(seconds[_WARM_STEPS:])
    speed = {"step_s": step_s, "clips_per_s": settings.training.batch_size / step_s, "first_step_s": seconds[0]}
    if settings.training.peak_tflops is not None:
        speed["mfu"] = speed["clips_per_s"] * model.training_flops / (settings.training.peak_tflops * 1e12)
    if torch.cuda.is_available():
        speed |= {"device": torch.cuda.get_device_name(), "peak_gib": torch.cuda.max_memory_allocated() / 2**30}
    return speed | {"measured_in_s": time.monotonic() - started, "torch": torch.__version__}


def newest(folder: Path) -> tuple[Path, Checkpoint]:
    """The newest weights of a run: final.pt, or the averages in latest.pt where it was cut off before its end."""
    paths = [folder / name for name in ("latest.pt", "final.pt") if (folder / name).exists()]
    if not paths:
        raise DataError(f"{folder} holds no checkpoint: its time was over before the first one; allow more minutes")
    path = max(paths, key=lambda file: file.stat().st_mtime)
    checkpoint = load_checkpoint(path)
    averages = checkpoint.training_state.get("average")
    if averages:
        checkpoint.model_state.update(averages)
    return path, checkpoint


class DeviceEncoder:
    """The encoder of a checkpoint behind HeAR's front end, on the training device, in bfloat16 on a GPU."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.device = training_device()
        self._encoder = Encoder(SIZES[checkpoint.settings["model"]["size"]])
        state = checkpoint.model_state.items()
        self._encoder.load_state_dict({k.removeprefix("encoder."): v for k, v in state if k.startswith("encoder.")})
        self._encoder.to(self.device).eval()
        self._front_end = HearFrontEnd().to(self.device)

    @torch.inference_mode()
    def embed(self, waveforms: Tensor) -> Tensor:
        """Embed waveforms (batch, 32000), float32, as (batch, embedding_size), float32, on the device."""
        images = self._front_end(waveforms.to(self.device))
        with autocast(self.device, "bfloat16" if self.device.type == "cuda" else "float32"):
            return self._encoder(images).float()


def keep(run: Path, size: str) -> None:
    """Keep what is small of ``run/SIZE``: weights, targets, and last the probes."""
    save_weights(run, size)
    save_targets(run, size)
    save_probes(run, size)


def view_draws(row: int, offset: int) -> np.ndarray:
    """Chance of the channels of a crop's augmented views, shape (N_VIEWS, N_CHANNEL_DRAWS)."""
    return np.random.default_rng((VIEW_SEED, row, offset)).random((N_VIEWS, N_CHANNEL_DRAWS))


def save_targets(run: Path, size: str) -> None:
    """Embed every crop; keeps its principal components in ``run/SIZE/targets.npz``, its views' in ``views.npz``."""
    store, (source, checkpoint) = WaveformStore.open(run / "store"), newest(run / size)
    encoder, crops = DeviceEncoder(checkpoint), all_crops(store)
    rooms = [store.sound(index) for index in store.indices("augment")]
    channel = Channel(rooms).to(encoder.device)
    parts = []
    for start in range(0, len(crops), _EMBED_BATCH):
        batch = crops[start : start + _EMBED_BATCH]
        clips = torch.from_numpy(np.stack([cut_crop(store.waveform(row), offset) for row, offset in batch]))
        draws = torch.from_numpy(np.stack([view_draws(*crop) for crop in batch])).to(encoder.device)
        clips = clips.to(encoder.device)
        views = [clips, *(channel.apply(clips, draws[:, view]) for view in range(N_VIEWS))]
        parts.append(torch.stack([encoder.embed(view) for view in views]).cpu())
    embeddings = torch.cat(parts, dim=1)
    if not embeddings.isfinite().all():
        raise DataError(f"{source} gives embeddings that are not finite")
    components, kept = principal_components(embeddings, encoder.device)
    row, offset = (np.array(column, dtype=np.int64) for column in zip(*crops, strict=True))
    paths = np.array([recording.path for recording in store.rows])[row]
    teacher, values = np.array(f"mae:{checkpoint_sha256(source)}"), components.numpy().astype(np.float16)
    about = {"path": paths, "row": row, "offset": offset, "teacher": teacher, "energy_kept": np.array(kept)}
    _save(run / size / "views.npz", seed=np.array(VIEW_SEED), values=values[1:], **about)
    _save(run / size / "targets.npz", values=values[0], **about)


def _save(target: Path, /, **arrays: np.ndarray) -> None:
    """Write an npz without pickle, whole or not at all."""
    partial = target.with_name(f".{target.name}.partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    partial.replace(target)


def principal_components(embeddings: Tensor, device: torch.device) -> tuple[Tensor, float]:
    """Scale each value over the plain crops as `targets.balance` does, and turn to the first components.

    Parameters
    ----------
    embeddings : Tensor, shape (1 + N_VIEWS, n_crops, d); the first are the crops as they are

    Returns
    -------
    components : Tensor, shape (1 + N_VIEWS, n_crops, k), float32, k at most `TARGET_SIZE`; of the plain crops, the mean
        square of a value is 1
    energy_kept : part of the plain crops' energy that the components hold
    """
    plain = embeddings[0].to(device)
    mean, scale = plain.mean(dim=0), plain.std(dim=0, correction=0) + 1e-6
    plain = (plain - mean) / scale
    n_axes = min(TARGET_SIZE, *plain.shape)
    axes = first_axes(plain, n_axes)
    axes = axes * axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()  # an axis has no sign of its own
    projected = [((view.to(device) - mean) / scale @ axes).cpu() for view in embeddings]
    kept = projected[0].square().sum() / plain.square().sum().cpu().clamp(min=1e-12)
    level = projected[0].square().mean().sqrt().clamp(min=1e-6)
    return torch.stack(projected) / level, kept.item()


def save_probes(run: Path, size: str) -> None:
    """Fit the linear probes and keep them in ``run/SIZE/probes.json``."""
    store, (source, checkpoint) = WaveformStore.open(run / "store"), newest(run / size)
    rows = labelled_rows(store)
    embeddings = embed_rows(store, rows, DeviceEncoder(checkpoint).embed, size)
    tasks = probe_labels({size: embeddings}, [store.rows[row] for row in rows])
    result = {"checkpoint": source.name, "step": checkpoint.training_state.get("step"), "tasks": tasks}
    write_atomically(run / size / "probes.json", json.dumps(result, indent=1, allow_nan=False) + "\n")
    for name, task in tasks.items():
        PlainConsole(soft_wrap=True).print(f"{size}: {name} AUROC {task['auroc'][size]['value']:.3f}")


def save_weights(run: Path, size: str) -> None:
    """Keep the encoder's weights as float16 in ``run/SIZE/weights.npz``, with the settings, without pickle."""
    source, checkpoint = newest(run / size)
    weights = {name: v.half().numpy() for name, v in checkpoint.model_state.items() if name.startswith("encoder.")}
    if not all(np.isfinite(value).all() for value in weights.values()):
        raise DataError(f"{source} holds weights that float16 cannot hold")
    about = {"settings": checkpoint.settings, "provenance": checkpoint.provenance, "sha256": checkpoint_sha256(source)}
    _save(run / size / "weights.npz", about=np.array(json.dumps(about)), **weights)
