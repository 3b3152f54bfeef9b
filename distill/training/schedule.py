"""The settings of the training loop, and its schedules."""

import math
from typing import Literal

from pydantic import Field, model_validator

from distill.settings import Settings

# A run may be resumed with other values of these: they do not change what is learnt.
FREE_SETTINGS = frozenset(
    {
        "threads",
        "loading_threads",
        "checkpoint_every_steps",
        "keep_every_steps",
        "log_every_steps",
        "peak_tflops",
        "recompute_activations",
        "sharding",
    }
)


class TrainingSettings(Settings):
    """How long and how fast to learn.

    A batch of ``batch_size`` clips is worked through in ``accumulate_steps`` equal parts, for memory. The weights are
    those of the whole batch where the loss is a mean over clips and no layer looks across them (batch norm does).
    ``precision`` bfloat16 is autocast; weights, optimizer and averages stay float32. ``peak_tflops`` is the device's
    peak at that precision, from its data sheet: with it the log tells which part is used (MFU). ``loading_threads``
    make batches ahead of time: about 600 augmented clips a second each. Each ``keep_every_steps`` the averaged weights
    are kept as step_NNNNNNN.pt, for a curve over steps. ``ema_decay`` None keeps no average of the weights. Of several
    processes each keeps all weights and optimizer state ("none", which is DDP). With ``sharding`` "fsdp" each keeps its
    share of them, and fetches a block's weights when it is due.

    A setting that is added later needs a default that leaves earlier runs what they were: they are resumed with it.
    """

    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    accumulate_steps: int = Field(default=1, gt=0)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    beta2: float = Field(default=0.999, gt=0, lt=1)
    warmup_steps: int = Field(ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    checkpoint_every_steps: int = Field(gt=0)
    keep_every_steps: int | None = Field(default=None, gt=0)
    log_every_steps: int = Field(gt=0)
    seed: int = Field(ge=0)
    threads: int = Field(default=2, gt=0)
    loading_threads: int = Field(default=2, gt=0)
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    sharding: Literal["none", "fsdp"] = "none"
    peak_tflops: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _warm_up_ends_before_the_run(self) -> "TrainingSettings":
        if self.warmup_steps >= self.steps:
            raise ValueError(f"must have fewer warm-up steps ({self.warmup_steps}) than steps ({self.steps})")
        return self

    @model_validator(mode="after")
    def _the_parts_of_a_batch_are_equal(self) -> "TrainingSettings":
        if self.batch_size % self.accumulate_steps:
            parts = f"{self.accumulate_steps} equal parts (accumulate_steps)"
            raise ValueError(f"must have a batch_size that can be cut into {parts}, not {self.batch_size}")
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
