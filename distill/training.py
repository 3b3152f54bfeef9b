"""The one training loop, of pretraining and of distillation: schedule, checkpoints, resuming, log and progress."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from core.errors import DataError, OutputError
from distill.checkpoints import load_checkpoint, save_checkpoint
from distill.prefetch import prefetch
from distill.settings import Settings, first_difference, write_settings
from distill.training_log import LossMeans, TrainingLog

Batch = TypeVar("Batch")

# A run may be resumed with other values of these: they do not change what is learnt.
_FREE_SETTINGS = frozenset({"threads", "checkpoint_every_steps", "log_every_steps"})


class TrainingSettings(Settings):
    """How long and how fast to learn. `ema_decay` None keeps no average of the weights."""

    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    beta2: float = Field(default=0.999, gt=0, lt=1)
    warmup_steps: int = Field(ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    checkpoint_every_steps: int = Field(gt=0)
    log_every_steps: int = Field(gt=0)
    seed: int = Field(ge=0)
    threads: int = Field(default=2, gt=0)
    ema_decay: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _warm_up_ends_before_the_run(self) -> "TrainingSettings":
        if self.warmup_steps >= self.steps:
            raise ValueError(f"must have fewer warm-up steps ({self.warmup_steps}) than steps ({self.steps})")
        return self


def learning_rate_at(step: int, settings: TrainingSettings) -> float:
    """Learning rate of a step: linear warm-up over `warmup_steps`, then a cosine that reaches 0 at `steps`."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / (settings.steps - settings.warmup_steps)
    return settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


def ema_decay_at(step: int, decay: float) -> float:
    """Decay of the averaged weights at a step; small at first, so that the random start is soon forgotten."""
    return min(decay, (1 + step) / (10 + step))


