"""The state of a training run: model, optimizer, averaged weights and step, and how one step changes them."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import DataError
from distill.training.device import autocast, moved, parts_of
from distill.training.log import LossMeans
from distill.training.processes import (
    gathered,
    is_first,
    is_sharded,
    keeping_gradients,
    mean_over_processes,
    n_processes,
    own_part,
    process_index,
    sharded_like,
    sharing_gradients,
)
from distill.training.schedule import TrainingSettings, ema_decay_at, learning_rate_at

LossOf = Callable[[nn.Module, Any], dict[str, Tensor]]


class Run:
    """Everything that changes from step to step and that a checkpoint holds. It runs where the model's weights lie."""

    def __init__(
        self,
        model: nn.Module,
        settings: TrainingSettings,
        draws_per_clip: int = 0,
        position_at: Callable[[int], dict[str, Any]] | None = None,
    ) -> None:
        self.model, self.settings, self._draws_per_clip = model, settings, draws_per_clip
        self._position_at = position_at
        self.device = next(model.parameters()).device
        to_lend = settings.sharding != "none" and n_processes() > 1 and is_first()
        self._whole = copy.deepcopy(model).cpu() if to_lend else None
        if settings.compile:
            model.compile()
        self._learner = sharing_gradients(model, settings.sharding)
        self.optimizer = _optimizer(model, settings, self.device)
        self.average = {k: v.detach().clone() for k, v in model.state_dict().items()} if settings.ema_decay else None
        self.step, self.elapsed_s = 0, 0.0
        self.means = LossMeans()
        self._unread: tuple[int, list[str], Tensor] | None = None
        self._since_log_s = self._waited_since_log_s = 0.0

    def take_step(self, batch: Any, loss_of: LossOf) -> None:
        """Learn from one batch. The random state is set from the step, so that `loss_of` may draw from it.

        The losses are read one step late: a GPU would otherwise stand still between two steps.
        """
        self._seed_step()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(self.step, self.settings)
        self.optimizer.zero_grad(set_to_none=True)
        losses = self._add_gradients(batch, loss_of)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self.optimizer.step()
        self._update_average()
        self.read_losses()
        self._unread = (self.step, list(losses), mean_over_processes(torch.stack(list(losses.values()))))
        self.step += 1

    def count_time(self, step_s: float, waited_s: float) -> None:
        """Count the seconds of a step, and those of them in which it waited for its batch."""
        self.elapsed_s += step_s
        self._since_log_s += step_s
        self._waited_since_log_s += waited_s

    def take_waiting_share(self) -> float:
        """Return which share of the steps' time since the last call went into waiting for batches."""
        share = self._waited_since_log_s / max(self._since_log_s, 1e-9)
        self._since_log_s = self._waited_since_log_s = 0.0
        return share

    def _seed_step(self) -> None:
        """Set the random state of every device from the step, and pass over what earlier processes draw from it."""
        torch.manual_seed(self.settings.seed * 1_000_003 + self.step)
        clips_before = process_index() * self.settings.batch_size // n_processes()
        torch.rand(clips_before * self._draws_per_clip)

    def _add_gradients(self, batch: Any, loss_of: LossOf) -> dict[str, Tensor]:
        """Add up the gradients of the batch's parts; returns the means of their losses."""
        n_parts, n_clips = self.settings.accumulate_steps, self.settings.batch_size // n_processes()
        sums: dict[str, Tensor] = {}
        for index, part in enumerate(parts_of(moved(batch, self.device), n_parts, n_clips)):
            is_last = index == n_parts - 1
            with nullcontext() if is_last else keeping_gradients(self._learner):
                with autocast(self.device, self.settings.precision):
                    losses = loss_of(self._learner, part)
                (losses["loss"] / n_parts).backward()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.detach() / n_parts
        return sums

    def read_losses(self) -> None:
        """Add the last step's losses to the means; `DataError` where the loss is not finite."""
        if self._unread is None:
            return
        step, names, losses = self._unread
        self._unread = None
        values = dict(zip(names, losses.tolist(), strict=True))
        if not math.isfinite(values["loss"]):
            raise DataError(f"the loss is {values['loss']} at step {step}: lower learning_rate or check the data")
        self.means.add(values)

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            return
        weight = 1.0 - ema_decay_at(self.step, self.settings.ema_decay)
        for name, value in self.model.state_dict().items():
            average, value = own_part(self.average[name]), own_part(value)
            if value.is_floating_point():
                average.lerp_(value, weight)
            else:
                average.copy_(value)

    def weights(self, *, averaged: bool = False) -> dict[str, Tensor]:
        """Return the weights, or their averages where there are any; whole in the first process, which saves them."""
        return gathered(self.average if averaged and self.average is not None else self.model.state_dict())

    def position(self) -> dict[str, Any]:
        """Where in its data the next step begins; empty where that follows from the step alone."""
        return self._position_at(self.step) if self._position_at is not None else {}

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs beside the weights; `read_losses` must have been called."""
        state = {
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "means": self.means.state(),
            "position": self.position(),
        }
        return gathered(state)

    def restore(self, model_state: dict[str, Tensor], state: dict[str, Any], path: Path) -> None:
        """Go back to what `path` held; `DataError` where it does not fit."""
        try:
            own = self.model.state_dict()
            self.model.load_state_dict({k: sharded_like(v, own.get(k, v)) for k, v in model_state.items()})
            self.optimizer.load_state_dict(self._own_part_of(state["optimizer"]))
            if self.average is not None:
                for name, value in self.average.items():
                    value.copy_(sharded_like(state["average"][name], value))
            self.means = LossMeans(**state["means"])
            self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        except (KeyError, IndexError, TypeError, RuntimeError, ValueError) as error:
            raise DataError(f"{path} does not fit this model: {str(error).splitlines()[0]}") from error

    def _own_part_of(self, optimizer_state: dict[str, Any]) -> dict[str, Any]:
        """This process's part of an optimizer's state; the moments are sharded as their parameters are."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        moments = {
            number: {name: sharded_like(value, parameters[number]) for name, value in of_parameter.items()}
            for number, of_parameter in optimizer_state["state"].items()
        }
        return {**optimizer_state, "state": moments}

    @contextmanager
    def averaged_weights(self) -> Iterator[nn.Module]:
        """Lend the model in evaluation mode, with the averaged weights where there are any.

        Every process must enter; where weights are sharded, only the first is lent the whole model.
        """
        if is_sharded(self.model):
            with self._gathered_model() as model:
                yield model
            return
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

    @contextmanager
    def _gathered_model(self) -> Iterator[nn.Module]:
        weights = self.weights(averaged=True)
        if self._whole is None:
            yield self.model
            return
        self._whole.load_state_dict(weights)
        yield self._whole.to(self.device).eval()
        self._whole.cpu()


def _optimizer(model: nn.Module, settings: TrainingSettings, device: torch.device) -> torch.optim.AdamW:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    betas = (0.9, settings.beta2)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=betas, fused=device.type in ("cuda", "cpu"))
