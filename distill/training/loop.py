"""Trains a model in pretraining and in distillation: checkpoints, resuming, log and progress."""

import math
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from core.errors import DataError
from core.files import make_folder
from distill.checkpoints import load_checkpoint, save_checkpoint
from distill.folders import locked
from distill.prefetch import prefetch
from distill.settings import first_difference, with_defaults, write_settings
from distill.training.device import ready_for
from distill.training.log import SilentLog, TrainingLog
from distill.training.processes import agreed, is_first
from distill.training.schedule import FREE_SETTINGS, TrainingSettings, learning_rate_at
from distill.training.state import Run

Batch = TypeVar("Batch")
_FREE_ORIGINS = frozenset({"commit"})  # of a provenance: what may change between a run's parts


def train(
    model: nn.Module,
    loss_of: Callable[[nn.Module, Batch], dict[str, Tensor]],
    batch_at: Callable[[int], Batch],
    settings: TrainingSettings,
    run_dir: Path,
    *,
    on_checkpoint: Callable[[int, nn.Module], dict[str, float]] | None = None,
    time_limit_s: float | None = None,
    provenance: dict[str, Any],
    run_settings: BaseModel | None = None,
    flops_per_clip: float | None = None,
    draws_per_clip: int = 0,
    position_at: Callable[[int], dict[str, Any]] | None = None,
) -> Path:
    """Train `model` on the device that its weights lie on, or go on with the run that `run_dir` holds.

    Within `processes.joined` all processes of the run take each step together, each with its share of the batch; the
    first one writes.

    Parameters
    ----------
    loss_of : its "loss" is minimized, its other values are logged. It gets a batch, or a part of one, on the model's
        device, and may draw from torch's global generator, which is seeded from the step.
    batch_at : a pure function of the step, called ahead of time in other threads; it must bring its own generator. It
        gives this process's clips: all of the step's `batch_size` where there is one process.
    run_dir : gets settings.json, log.jsonl, latest.pt (to resume from), final.pt (averaged weights where
        `ema_decay` is set) and such a file each `keep_every_steps`.
    on_checkpoint : called with the step and the model (averaged weights, evaluation mode); its numbers are logged.
    time_limit_s : the run ends after this many seconds of training, those before an interruption included. The
        learning rate follows `steps` all the same: choose `steps` so that the limit is the exception.
    run_settings : all settings of the run, kept in place of `settings`; resuming with others is refused.
    flops_per_clip : what learning from a clip costs; with `settings.peak_tflops` the log tells the MFU.
    draws_per_clip : how many numbers `loss_of` draws on the CPU for a clip. With it, several processes draw what one
        would; otherwise all draw the same.
    position_at : where in its data a step begins and how they are divided, for data whose order depends on that. It is
        kept in latest.pt, and a run that would not go on at that very place is refused.

    Returns
    -------
    Path of final.pt

    Raises
    ------
    DataError : the run was begun with other settings, another model or another provenance (but for the commit), or the
        loss is no longer finite.
    OutputError : another process trains in `run_dir`, or nothing can be written there.
    SystemExit : after SIGINT or SIGTERM, when latest.pt has been written (status 130 or 143).
    """
    make_folder(run_dir)
    run_settings = run_settings or settings
    keep = {"settings": run_settings.model_dump(mode="json"), "provenance": provenance}
    run = Run(model, settings, draws_per_clip, position_at)
    limit_s = math.inf if time_limit_s is None else time_limit_s
    with locked(run_dir) if is_first() else nullcontext(), _stop_signals() as stop:
        _begin(run, run_dir, run_settings, provenance)
        batches = _batches_ahead(run, batch_at, settings)
        with closing(batches), _open_log(run_dir, settings, run, flops_per_clip) as log:
            model.train()
            last = run.step >= settings.steps or run.elapsed_s >= limit_s
            while not last:
                _timed_step(run, batches, loss_of)
                stopped, out_of_time = agreed(stop[0] if stop else 0, run.elapsed_s >= limit_s)
                last = run.step == settings.steps or bool(out_of_time)
                if last or run.step % settings.log_every_steps == 0:
                    _log_losses(run, settings, log)
                if settings.keep_every_steps and run.step % settings.keep_every_steps == 0:
                    _save_averaged(run_dir / f"step_{run.step:07d}.pt", run, keep)
                if last or run.step % settings.checkpoint_every_steps == 0:
                    _report_and_save(run, on_checkpoint, log, run_dir / "latest.pt", keep)
                if stopped:
                    _save_and_exit(run_dir / "latest.pt", run, keep, 128 + int(stopped))
        return _save_averaged(run_dir / "final.pt", run, keep)


