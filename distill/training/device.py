"""What a training step runs on: the device, the precision, and how batches get there."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

Batch = TypeVar("Batch")


def training_device() -> torch.device:
    """Return the CUDA device where there is one, the CPU otherwise."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Compute matrix products in `precision`, "float32" or "bfloat16", within the context."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def map_tensors(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """Apply `change` to a tensor, or to those in a (named) tuple, list or dict; anything else stays as it is."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, dict):
        return {key: map_tensors(value, change) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_tensors(value, change) for value in batch))
    if isinstance(batch, tuple | list):
        return type(batch)(map_tensors(value, change) for value in batch)
    return batch


def ready_for(device: torch.device, batch_at: Callable[[int], Batch]) -> Callable[[int], Batch]:
    """Let `batch_at`, which works ahead in its threads, leave its batches where a GPU can fetch them by itself."""
    if device.type != "cuda":
        return batch_at
    return lambda step: map_tensors(batch_at(step), Tensor.pin_memory)


def moved(batch: Batch, device: torch.device) -> Batch:
    """Copy a batch to the device, without waiting for the copy where the batch is pinned."""
    return map_tensors(batch, lambda tensor: tensor.to(device, non_blocking=True))


def parts_of(batch: Any, n_parts: int, batch_size: int) -> list[Any]:
    """Cut a batch into parts of equal size, along the first dimension of its tensors.

    A tensor that does not hold `batch_size` values in that dimension is no list of clips and goes whole to each part.
    """
    if n_parts == 1:
        return [batch]
    size = batch_size // n_parts

    def part(index: int) -> Callable[[Tensor], Tensor]:
        rows = slice(index * size, (index + 1) * size)
        return lambda tensor: tensor[rows] if tensor.ndim and len(tensor) == batch_size else tensor

    return [map_tensors(batch, part(index)) for index in range(n_parts)]
