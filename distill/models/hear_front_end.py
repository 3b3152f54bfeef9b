"""The teacher's front end: HeAR's mel spectrogram with PCEN, computed without a loop over frames."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_SAMPLES
from distill.models.phone_front_end import hz_to_mel

# Constants of HeAR's public preprocessing code (Apache-2.0); its vectors are in tests/data/hear_front_end.npz.
FRAME_SAMPLES = 400
HOP_SAMPLES = 160
N_FRAMES = CLIP_SAMPLES // HOP_SAMPLES
N_BINS = FRAME_SAMPLES // 2 + 1
N_MELS = 128
MEL_MAX_HZ = 8_000.0
IMAGE_SHAPE = (192, N_MELS)

PCEN_ALPHA = 0.8
PCEN_SMOOTHING = 0.04
PCEN_DELTA = 2.0
PCEN_ROOT = 2.0
PCEN_FLOOR = 1e-8
SCALING_FLOOR = 1e-8


def hear_mel_weights() -> Tensor:
    """Triangles of unit peak, linear on the HTK mel scale, shape (201, 128), float32; the DC bin is zero.

    Computed in float32, in the order of HeAR's code. Rounded otherwise, bins that fall on a band's edge get weights of
    1e-5. PCEN turns these into 3e-4 where a band holds nothing else. Four bands lie between two bins and are empty.
    """
    bins = hz_to_mel(torch.linspace(0.0, SAMPLE_RATE_HZ / 2, N_BINS))[:, None]
    edges = torch.linspace(0.0, hz_to_mel(torch.tensor(MEL_MAX_HZ)).item(), N_MELS + 2)
    low, center, high = edges[:-2], edges[1:-1], edges[2:]
    weights = torch.minimum((bins - low) / (center - low), (high - bins) / (high - center)).clamp(min=0.0)
    weights[0] = 0.0
    return weights


def smoothing_matrix() -> np.ndarray:
    """Matrix that applies PCEN's smoother to all frames at once, shape (200, 200), float64, lower triangular.

    Row t holds the weights of frames 0..t in ``M[t] = (1 - s) M[t - 1] + s E[t]`` with ``M[0] = E[0]``.
    """
    t = np.arange(N_FRAMES)
    lag = t[:, None] - t
    weights = np.where(lag >= 0, PCEN_SMOOTHING * (1.0 - PCEN_SMOOTHING) ** np.maximum(lag, 0), 0.0)
    weights[:, 0] = (1.0 - PCEN_SMOOTHING) ** t
    return weights


def resizing_matrix() -> Tensor:
    """Matrix that resizes the 200 frames to the image's 192 bilinearly, shape (192, 200), float32.

    Its weights carry torch's rounding of positions between frames, up to 2e-5, as HeAR's images do.
    """
    frames = torch.eye(N_FRAMES)[None, None]
    return F.interpolate(frames, (IMAGE_SHAPE[0], N_FRAMES), mode="bilinear", align_corners=False)[0, 0]


def dft_matrix() -> np.ndarray:
    """Periodic Hann window times cosines, then sines, of all bins, shape (402, 400), float64."""
    n = np.arange(FRAME_SAMPLES)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / FRAME_SAMPLES)
    angles = 2 * np.pi * (np.arange(N_BINS)[:, None] * n % FRAME_SAMPLES) / FRAME_SAMPLES
    return np.concatenate([np.cos(angles), np.sin(angles)]) * window


class HearFrontEnd(nn.Module):
    """A clip as the image that HeAR's encoder sees: PCEN of a mel spectrogram, time x mel."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(FRAME_SAMPLES, periodic=True), persistent=False)
        self.register_buffer("mel", hear_mel_weights(), persistent=False)
        self.register_buffer("smoother", torch.tensor(smoothing_matrix(), dtype=torch.float32), persistent=False)
        self.register_buffer("resizer", resizing_matrix(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute the image of each clip.

        Parameters
        ----------
        waveform : Tensor, shape (batch, n_samples), float32 at 16 kHz, any gain
            At most 32,000 samples; a shorter one is zero-padded at its end.

        Returns
        -------
        Tensor, shape (batch, 192, 128), float32, time x mel, between 0 and about 5

        Raises
        ------
        ValueError
            If a clip is longer than 2 s.
        """
        if waveform.shape[-1] > CLIP_SAMPLES:
            raise ValueError(f"a clip has at most {CLIP_SAMPLES} samples (2 s at 16 kHz), not {waveform.shape[-1]}")
        padded = F.pad(waveform, (0, CLIP_SAMPLES - waveform.shape[-1]))
        energy = self._mel_energy(cut_frames(_scaled(padded)))
        gained = energy * self._gain(PCEN_FLOOR + self.smoother @ energy)
        pcen = (gained + PCEN_DELTA) ** (1.0 / PCEN_ROOT) - PCEN_DELTA ** (1.0 / PCEN_ROOT)
        return self.resizer @ pcen

    def _mel_energy(self, frames: Tensor) -> Tensor:
        return torch.fft.rfft(frames * self.window).abs().square() @ self.mel

    def _gain(self, smooth: Tensor) -> Tensor:
        return smooth**-PCEN_ALPHA


class ConvertibleFrontEnd(HearFrontEnd):
    """The same image by matrix products alone, for TFLite and ONNX, whose converters know no FFT.

    Where a band holds nothing but the rounding errors of a loud tone elsewhere, PCEN makes them visible. In a sweep the
    two differ by up to 4e-4, as far as HeAR's own float32 is from exact arithmetic (EXPERIMENTS.md).
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("dft", torch.tensor(dft_matrix(), dtype=torch.float32), persistent=False)
        self.register_buffer("mel_twice", torch.cat([self.mel, self.mel]).T.contiguous(), persistent=False)

    def _mel_energy(self, frames: Tensor) -> Tensor:
        spectrum = F.linear(frames, self.dft)
        return F.linear(spectrum * spectrum, self.mel_twice)

    def _gain(self, smooth: Tensor) -> Tensor:
        # XNNPACK runs no POW: one more operator would cut its partition in two.
        return torch.exp(-PCEN_ALPHA * torch.log(smooth))


def _scaled(waveform: Tensor) -> Tensor:
    """Scale each clip to [-1, 1] by its own minimum and maximum (HeAR's code takes them over the whole batch)."""
    shifted = waveform - waveform.amin(dim=-1, keepdim=True)
    return 2.0 * shifted / (shifted.amax(dim=-1, keepdim=True) + SCALING_FLOOR) - 1.0


def cut_frames(waveform: Tensor) -> Tensor:
    """Cut waveforms (batch, 32000) into overlapping frames, (batch, 200, 400), zeros after the end.

    Put together from hops of 160 samples: a converter turns `unfold` into a gather.
    """
    hops = F.pad(waveform, (0, 2 * HOP_SAMPLES)).reshape(-1, N_FRAMES + 2, HOP_SAMPLES)
    return torch.cat([hops[:, :-2], hops[:, 1:-1], hops[:, 2:, : FRAME_SAMPLES - 2 * HOP_SAMPLES]], dim=2)