class _Run:
    """The state of a run: everything that changes from step to step and that a checkpoint holds."""

    def __init__(self, model: nn.Module, settings: TrainingSettings) -> None:
        self.model, self.settings = model, settings
        self.optimizer = _optimizer(model, settings)
        self.average = {k: v.detach().clone() for k, v in model.state_dict().items()} if settings.ema_decay else None
        self.step, self.elapsed_s = 0, 0.0
        self.means = LossMeans()

    def take_step(self, batch: Any, loss_of: Callable[[nn.Module, Any], dict[str, Tensor]]) -> None:
        """Learn from one batch. The random state is set from the step, so that `loss_of` may draw from it."""
        torch.manual_seed(self.settings.seed * 1_000_003 + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(self.step, self.settings)
        self.optimizer.zero_grad(set_to_none=True)
        losses = loss_of(self.model, batch)
        if not math.isfinite(losses["loss"].item()):
            raise DataError(
                f"the loss is {losses['loss'].item()} at step {self.step}: lower learning_rate or check the data"
            )
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self.optimizer.step()
        self._update_average()
        self.means.add({name: value.item() for name, value in losses.items()})
        self.step += 1

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            return
        weight = 1.0 - ema_decay_at(self.step, self.settings.ema_decay)
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, weight)
            else:
                self.average[name].copy_(value)

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "means": self.means.state(),
        }

    def restore(self, model_state: dict[str, Tensor], state: dict[str, Any], path: Path) -> None:
        try:
            self.model.load_state_dict(model_state)
            self.optimizer.load_state_dict(state["optimizer"])
            if self.average is not None:
                for name, value in self.average.items():
                    value.copy_(state["average"][name])
            self.means = LossMeans(**state["means"])
            self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        except (KeyError, TypeError, RuntimeError, ValueError) as error:
            raise DataError(f"{path} does not fit this model: {str(error).splitlines()[0]}") from error

    @contextmanager
    def averaged_weights(self) -> Iterator[nn.Module]:
        """Lend the model in evaluation mode, with the averaged weights where there are any."""
        own = {k: v.detach().clone() for k, v in self.model.state_dict().items()} if self.average else None
        was_training = self.model.training
        try:
            if own:
                self.model.load_state_dict(self.average)
            self.model.eval()
            yield self.model
        finally:
            if own:
                self.model.load_state_dict(own)
            self.model.train(was_training)


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
) -> Path:
    """Train `model`, or go on with the run that `run_dir` holds.

    Parameters
    ----------
    loss_of : its "loss" is minimized, its other values are logged. It may draw from torch's global generator, which is
        seeded from the step.
    batch_at : a pure function of the step, called ahead of time in other threads; it must bring its own generator.
    run_dir : gets settings.json, log.jsonl, latest.pt (to resume from) and final.pt (averaged weights where
        `ema_decay` is set).
    on_checkpoint : called with the step and the model (averaged weights, evaluation mode); its numbers are logged.
    time_limit_s : the run ends after this many seconds of training, those before an interruption included. The
        learning rate follows `steps` all the same: choose `steps` so that the limit is the exception.
    run_settings : all settings of the run, kept in place of `settings`; resuming with others is refused.

    Returns
    -------
    Path of final.pt

    Raises
    ------
    DataError : the run was begun with other settings or another model, or the loss is no longer finite.
    SystemExit : after SIGINT or SIGTERM, when latest.pt has been written (status 130 or 143).
    """
    _make_folder(run_dir)
    torch.set_num_threads(settings.threads)
    keep = {"settings": (run_settings or settings).model_dump(mode="json"), "provenance": provenance}
    run = _Run(model, settings)
    _resume(run, run_dir / "latest.pt", keep["settings"])
    write_settings(run_settings or settings, run_dir / "settings.json")
    limit_s = math.inf if time_limit_s is None else time_limit_s
    batches = prefetch(batch_at, run.step, settings.steps)
    with _stop_signals() as stop, closing(batches), TrainingLog(run_dir / "log.jsonl", settings, run.step) as log:
        model.train()
        while run.step < settings.steps and run.elapsed_s < limit_s:
            _timed_step(run, batches, loss_of)
            if stop:
                _save(run_dir / "latest.pt", run, keep)
                raise SystemExit(128 + stop[0])
            last = run.step == settings.steps or run.elapsed_s >= limit_s
            if last or run.step % settings.log_every_steps == 0:
                log.losses(run.step, run.means, learning_rate_at(run.step - 1, settings), run.elapsed_s)
            if last or run.step % settings.checkpoint_every_steps == 0:
                _save(run_dir / "latest.pt", run, keep)
                _report(run, on_checkpoint, log)
    return _save_final(run_dir / "final.pt", run, keep)


def _timed_step(run: _Run, batches: Iterator[Any], loss_of: Callable[[nn.Module, Any], dict[str, Tensor]]) -> None:
    start = time.perf_counter()
    run.take_step(next(batches), loss_of)
    run.elapsed_s += time.perf_counter() - start


def _optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, settings.beta2))


def _resume(run: _Run, path: Path, settings: dict[str, Any]) -> None:
    if not path.exists():
        return
    checkpoint = load_checkpoint(path)
    if difference := first_difference(settings, checkpoint.settings, _FREE_SETTINGS):
        key, ours, theirs = difference
        raise DataError(
            f"{path} was made with {key} = {theirs!r}, not {ours!r}: choose another run folder or that value"
        )
    run.restore(checkpoint.model_state, checkpoint.training_state, path)


def _save(path: Path, run: _Run, keep: dict[str, Any]) -> None:
    save_checkpoint(path, model_state=run.model.state_dict(), training_state=run.state(), **keep)


def _save_final(path: Path, run: _Run, keep: dict[str, Any]) -> Path:
    state = run.model.state_dict() if run.average is None else run.average
    save_checkpoint(path, model_state=state, training_state={"step": run.step, "elapsed_s": run.elapsed_s}, **keep)
    return path


def _report(run: _Run, on_checkpoint: Callable[[int, nn.Module], dict[str, float]] | None, log: TrainingLog) -> None:
    if on_checkpoint is not None:
        with run.averaged_weights() as model, torch.no_grad():
            log.metrics(run.step, on_checkpoint(run.step, model))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the run folder {folder}: {error.strerror}") from error


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