def _batches_ahead(run: Run, batch_at: Callable[[int], Batch], settings: TrainingSettings) -> Generator[Batch]:
    threads = settings.loading_threads
    return prefetch(ready_for(run.device, batch_at), run.step, settings.steps, depth=2 * threads, threads=threads)


def _open_log(run_dir: Path, settings: TrainingSettings, run: Run, flops_per_clip: float | None) -> TrainingLog:
    log_class = TrainingLog if is_first() else SilentLog
    return log_class(run_dir / "log.jsonl", settings, run.step, flops_per_clip)


def _timed_step(run: Run, batches: Iterator[Any], loss_of: Callable[[nn.Module, Any], dict[str, Tensor]]) -> None:
    start_s = time.perf_counter()
    batch = next(batches)
    waited_s = time.perf_counter() - start_s
    run.take_step(batch, loss_of)
    run.count_time(time.perf_counter() - start_s, waited_s)


def _log_losses(run: Run, settings: TrainingSettings, log: TrainingLog) -> None:
    run.read_losses()
    learning_rate = learning_rate_at(run.step - 1, settings)
    log.losses(run.step, run.means, learning_rate, run.elapsed_s, run.take_waiting_share())


def _save_and_exit(path: Path, run: Run, keep: dict[str, Any], status: int) -> None:
    _save(path, run, keep)
    raise SystemExit(status)


def _begin(run: Run, run_dir: Path, settings: BaseModel, provenance: dict[str, Any]) -> None:
    torch.set_num_threads(run.settings.threads)
    _resume(run, run_dir / "latest.pt", settings, provenance)
    if is_first():
        write_settings(settings, run_dir / "settings.json")


def _resume(run: Run, path: Path, settings: BaseModel, provenance: dict[str, Any]) -> None:
    if not path.exists():
        return
    checkpoint = load_checkpoint(path)
    begun_with = with_defaults(type(settings), checkpoint.settings)
    _refuse_other(path, settings.model_dump(mode="json"), begun_with, FREE_SETTINGS)
    run.restore(checkpoint.model_state, checkpoint.training_state, path)
    _refuse_other(path, run.position(), checkpoint.training_state.get("position", run.position()))
    both = provenance.keys() & checkpoint.provenance.keys() - _FREE_ORIGINS  # an earlier version kept fewer of them
    _refuse_other(path, *({key: origin[key] for key in sorted(both)} for origin in (provenance, checkpoint.provenance)))


def _refuse_other(
    path: Path, ours: dict[str, Any], theirs: dict[str, Any], ignored: frozenset[str] = frozenset()
) -> None:
    if difference := first_difference(ours, theirs, ignored):
        key, our_value, their_value = difference
        raise DataError(
            f"{path} was made with {key} = {their_value!r}, not {our_value!r}: choose another run folder or that value"
        )


def _save(path: Path, run: Run, keep: dict[str, Any]) -> None:
    run.read_losses()
    weights, state = run.weights(), run.state()  # in every process, for they may hold a part each
    if is_first():
        save_checkpoint(path, model_state=weights, training_state=state, **keep)


def _save_averaged(path: Path, run: Run, keep: dict[str, Any]) -> Path:
    weights, state = run.weights(averaged=True), {"step": run.step, "elapsed_s": run.elapsed_s}
    if is_first():
        save_checkpoint(path, model_state=weights, training_state=state, **keep)
    return path


def _report_and_save(
    run: Run,
    on_checkpoint: Callable[[int, nn.Module], dict[str, float]] | None,
    log: TrainingLog,
    path: Path,
    keep: dict[str, Any],
) -> None:
    """Log what is measured at a checkpoint, then write it: what a kill keeps out of the log is then done again."""
    run.read_losses()
    if on_checkpoint is not None:
        with run.averaged_weights() as model, torch.no_grad():
            if is_first():
                log.metrics(run.step, on_checkpoint(run.step, model))
    _save(path, run, keep)


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of the first; the second acts as usual."""
    received: list[int] = []
    try:
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def note(number: int, frame: object) -> None:
            received.append(number)
            restore()

        for number in before:
            signal.signal(number, note)
    except ValueError:  # only the main thread may set handlers; elsewhere the caller stops the run
        yield received
        return
    try:
        yield received
    finally:
        restore()
