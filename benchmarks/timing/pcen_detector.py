"""Builds a peer from its public description, MobileNetV3-Small on PCEN, and makes TFLite models of torch modules."""

import math
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.audio import SAMPLE_RATE_HZ
from distill.models.hear_front_end import (
    FRAME_SAMPLES,
    MEL_MAX_HZ,
    PCEN_ALPHA,
    PCEN_DELTA,
    PCEN_FLOOR,
    cut_frames,
    smoothing_matrix,
)
from distill.models.phone_front_end import dft_weights, hann_window, mel_weights
from quantize.conversion import quiet
from quantize.recipe import OperatorConfig, QuantizerEntry, TensorConfig

N_MELS = 48
N_EVENTS = 8
HEAD_CHANNELS = 576
SQUEEZE = 4
_SIGNATURE, _INPUT = "serving_default", "args_0"
_WEIGHTS = TensorConfig(num_bits=8, symmetric=True, granularity="CHANNELWISE", dtype="INT")
_ACTIVATIONS = TensorConfig(num_bits=8, symmetric=False, granularity="TENSORWISE", dtype="INT")


class Bottleneck(NamedTuple):
    """A row of the table in Howard et al. 2019 (arXiv:1905.02244, table 2)."""

    kernel: int
    expanded: int
    n_out: int
    squeezes: bool
    activation: type[nn.Module]
    stride: int


BOTTLENECKS = (
    Bottleneck(3, 16, 16, True, nn.ReLU, 2),
    Bottleneck(3, 72, 24, False, nn.ReLU, 2),
    Bottleneck(3, 88, 24, False, nn.ReLU, 1),
    Bottleneck(5, 96, 40, True, nn.Hardswish, 2),
    Bottleneck(5, 240, 40, True, nn.Hardswish, 1),
    Bottleneck(5, 240, 40, True, nn.Hardswish, 1),
    Bottleneck(5, 120, 48, True, nn.Hardswish, 1),
    Bottleneck(5, 144, 48, True, nn.Hardswish, 1),
    Bottleneck(5, 288, 96, True, nn.Hardswish, 2),
    Bottleneck(5, 576, 96, True, nn.Hardswish, 1),
    Bottleneck(5, 576, 96, True, nn.Hardswish, 1),
)


