"""The student network: raw PCM to embedding, event logits and cough activity."""

from pathlib import Path
from typing import Literal, NamedTuple, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import DataError
from core.interpreter import EMBEDDING_SIZE
from distill.checkpoints import Checkpoint, load_checkpoint
from distill.corpus.labels import EVENT_LABELS, N_ACTIVITY_FRAMES
from distill.models.phone_front_end import MEL_MIN_HZ, N_FRAMES, N_MELS, PhoneFrontEnd
from distill.settings import Settings

_SQUARE_SCALE = 1 / 6  # activations are 0 to 6: squares then have the range of means


class StudentSettings(Settings):
    """Mel bands, and widths and (time, mel) strides of the stages behind the stem, which halves both.

    ``mel_min_hz`` is where the lowest band begins. Hum below it is not heard, but for what the window spreads to 80 Hz
    above itself. ``pooling`` "mean_square" gives the embedding each channel's mean square beside its mean, so that a
    short event counts for more than its share of the clip. The defaults are those of the first student;
    `distill/configs` holds the sizes nano, small and base. XNNPACK computes eight int8 channels at a time: widths that
    are no multiples of eight cost more than they give.
    """

    n_mels: int = Field(default=N_MELS, ge=16, le=N_MELS, multiple_of=8)
    mel_min_hz: float = Field(default=MEL_MIN_HZ, ge=20, le=1_000)
    stem_channels: PositiveInt = 16
    channels: tuple[PositiveInt, ...] = Field(default=(24, 40, 40, 80, 80), min_length=1)
    expanded_channels: tuple[PositiveInt, ...] = (64, 96, 120, 160, 192)
    strides: tuple[tuple[Literal[1, 2], Literal[1, 2]], ...] = ((1, 2), (2, 2), (1, 1), (1, 2), (1, 1))
    pooled_channels: PositiveInt = 192
    pooling: Literal["mean", "mean_square"] = "mean"

    @model_validator(mode="after")
    def _stages_agree(self) -> Self:
        n_stages = {len(self.channels), len(self.expanded_channels), len(self.strides)}
        if len(n_stages) > 1:
            raise ValueError(
                f"channels, expanded_channels and strides describe the same stages but have {len(self.channels)}, "
                f"{len(self.expanded_channels)} and {len(self.strides)} entries"
            )
        n_steps, _ = self.final_shape()
        if N_ACTIVITY_FRAMES % n_steps:
            raise ValueError(f"{n_steps} time steps are left; they must divide {N_ACTIVITY_FRAMES} activity frames")
        return self

    def final_shape(self) -> tuple[int, int]:
        """Time steps and bands that the strides leave."""
        n_steps, n_bands = -(-N_FRAMES // 2), -(-self.n_mels // 2)
        for time_stride, mel_stride in self.strides:
            n_steps, n_bands = -(-n_steps // time_stride), -(-n_bands // mel_stride)
        return n_steps, n_bands


class StudentOutputs(NamedTuple):
    """``embedding`` (batch, 512); ``event_logits`` (batch, 8); ``activity_logits`` (batch, 50), one each 40 ms."""

    embedding: Tensor
    event_logits: Tensor
    activity_logits: Tensor


def _convolution(n_in: int, n_out: int, kernel: int, stride: tuple[int, int], *, active: bool = True) -> nn.Sequential:
    layers = [
        nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(n_out),
    ]
    return nn.Sequential(*layers, nn.ReLU6()) if active else nn.Sequential(*layers)


class FusedBlock(nn.Module):
    """3x3 expansion and 1x1 projection, with a residual where the shape stays (fused MBConv, Gupta and Akin 2020)."""

    def __init__(self, n_in: int, n_expanded: int, n_out: int, stride: tuple[int, int]):
        super().__init__()
        self.expand = _convolution(n_in, n_expanded, 3, stride)
        self.project = _convolution(n_expanded, n_out, 1, (1, 1), active=False)
        self.has_residual = stride == (1, 1) and n_in == n_out

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, n_in, time, mel) to (batch, n_out, time / stride, mel / stride)."""
        projected = self.project(self.expand(features))
        return features + projected if self.has_residual else projected


class Body(nn.Module):
    """The part that is quantized: features (batch, 1, 100, n_mels) to the three outputs."""

    def __init__(self, settings: StudentSettings):
        super().__init__()
        self.stem = _convolution(1, settings.stem_channels, 3, (2, 2))
        widths = (settings.stem_channels, *settings.channels)
        self.blocks = nn.Sequential(
            *(
                FusedBlock(n_in, n_expanded, n_out, stride)
                for n_in, n_expanded, n_out, stride in zip(
                    widths[:-1], settings.expanded_channels, settings.channels, settings.strides, strict=True
                )
            )
        )
        self.widen = _convolution(widths[-1], settings.pooled_channels, 1, (1, 1))
        n_steps, n_bands = settings.final_shape()
        self.activity = nn.Conv2d(settings.pooled_channels, N_ACTIVITY_FRAMES // n_steps, (1, n_bands))
        self.has_squares = settings.pooling == "mean_square"
        self.embedding = nn.Linear(settings.pooled_channels * (1 + self.has_squares), EMBEDDING_SIZE)
        self.events = nn.Linear(EMBEDDING_SIZE, len(EVENT_LABELS))

    def forward(self, features: Tensor) -> StudentOutputs:
        """Map log-mel features to embedding, event logits and activity logits."""
        maps = self.widen(self.blocks(self.stem(features)))
        activity = self.activity(maps).permute(0, 2, 3, 1).reshape(-1, N_ACTIVITY_FRAMES)
        pooled = F.adaptive_avg_pool2d(maps, 1)
        if self.has_squares:
            pooled = torch.cat([pooled, F.adaptive_avg_pool2d(maps * maps, 1) * _SQUARE_SCALE], dim=1)
        embedding = self.embedding(pooled.flatten(1))
        return StudentOutputs(embedding, self.events(embedding), activity)


class Student(nn.Module):
    """Raw PCM in; embedding, event logits and cough activity out."""

    def __init__(self, settings: StudentSettings | None = None):
        super().__init__()
        self.settings = settings or StudentSettings()
        self.front_end = PhoneFrontEnd(self.settings.n_mels, self.settings.mel_min_hz)
        self.body = Body(self.settings)

    def forward(self, waveform: Tensor) -> StudentOutputs:
        """Map waveforms (batch, 32000), float32 at 16 kHz in [-1, 1], to the three outputs."""
        return self.body(self.front_end(waveform))


def load_student(path: Path) -> Student:
    """Read the student that a distillation checkpoint holds; see `build_student`."""
    return build_student(load_checkpoint(path), path)


def build_student(checkpoint: Checkpoint, path: Path) -> Student:
    """Build the student of a checkpoint that was read from `path`, in evaluation mode; otherwise `DataError`."""
    try:
        student = Student(StudentSettings(**checkpoint.settings["student"]))
        state = {
            name.removeprefix("student."): value
            for name, value in checkpoint.model_state.items()
            if name.startswith("student.")
        }
        student.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{path} does not hold a student of this architecture: {str(error).splitlines()[0]}") from error
    if not all(torch.isfinite(value).all() for value in state.values()):
        raise DataError(f"{path} holds weights that are not finite")
    return student.eval()
