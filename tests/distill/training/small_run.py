"""The settings and the batches of a training run of a second."""

import torch
from torch import Tensor

from distill.training.schedule import TrainingSettings

SETTINGS = TrainingSettings(
    steps=20,
    batch_size=8,
    learning_rate=0.01,
    warmup_steps=4,
    checkpoint_every_steps=5,
    log_every_steps=3,
    seed=1,
    threads=1,
)


def batch_at(step: int) -> tuple[Tensor, Tensor]:
    """Eight rows of six random numbers, and the sum of each row."""
    inputs = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
    return inputs, inputs.sum(1, keepdim=True)
