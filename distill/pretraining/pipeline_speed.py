"""The only place that measures whether the input pipeline keeps up with what pretraining consumes."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from core.errors import SettingsError, exit_on_error
from core.files import write_atomically
from distill.corpus.waveform_store import WaveformStore
from distill.models.hear_front_end import HearFrontEnd
from distill.models.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderSettings
from distill.pretraining.clips import ClipSampler, ClipSettings
from distill.pretraining.pretrain import reconstruction_loss
from distill.pretraining.shard_clips import ShardSampler
from distill.training.device import training_device
from distill.training.schedule import TrainingSettings
from distill.training.state import Run

NEEDED_RATIO = 5.0
_SEED = 0

BatchAt = Callable[[int], Tensor]


def measure(batches: dict[str, BatchAt], size: str, batch_size: int, rounds: int) -> dict[str, Any]:
    """Measure pipelines, HeAR's front end and training steps in turns, on one thread each.

    Parameters
    ----------
    batches : by name, pipelines that give `batch_size` clips, (batch_size, 32000)
    size : of the masked autoencoder, whose steps take clips of the first pipeline
    rounds : how often each is measured, after one time that does not count

    Returns
    -------
    dict
        Medians: ``training_clips_per_s``, ``front_end_clips_per_core_s`` of the front end on the CPU, a part of
        training, and by pipeline ``clips_per_core_s`` and its ``ratio`` to training. A CPU's time is counted, not the
        clock's, so that other work on the machine does not matter; on a GPU, training's is the clock's.
    """
    torch.set_num_threads(1)
    step_with, front_end = _training(size, batch_size), HearFrontEnd()
    first = next(iter(batches.values()))
    trained, imaged = [], []
    made: dict[str, list[float]] = {name: [] for name in batches}
    for step in range(rounds + 1):
        for name, batch_at in batches.items():
            made[name].append(batch_size / _seconds(lambda at=batch_at, step=step: at(step), time.process_time))
        clips = first(step)
        imaged.append(batch_size / _seconds(lambda clips=clips: front_end(clips), time.process_time))
        trained.append(batch_size / step_with(clips))
    training = median(trained[1:])
    pipelines = {name: median(speeds[1:]) for name, speeds in made.items()}
    return {
        "size": size,
        "batch_size": batch_size,
        "rounds": rounds,
        "training_device": training_device().type,
        "training_clips_per_s": training,
        "front_end_clips_per_core_s": median(imaged[1:]),
        "pipelines": {
            name: {"clips_per_core_s": speed, "ratio": speed / training} for name, speed in pipelines.items()
        },
    }


def _training(size: str, batch_size: int) -> Callable[[Tensor], float]:
    """Make a function that takes a training step with clips and returns its seconds."""
    device = training_device()
    torch.manual_seed(_SEED)
    settings = TrainingSettings(
        steps=1_000_000,
        batch_size=batch_size,
        learning_rate=1e-4,
        warmup_steps=1,
        checkpoint_every_steps=1,
        log_every_steps=1,
        seed=_SEED,
        precision="bfloat16" if device.type == "cuda" else "float32",
    )
    run = Run(MaskedAutoencoder(MaskedAutoencoderSettings(size=size)).to(device), settings)
    loss_of = reconstruction_loss(HearFrontEnd().to(device))

    def step_with(clips: Tensor) -> float:
        def step() -> None:
            run.take_step(clips, loss_of)
            run.read_losses()

        return _seconds(step, time.perf_counter if device.type == "cuda" else time.process_time)

    return step_with


def _seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    work()
    return clock() - start


def pipelines(store: WaveformStore | None, shards: Path | None, batch_size: int) -> dict[str, BatchAt]:
    """Open the pipelines of pretraining, as it is by default."""
    if store is None and shards is None:
        raise SettingsError("there is nothing to measure: give --store, --shards or both")
    settings, found = ClipSettings(), {}
    if store is not None:
        found["store"] = ClipSampler(store, "train", settings, batch_size, _SEED).batch_at
    if shards is not None:
        found["shards"] = ShardSampler(shards, settings, batch_size, _SEED, store=store).batch_at
    return found


app = typer.Typer(add_completion=False)


@app.command()
def run(
    store: Annotated[
        Path | None, typer.Option(help="Folder written by python -m distill.corpus.waveform_store.")
    ] = None,
    shards: Annotated[
        Path | None, typer.Option(help="Folder written by python -m distill.corpus.shard_writer write.")
    ] = None,
    size: Annotated[str, typer.Option(help="Of the encoder: tiny, small, base or large.")] = "small",
    batch_size: Annotated[int, typer.Option(min=1, help="Clips.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each is measured; medians are told.")] = 5,
    out: Annotated[Path | None, typer.Option(help="JSON file to write as well.")] = None,
) -> None:
    """Compare the clips that one core makes in a second with those that a training step consumes on one.

    Example: python -m distill.pretraining.pipeline_speed --store cache/store --shards corpus
    """
    with exit_on_error("pipeline_speed"):
        if size not in MaskedAutoencoderSettings.model_fields["size"].annotation.__args__:
            raise SettingsError(f"--size is {size!r}; expected tiny, small, base or large")
        opened = WaveformStore.open(store) if store is not None else None
        result = measure(pipelines(opened, shards, batch_size), size, batch_size, rounds)
        if out is not None:
            write_atomically(out, json.dumps(result, indent=1) + "\n")
        Console().print(_table(result))


def _table(result: dict[str, Any]) -> Table:
    table = Table(
        title=f"ViT-{result['size']}, batches of {result['batch_size']}, medians of {result['rounds']} rounds"
    )
    for heading in ("what", "clips/s of one core", f"times what training takes (needed: {NEEDED_RATIO:g})"):
        table.add_column(heading)
    table.add_row(f"training ({result['training_device']})", f"{result['training_clips_per_s']:.1f}", "1")
    table.add_row("its front end (cpu)", f"{result['front_end_clips_per_core_s']:.0f}", "")
    for name, pipeline in result["pipelines"].items():
        verdict = "" if pipeline["ratio"] >= NEEDED_RATIO else ", too few"
        table.add_row(name, f"{pipeline['clips_per_core_s']:.0f}", f"{pipeline['ratio']:.1f}{verdict}")
    return table


def main() -> None:
    """Entry point of ``python -m distill.pretraining.pipeline_speed``."""
    app()


if __name__ == "__main__":
    main()
