"""The only place for the student's front end: raw samples to a gain-invariant log-mel, inside the exported graph."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_SAMPLES

WINDOW_SAMPLES = 400
HOP_SAMPLES = 320
N_FRAMES = CLIP_SAMPLES // HOP_SAMPLES
N_MELS = 64
MEL_MIN_HZ = 60.0
MEL_MAX_HZ = 7_800.0
FINE_BINS_BELOW_HZ = 2_000.0
RELATIVE_FLOOR = 1e-4
SILENCE_POWER = 1e-9


def hz_to_mel(frequency_hz: np.ndarray) -> np.ndarray:
    """HTK scale: 2595 log10(1 + f / 700)."""
    return 2595.0 * np.log10(1.0 + np.asarray(frequency_hz) / 700.0)


def mel_weights(bin_hz: np.ndarray) -> np.ndarray:
    """Triangular HTK filters of unit peak between `MEL_MIN_HZ` and `MEL_MAX_HZ`, shape (n_bins, N_MELS), float64.

    The same filters as ``librosa.filters.mel(htk=True, norm=None)``.
    """
    low, high = hz_to_mel(MEL_MIN_HZ), hz_to_mel(MEL_MAX_HZ)
    edges_hz = 700.0 * (10.0 ** (np.linspace(low, high, N_MELS + 2) / 2595.0) - 1.0)
    rising = (bin_hz[:, None] - edges_hz[:-2]) / np.diff(edges_hz)[:-1]
    falling = (edges_hz[2:] - bin_hz[:, None]) / np.diff(edges_hz)[1:]
    return np.maximum(0.0, np.minimum(rising, falling))


def used_bins() -> np.ndarray:
    """Return the DFT bins that are computed: those inside a mel filter, every second one from `FINE_BINS_BELOW_HZ`.

    There the filters are more than 160 Hz wide and the Hann window's main lobe spans four bins, so that bins 80 Hz
    apart still see all the energy; the DFT costs 38 % less.
    """
    bins = np.arange(WINDOW_SAMPLES // 2 + 1)
    frequency_hz = bins * SAMPLE_RATE_HZ / WINDOW_SAMPLES
    inside = mel_weights(frequency_hz).sum(axis=1) > 0
    return bins[inside & ((frequency_hz < FINE_BINS_BELOW_HZ) | (bins % 2 == 0))]


def band_weights(bins: np.ndarray) -> np.ndarray:
    """Mel filters at `bins`, times the bins that each stands for (1 or 2), shape (n_bins, N_MELS)."""
    frequency_hz = bins * SAMPLE_RATE_HZ / WINDOW_SAMPLES
    n_represented = np.where(frequency_hz < FINE_BINS_BELOW_HZ, 1.0, 2.0)
    return mel_weights(frequency_hz) * n_represented[:, None]


def dft_weights(bins: np.ndarray) -> np.ndarray:
    """Periodic Hann window times cosines, then sines, shape (2 * n_bins, WINDOW_SAMPLES), float64."""
    n = np.arange(WINDOW_SAMPLES)
    window = 0.5 - 0.5 * np.cos(2 * math.pi * n / WINDOW_SAMPLES)
    angles = 2 * math.pi * bins[:, None] * n / WINDOW_SAMPLES
    return np.concatenate([np.cos(angles), np.sin(angles)]) * window


class PhoneFrontEnd(nn.Module):
    """Log-mel of a clip relative to the clip's own mean energy, so that gain changes nothing.

    Only operators that XNNPACK runs in float32: the DFT is one FULLY_CONNECTED over the bins that a mel filter uses,
    and the mel matrix, stacked twice, adds the squares of real and imaginary part in the same product.
    """

    def __init__(self) -> None:
        super().__init__()
        bins = used_bins()
        mel = band_weights(bins)
        self.register_buffer("dft", torch.tensor(dft_weights(bins), dtype=torch.float32), persistent=False)
        stacked = torch.tensor(np.concatenate([mel, mel]).T.copy(), dtype=torch.float32)
        self.register_buffer("mel", stacked, persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Map a waveform (batch, CLIP_SAMPLES) in [-1, 1] to features (batch, 1, N_FRAMES, N_MELS), about -9 to 4."""
        spectrum = F.linear(_frames(waveform), self.dft)
        energy = F.linear(spectrum * spectrum, self.mel)
        mean_energy = energy.mean(dim=(1, 2), keepdim=True)
        relative = energy / (mean_energy + SILENCE_POWER)
        return torch.log(relative + RELATIVE_FLOOR).unsqueeze(1)


def _frames(waveform: Tensor) -> Tensor:
    """Cut a waveform into overlapping frames, shape (batch, N_FRAMES, WINDOW_SAMPLES), zeros after the end."""
    overlap = WINDOW_SAMPLES - HOP_SAMPLES
    hops = waveform.reshape(-1, N_FRAMES, HOP_SAMPLES)
    following = F.pad(hops[:, 1:, :overlap], (0, 0, 0, 1))
    return torch.cat([hops, following], dim=2)