class PcenFrontEnd(nn.Module):
    """PCEN of a 48-band mel spectrogram, 200 frames: what the released event detectors take.

    Cheaper than their own graph, in the peer's favour: only the DFT bins inside a mel filter, framing without a copy
    for each frame, the smoother as one matrix, and the power 0.8 as a product of logarithms.
    """

    def __init__(self) -> None:
        super().__init__()
        bins = np.arange(1, FRAME_SAMPLES // 2)
        mel = mel_weights(bins * SAMPLE_RATE_HZ / FRAME_SAMPLES, N_MELS, 0.0, MEL_MAX_HZ)
        dft = np.concatenate(dft_weights(bins)) * hann_window()
        matrices = {"dft": dft, "mel": np.concatenate([mel, mel]).T, "smoother": smoothing_matrix()}
        for name, matrix in matrices.items():
            self.register_buffer(name, torch.tensor(np.ascontiguousarray(matrix), dtype=torch.float32))

    def forward(self, waveform: Tensor) -> Tensor:
        """Map a waveform (batch, 32000) to PCEN (batch, 1, 200, 48)."""
        spectrum = F.linear(cut_frames(waveform), self.dft)
        energy = F.linear(spectrum * spectrum, self.mel)
        smooth = torch.matmul(self.smoother, energy)
        gained = energy * torch.exp(-PCEN_ALPHA * torch.log(smooth + PCEN_FLOOR))
        return (torch.sqrt(gained + PCEN_DELTA) - math.sqrt(PCEN_DELTA)).unsqueeze(1)


class Squeeze(nn.Module):
    """Squeeze-and-excite with a quarter of the channels and a hard sigmoid."""

    def __init__(self, channels: int):
        super().__init__()
        narrow = max(8, int(channels / SQUEEZE + 4) // 8 * 8)
        self.reduce = nn.Conv2d(channels, narrow, 1)
        self.expand = nn.Conv2d(narrow, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Scale each channel of (batch, channels, time, mel)."""
        pooled = F.adaptive_avg_pool2d(maps, 1)
        return maps * F.hardsigmoid(self.expand(F.relu(self.reduce(pooled))))


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, squeeze where the table says so, projection, and a residual."""

    def __init__(self, n_in: int, row: Bottleneck):
        super().__init__()
        layers = [] if row.expanded == n_in else [*_normed(n_in, row.expanded, 1), row.activation()]
        layers += [*_normed(row.expanded, row.expanded, row.kernel, row.stride, row.expanded), row.activation()]
        layers += [Squeeze(row.expanded)] if row.squeezes else []
        self.layers = nn.Sequential(*layers, *_normed(row.expanded, row.n_out, 1))
        self.has_residual = row.stride == 1 and n_in == row.n_out

    def forward(self, maps: Tensor) -> Tensor:
        """Map (batch, n_in, time, mel) to (batch, n_out, time / stride, mel / stride)."""
        return maps + self.layers(maps) if self.has_residual else self.layers(maps)


def _normed(n_in: int, n_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(n_out)]


class MobileNetV3Detector(nn.Module):
    """MobileNetV3-Small, alpha 1.0, over 200 x 48 PCEN, with eight independent sigmoids: 0.94 million parameters.

    Without the 1024-wide layer that ImageNet's version has before its classes, which the released detector's
    one million parameters have no room for. Weights are random: only its cost is of interest.
    """

    def __init__(self) -> None:
        super().__init__()
        self.front_end = PcenFrontEnd()
        blocks, n_in = [], 16
        for row in BOTTLENECKS:
            blocks.append(InvertedResidual(n_in, row))
            n_in = row.n_out
        stem = [*_normed(1, 16, 3, 2), nn.Hardswish()]
        self.body = nn.Sequential(*stem, *blocks, *_normed(n_in, HEAD_CHANNELS, 1), nn.Hardswish())
        self.events = nn.Linear(HEAD_CHANNELS, N_EVENTS)

    def forward(self, waveform: Tensor) -> Tensor:
        """Map a waveform (1, 32000) to eight probabilities (1, 8)."""
        maps = self.body(self.front_end(waveform))
        return torch.sigmoid(self.events(F.adaptive_avg_pool2d(maps, 1).flatten(1)))


def to_float(module: nn.Module, shape: tuple[int, ...]) -> bytes:
    """Convert a module of one input of `shape`; the content of a float32 .tflite file."""
    with quiet(), tempfile.TemporaryDirectory() as folder:
        import litert_torch

        path = Path(folder) / "model.tflite"
        litert_torch.convert(module.eval(), (torch.zeros(shape),)).export(str(path))
        return path.read_bytes()


def to_int8(float_model: bytes, inputs: np.ndarray | None, layers: str = ".*") -> bytes:
    """Quantize operators whose layer matches `layers`: statically over `inputs` (n, *shape), or dynamically without.

    One scale per output channel of the weights. Dynamic means that activations stay float32 between operators and are
    rounded by their own range inside them.
    """
    from ai_edge_quantizer.quantizer import Quantizer

    tensors = {"activation_tensor_config": None if inputs is None else _ACTIVATIONS, "weight_tensor_config": _WEIGHTS}
    config = OperatorConfig(**tensors, compute_precision="INTEGER")
    entry = QuantizerEntry(regex=layers, operation="*", algorithm_key="min_max_uniform_quantize", op_config=config)
    with quiet():
        quantizer = Quantizer(bytearray(float_model), [entry.model_dump(exclude={"comment"}, exclude_none=True)])
        ranges = None
        if inputs is not None:
            ranges = quantizer.calibrate({_SIGNATURE: [{_INPUT: clip[None]} for clip in inputs]}, num_threads=1)
        return bytes(quantizer.quantize(ranges).quantized_model)
