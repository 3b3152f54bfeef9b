"""Trains a student with int8's rounding in it and puts its weights on int8's grid."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import DataError
from distill.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from distill.models.student import Body, FusedBlock, Student, StudentOutputs
from distill.settings import Settings
from distill.training.device import autocast

WEIGHT_LEVELS = 127
LOWEST, HIGHEST = -128, 127
SMALLEST_BOUND = 1e-9
RANGES_PREFIX = "activation_ranges."


class QuantizationAwareSettings(Settings):
    """How a trained student is tuned to int8.

    ``from_sha256`` names the checkpoint it starts from. ``range_momentum`` is the part of an activation's range that a
    step keeps. The others weigh how far the rounded student is from the one it started from: one minus the cosine of
    the embeddings, cross-entropy of the event and of the activity probabilities.
    """

    from_sha256: str = ""
    range_momentum: float = Field(default=0.98, ge=0, lt=1)
    embedding: float = Field(default=10.0, ge=0)
    events: float = Field(default=1.0, ge=0)
    activity: float = Field(default=1.0, ge=0)


def on_weight_grid(weight: Tensor) -> Tensor:
    """Round weights (n_out, ...) to 127 steps up to each channel's largest; the gradient ignores the rounding."""
    scale = weight.detach().abs().flatten(1).amax(dim=1).clamp(min=SMALLEST_BOUND) / WEIGHT_LEVELS
    zero = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -WEIGHT_LEVELS, WEIGHT_LEVELS)


