"""The only place that says what this machine can do at best: large convolutions through the same runtime."""

from dataclasses import dataclass

import numpy as np

from benchmarks.timing.interleaved import Contender
from benchmarks.timing.models import load_plain
from benchmarks.timing.pcen_detector import to_float, to_int8
from quantize.tflite_graph import read_operators

N_LAYERS = 4
FLOAT, INT8 = "float32", "int8"


@dataclass(frozen=True)
class PeakShape:
    """A stack of equal convolutions, so large that all else is lost beside them and small enough for the cache."""

    kernel: int
    channels: int
    height: int
    width: int

    @property
    def name(self) -> str:
        """What it is, for the table."""
        return f"{self.kernel}x{self.kernel} convolution, {self.channels} channels, {self.height} x {self.width}"


SHAPES = (PeakShape(1, 256, 16, 16), PeakShape(1, 512, 8, 12), PeakShape(3, 96, 12, 12), PeakShape(3, 128, 12, 12))


@dataclass(frozen=True)
class PeakModel:
    """A model whose speed may be the machine's best, in ``precision`` "float32" or "int8", of ``macs`` a run."""

    precision: str
    macs: int
    contender: Contender


def load_peak_models(threads: int, shapes: tuple[PeakShape, ...] = SHAPES) -> list[PeakModel]:
    """Build, convert and quantize every shape, with random weights, in both precisions."""
    return [model for shape in shapes for model in _load_shape(shape, threads)]


def _load_shape(shape: PeakShape, threads: int) -> list[PeakModel]:
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(N_LAYERS):
        layers += [nn.Conv2d(shape.channels, shape.channels, shape.kernel, padding=shape.kernel // 2), nn.ReLU6()]
    its_input = (shape.channels, shape.height, shape.width)
    float_model = to_float(nn.Sequential(*layers), (1, *its_input))
    noise = np.random.default_rng(0).standard_normal((2, *its_input)).astype(np.float32)
    return [
        PeakModel(precision, count_macs(content), load_plain(content, f"{shape.name}, {precision}", threads))
        for precision, content in ((FLOAT, float_model), (INT8, to_int8(float_model, noise)))
    ]


def count_macs(model: bytes) -> int:
    """Multiply-accumulates of one run of a .tflite model, counted from its graph."""
    return sum(operator.macs for operator in read_operators(model))
