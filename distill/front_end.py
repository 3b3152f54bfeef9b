"""The only place for the teacher's front end: HeAR's log-mel with PCEN, computed without a loop over frames."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_SAMPLES

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


def mel_weights() -> Tensor:
    """Triangles of unit peak, linear on the HTK mel scale, shape (201, 128), float32; the DC bin is zero.

    Computed in float32, in the order of HeAR's code: rounded otherwise, bins that fall on a band's edge get weights of
    1e-5, which PCEN turns into 3e-4 where a band holds nothing else. Four bands lie between two bins and are empty.
    """
    bins = _hz_to_mel(torch.linspace(0.0, SAMPLE_RATE_HZ / 2, N_BINS))[:, None]
    edges = torch.linspace(0.0, _hz_to_mel(torch.tensor(MEL_MAX_HZ)).item(), N_MELS + 2)
    low, center, high = edges[:-2], edges[1:-1], edges[2:]
    weights = torch.minimum((bins - low) / (center - low), (high - bins) / (high - center)).clamp(min=0.0)
    weights[0] = 0.0
    return weights


def _hz_to_mel(frequency_hz: Tensor) -> Tensor:
    return 2595.0 * torch.log10(1.0 + frequency_hz / 700.0)


def smoothing_matrix() -> np.ndarray:
    """Matrix that applies PCEN's smoother to all frames at once, shape (200, 200), float64, lower triangular.

    Row t holds the weights of frames 0..t in ``M[t] = (1 - s) M[t - 1] + s E[t]`` with ``M[0] = E[0]``.
    """
    t = np.arange(N_FRAMES)
    lag = t[:, None] - t
    weights = np.where(lag >= 0, PCEN_SMOOTHING * (1.0 - PCEN_SMOOTHING) ** np.maximum(lag, 0), 0.0)
    weights[:, 0] = (1.0 - PCEN_SMOOTHING) ** t
    return weights


class HearFrontEnd(nn.Module):
    """A clip as the image that HeAR's encoder sees: PCEN of a mel spectrogram, time x mel."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(FRAME_SAMPLES, periodic=True), persistent=False)
        self.register_buffer("mel", mel_weights(), persistent=False)
        self.register_buffer("smoother", torch.tensor(smoothing_matrix(), dtype=torch.float32), persistent=False)

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
        energy = self._mel_energy(_scaled(padded))
        smooth = self.smoother @ energy
        gained = energy / (PCEN_FLOOR + smooth) ** PCEN_ALPHA
        pcen = (gained + PCEN_DELTA) ** (1.0 / PCEN_ROOT) - PCEN_DELTA ** (1.0 / PCEN_ROOT)
        return F.interpolate(pcen.unsqueeze(1), IMAGE_SHAPE, mode="bilinear", align_corners=False).squeeze(1)

    def _mel_energy(self, waveform: Tensor) -> Tensor:
        frames = F.pad(waveform, (0, FRAME_SAMPLES - HOP_SAMPLES)).unfold(-1, FRAME_SAMPLES, HOP_SAMPLES)
        spectrum = torch.fft.rfft(frames * self.window)
        return spectrum.abs().square() @ self.mel


def _scaled(waveform: Tensor) -> Tensor:
    """Scale each clip to [-1, 1] by its own minimum and maximum (HeAR's code takes them over the whole batch)."""
    shifted = waveform - waveform.amin(dim=-1, keepdim=True)
    return 2.0 * shifted / (shifted.amax(dim=-1, keepdim=True) + SCALING_FLOOR) - 1.0