def activation_grid(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and zero point for activations from `low` <= 0 to `high` >= 0, as ai-edge-quantizer chooses them."""
    scale = (high - low).clamp(min=SMALLEST_BOUND) / (HIGHEST - LOWEST)
    return scale, (LOWEST - low / scale).round().to(torch.int32)


class ActivationRange(nn.Module):
    """Rounds an activation to 256 levels of a range that follows the batches' smallest and largest values."""

    def __init__(self, momentum: float):
        super().__init__()
        self.momentum = momentum
        for name in ("low", "high", "has_seen"):
            self.register_buffer(name, torch.zeros(()))

    def forward(self, activation: Tensor) -> Tensor:
        """Round (batch, ...); in training mode the range is updated first."""
        if self.training:
            self._see(activation.detach())
        scale, zero = activation_grid(self.low, self.high)
        return torch.fake_quantize_per_tensor_affine(activation, scale, zero, LOWEST, HIGHEST)

    @torch.no_grad()
    def _see(self, activation: Tensor) -> None:
        weight = 1.0 - self.momentum * self.has_seen
        self.low += weight * (activation.amin().clamp(max=0.0).float() - self.low)
        self.high += weight * (activation.amax().clamp(min=0.0).float() - self.high)
        self.has_seen.fill_(1.0)


class FoldedConvolution(nn.Conv2d):
    """A convolution with its batch norm folded in and its output rounded; the weights too, where they will be int8."""

    def __init__(self, layer: nn.Sequential, momentum: float, *, rounds_weights: bool):
        convolution, norm = layer[0], layer[1]
        super().__init__(
            convolution.in_channels,
            convolution.out_channels,
            convolution.kernel_size,
            convolution.stride,
            convolution.padding,
        )
        gain = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
        self.weight.data = convolution.weight.detach() * gain[:, None, None, None]
        self.bias.data = norm.bias.detach() - norm.running_mean * gain
        self.is_active, self.rounds_weights = len(layer) > 2, rounds_weights
        self.output_range = ActivationRange(momentum)

    def baked_weight(self) -> Tensor:
        """The weights as they compute."""
        return on_weight_grid(self.weight) if self.rounds_weights else self.weight

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, n_in, time, mel) to (batch, n_out, time / stride, mel / stride)."""
        result = self._conv_forward(features, self.baked_weight(), self.bias)
        return self.output_range(F.relu6(result) if self.is_active else result)


class RoundedLinear(nn.Linear):
    """A linear layer with int8 weights whose input is rounded by each clip's own range, as dynamic int8 runs it."""

    def __init__(self, layer: nn.Linear):
        super().__init__(layer.in_features, layer.out_features)
        self.load_state_dict(layer.state_dict())

    def baked_weight(self) -> Tensor:
        """The weights as they compute."""
        return on_weight_grid(self.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, n_in) to (batch, n_out)."""
        low, high = features.detach().amin(dim=1).clamp(max=0.0), features.detach().amax(dim=1).clamp(min=0.0)
        scale, zero = activation_grid(low, high)
        rounded = torch.fake_quantize_per_channel_affine(features, scale, zero, 0, LOWEST, HIGHEST)
        return F.linear(rounded, self.baked_weight(), self.bias)


def with_int8_rounding(student: Student, momentum: float) -> Student:
    """Copy a student with int8's rounding where quantize/recipes puts it: blocks, widening and embedding layer.

    The stem, the pooling and the other heads compute in float; the stem's output is rounded on its way into the blocks.
    """
    body = (rounded := copy.deepcopy(student)).body
    body.stem = FoldedConvolution(body.stem, momentum, rounds_weights=False)
    body.widen = FoldedConvolution(body.widen, momentum, rounds_weights=True)
    for block in body.blocks:
        block.expand = FoldedConvolution(block.expand, momentum, rounds_weights=True)
        block.project = FoldedConvolution(block.project, momentum, rounds_weights=True)
        if block.has_residual:
            block.sum_range = ActivationRange(momentum)
            block.register_forward_hook(_round_sum)
    body.embedding = RoundedLinear(body.embedding)
    return rounded


def _round_sum(block: FusedBlock, _: Any, features: Tensor) -> Tensor:
    return block.sum_range(features)


def activation_ranges(body: Body) -> Iterator[tuple[str, ActivationRange]]:
    """The ranges by the path of their layer in the body: ``stem``, ``blocks.0.expand``, ``blocks.2`` (a sum), ..."""
    for path, module in body.named_modules():
        if isinstance(module, ActivationRange):
            yield path.rpartition(".")[0], module


@torch.no_grad()
def bake(rounded: Student) -> Student:
    """Make a plain student whose weights lie on the int8 grid; its batch norms only add the biases."""
    student = Student(rounded.settings).eval()
    for path, module in rounded.body.named_modules():
        if isinstance(module, FoldedConvolution):
            convolution, norm = student.body.get_submodule(path)[:2]
            convolution.weight.copy_(module.baked_weight())
            norm.bias.copy_(module.bias)
            norm.running_var.fill_(1.0 - norm.eps)  # a new norm's mean is 0 and its weight 1
        elif isinstance(module, RoundedLinear):
            student.body.get_submodule(path).load_state_dict({"weight": module.baked_weight(), "bias": module.bias})
        elif isinstance(module, nn.Linear | nn.Conv2d):
            student.body.get_submodule(path).load_state_dict(module.state_dict())
    return student


class QuantizationAware(nn.Module):
    """A distilled student (``student`` and ``teacher_head``) that learns with int8's rounding, beside what it was.

    `distilled` gives ``outputs(batch)`` and ``losses_of(outputs, batch, weights)``, as
    `distill.distillation.distill_student.DistilledStudent` does; its student is replaced by the rounded one.
    """

    def __init__(self, distilled: nn.Module, settings: QuantizationAwareSettings):
        super().__init__()
        self.settings = settings
        self.reference = copy.deepcopy(distilled.student).requires_grad_(False).eval()
        distilled.student = with_int8_rounding(distilled.student, settings.range_momentum)
        self.distilled = distilled

    @property
    def student(self) -> Student:
        """The rounded student."""
        return self.distilled.student

    def train(self, mode: bool = True) -> "QuantizationAware":
        """Switch the rounded student; the reference stays in evaluation mode."""
        super().train(mode)
        self.reference.eval()
        return self

    def losses(self, batch: Any, weights: Any) -> dict[str, Tensor]:
        """The losses of distillation, and how far the outputs are from the reference's; "loss" is the weighted sum.

        In float32 always: bfloat16's own steps are as wide as int8's.
        """
        with autocast(batch.waveform.device, "float32"):
            outputs = self.distilled.outputs(batch)
            parts = self.distilled.losses_of(outputs, batch, weights)
            with torch.no_grad():
                expected = self.reference(batch.waveform)
            drift = drift_losses(outputs, expected)
        total = parts["loss"] + sum(getattr(self.settings, name) * value for name, value in drift.items())
        return {**parts, **{f"drift_{name}": value for name, value in drift.items()}, "loss": total}


def drift_losses(outputs: StudentOutputs, expected: StudentOutputs) -> dict[str, Tensor]:
    """Distance of outputs from expected ones, by name: embedding, events and activity."""
    cosine = F.cosine_similarity(outputs.embedding, expected.embedding, dim=1)
    return {
        "embedding": (1.0 - cosine).mean(),
        "events": F.binary_cross_entropy_with_logits(outputs.event_logits, expected.event_logits.sigmoid()),
        "activity": F.binary_cross_entropy_with_logits(outputs.activity_logits, expected.activity_logits.sigmoid()),
    }


def start_from(distilled: nn.Module, checkpoint: Path) -> nn.Module:
    """Give a distilled student the weights of `checkpoint`, of the head for the teacher too where that has its size.

    Raises
    ------
    DataError
        If the checkpoint holds another student; `distill.models.student.load_student` says the rest.
    """
    state = load_checkpoint(checkpoint).model_state
    own = distilled.state_dict()
    fitting = {name: value for name, value in state.items() if name in own and value.shape == own[name].shape}
    absent = [name for name in own if name.startswith("student.") and name not in fitting]
    if absent:
        raise DataError(f"{checkpoint} does not hold a student of this architecture: it lacks {absent[0]}")
    distilled.load_state_dict(fitting, strict=False)
    return distilled


def bake_checkpoint(final: Path, model: QuantizationAware) -> None:
    """Replace final.pt of a quantization-aware run by a checkpoint of a plain student and its activations' ranges."""
    trained = load_checkpoint(final)
    model.load_state_dict(trained.model_state)
    weights = {f"student.{name}": value for name, value in bake(model.student).state_dict().items()}
    ranges = activation_ranges(model.student.body)
    learnt = {f"{RANGES_PREFIX}{path}": torch.stack([bounds.low, bounds.high]) for path, bounds in ranges}
    save_checkpoint(final, **{**vars(trained), "model_state": weights | learnt})


def learnt_ranges(checkpoint: Checkpoint) -> dict[str, tuple[float, float]]:
    """Lowest and highest value of each activation by its layer's path; empty for a student trained without rounding."""
    return {
        name.removeprefix(RANGES_PREFIX): (float(bounds[0]), float(bounds[1]))
        for name, bounds in checkpoint.model_state.items()
        if name.startswith(RANGES_PREFIX)
    }
