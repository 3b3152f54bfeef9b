"""Spreads a training run over several processes, one per GPU, which torchrun started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from core.errors import SettingsError
from distill.training.device import map_tensors

_control: distributed.ProcessGroup | None = None


@contextmanager
def joined() -> Iterator[None]:
    """Join the other processes where torchrun started several; alone, do nothing.

    Gradients travel by NCCL between GPUs and by Gloo between CPUs; what processes agree on always by Gloo, so that no
    GPU waits for it.
    """
    global _control
    if _n_started() == 1:
        yield
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    _control = distributed.new_group(backend="gloo")
    try:
        yield
    finally:
        _control = None
        distributed.destroy_process_group()


def _n_started() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def check_alone(what: str) -> None:
    """Refuse with a `SettingsError` to be one of several processes that torchrun started."""
    if (n_started := _n_started()) > 1:
        raise SettingsError(f"{what} runs in one process, not in {n_started}: start it without torchrun")


def n_processes() -> int:
    """Count the processes of this run; 1 outside `joined`."""
    return distributed.get_world_size() if _control is not None else 1


def process_index() -> int:
    """Return which of the processes this is, from 0."""
    return distributed.get_rank() if _control is not None else 0


def is_first() -> bool:
    """Whether this is the process that writes files and speaks."""
    return process_index() == 0


def check_shares(batch_size: int, accumulate_steps: int) -> None:
    """Refuse with a `SettingsError` a batch that cannot be cut into as many equal parts as the processes need."""
    if batch_size % (n_processes() * accumulate_steps):
        raise SettingsError(
            f"a batch_size of {batch_size} cannot be shared by {n_processes()} processes with accumulate_steps = "
            f"{accumulate_steps}: choose a multiple of {n_processes() * accumulate_steps}"
        )


def agreed(*values: float) -> list[float]:
    """Return the greatest value of any process, for each of `values`; every process must call it as often."""
    if _control is None:
        return list(values)
    greatest = torch.tensor(values, dtype=torch.float64)
    distributed.all_reduce(greatest, distributed.ReduceOp.MAX, group=_control)
    return greatest.tolist()


def mean_over_processes(values: Tensor) -> Tensor:
    """Return the mean of each process's `values`."""
    if _control is None:
        return values
    total = values.clone()
    distributed.all_reduce(total)
    return total / n_processes()


def sharing_gradients(model: nn.Module, sharding: str) -> nn.Module:
    """Let `model` take the mean of all processes' gradients in its backward pass; all begin with the first's weights.

    With `sharding` "fsdp" its weights are split over the processes, in place, and so are gradients and optimizer state.
    Each block of a ``ModuleList`` is fetched by itself when it is due, what lies outside blocks for the whole pass.
    Weights travel in float32, gradients are added up in it, and autocast rounds as in a process that holds them all. So
    the numbers are those of "none".
    """
    if _control is None:
        return model
    if sharding == "none":
        return DistributedDataParallel(model)
    for tensor in (*model.parameters(), *model.buffers()):
        distributed.broadcast(tensor.detach(), 0)
    for blocks in reversed([module for module in model.modules() if isinstance(module, nn.ModuleList)]):
        for block in blocks:
            fully_shard(block)
    return fully_shard(model)


@contextmanager
def keeping_gradients(model: nn.Module) -> Iterator[None]:
    """Within it, forward and backward passes add to this process's own gradients and share nothing."""
    if isinstance(model, DistributedDataParallel):
        with model.no_sync():
            yield
    elif isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(False)
        yield
        model.set_requires_gradient_sync(True)
    else:
        yield


def is_sharded(model: nn.Module) -> bool:
    """Whether this process holds a part of the model's weights only."""
    return isinstance(model, FSDPModule)


def own_part(tensor: Tensor) -> Tensor:
    """Return what this process holds of a tensor, without a copy: all, where it is not sharded."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def gathered(values: Any) -> Any:
    """Give the first process, on the CPU, whole tensors for sharded ones, in (nested) dicts, lists and tuples.

    Every process must call it. The others get tensors of no use; what is not sharded stays as it is.
    """

    def whole(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, DTensor):
            return tensor
        gathered_tensor = tensor.full_tensor()  # one at a time, so that no device holds the whole model
        return gathered_tensor.cpu() if is_first() else gathered_tensor.new_empty(0)

    return map_tensors(values, whole)


def sharded_like(whole: Tensor, model: Tensor) -> Tensor:
    """Return this process's part of a whole tensor, sharded as `model` is; the tensor itself where that is not."""
    if not isinstance(model, DTensor) or whole.shape != model.shape:
        return whole
    return distribute_tensor(whole.to(model.device), model.device_mesh, model.placements, src_data_rank=None)
