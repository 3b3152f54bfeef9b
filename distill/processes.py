"""The only place that knows that a run may be spread over several processes, one per GPU, which torchrun started."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from core.errors import SettingsError

_control: distributed.ProcessGroup | None = None


@contextmanager
def joined() -> Iterator[None]:
    """Join the other processes where torchrun started several; alone, do nothing.

    Gradients travel by NCCL between GPUs and by Gloo between CPUs; what processes agree on always by Gloo, so that no
    GPU waits for it.
    """
    global _control
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
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


def sharing_gradients(model: nn.Module) -> nn.Module:
    """Let `model` take the mean of all processes' gradients in its backward pass."""
    return model if _control is None else DistributedDataParallel(model)


def keeping_gradients(model: nn.Module) -> AbstractContextManager[None]:
    """Within it, forward and backward passes add to this process's own gradients and share nothing."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()
