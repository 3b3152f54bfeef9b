"""The student's front end: raw samples to a gain-invariant log-mel, inside the exported graph."""

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
N_FOLDS = 3
RELATIVE_FLOOR = 1e-4
SILENCE_POWER = 1e-9
ROUNDING = 1e-9


def hz_to_mel(frequency_hz: Tensor) -> Tensor:
    """HTK scale: 2595 log10(1 + f / 700), in the precision of `frequency_hz`."""
    return 2595.0 * torch.log10(1.0 + frequency_hz / 700.0)


def mel_weights(
    bin_hz: np.ndarray, n_mels: int = N_MELS, min_hz: float = MEL_MIN_HZ, max_hz: float = MEL_MAX_HZ
) -> np.ndarray:
    """Triangular HTK filters of unit peak between `min_hz` and `max_hz`, shape (n_bins, n_mels), float64.

    The same filters as ``librosa.filters.mel(htk=True, norm=None)``.
    """
    low, high = hz_to_mel(torch.tensor([min_hz, max_hz], dtype=torch.float64)).tolist()
    edges_mel = np.linspace(low, high, n_mels + 2)
    edges_hz = 700.0 * (10.0 ** (edges_mel / 2595.0) - 1.0)
    rising = (bin_hz[:, None] - edges_hz[:-2]) / np.diff(edges_hz)[:-1]
    falling = (edges_hz[2:] - bin_hz[:, None]) / np.diff(edges_hz)[1:]
    return np.maximum(0.0, np.minimum(rising, falling))


def used_bins(n_mels: int = N_MELS, min_hz: float = MEL_MIN_HZ) -> np.ndarray:
    """Return the DFT bins that are computed: those inside a mel filter, every second one from `FINE_BINS_BELOW_HZ`.

    There the filters are more than 160 Hz wide and the Hann window's main lobe spans four bins. So bins 80 Hz apart
    still see all the energy, and the DFT costs 38 % less.
    """
    bins = np.arange(WINDOW_SAMPLES // 2 + 1)
    frequency_hz = bins * SAMPLE_RATE_HZ / WINDOW_SAMPLES
    inside = mel_weights(frequency_hz, n_mels, min_hz).sum(axis=1) > ROUNDING
    return bins[inside & ((frequency_hz < FINE_BINS_BELOW_HZ) | (bins % 2 == 0))]


def band_weights(bins: np.ndarray, n_mels: int = N_MELS, min_hz: float = MEL_MIN_HZ) -> np.ndarray:
    """Mel filters at `bins`, times the bins that each stands for (1 or 2), shape (n_bins, n_mels)."""
    frequency_hz = bins * SAMPLE_RATE_HZ / WINDOW_SAMPLES
    n_represented = np.where(frequency_hz < FINE_BINS_BELOW_HZ, 1.0, 2.0)
    return mel_weights(frequency_hz, n_mels, min_hz) * n_represented[:, None]


def hann_window() -> np.ndarray:
    """Periodic Hann window, shape (WINDOW_SAMPLES,), float64."""
    return 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES)


def folded_bins(bins: np.ndarray) -> list[np.ndarray]:
    """Sort bins into those that the folds 1, 2, ... `N_FOLDS` finish (odd multiples of 1, 2, 4, ...), and the rest."""
    levels = [bins[bins % (2 << fold) == 1 << fold] for fold in range(N_FOLDS)]
    return [*levels, bins[bins % (1 << N_FOLDS) == 0]]


def dft_weights(bins: np.ndarray, n_samples: int = WINDOW_SAMPLES) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines at the first `n_samples` of the window, each of shape (n_bins, n_samples), float64."""
    angles = 2 * math.pi * bins[:, None] * np.arange(n_samples) / WINDOW_SAMPLES
    return np.cos(angles), np.sin(angles)


class PhoneFrontEnd(nn.Module):
    """Log-mel of a clip relative to the clip's own mean energy, so that gain changes nothing.

    Only operators that XNNPACK runs in float32. The DFT is folded `N_FOLDS` times (decimation in frequency, Cooley and
    Tukey 1965). In the second half of the window the cosine of an even bin repeats, and that of an odd bin is its
    opposite. So half as many samples are left, and the even bins are folded again. The matrix products that remain have
    23 % of the multiplications of the whole one and give the same features. The two halves of a Hann window add up to 1
    (w[n + 200] = 1 - w[n]): windowing and first fold are one step over half a frame.
    """

    def __init__(self, n_mels: int = N_MELS, min_hz: float = MEL_MIN_HZ) -> None:
        super().__init__()
        classes = folded_bins(used_bins(n_mels, min_hz))
        matrices = {"window": hann_window()[: WINDOW_SAMPLES // 2]}
        for level, bins in enumerate(classes, 1):
            cosine, sine = dft_weights(bins, WINDOW_SAMPLES >> min(level, N_FOLDS))
            matrices |= {f"cosine_{level}": cosine, f"sine_{level}": sine}
        matrices["mel"] = np.concatenate([band_weights(bins, n_mels, min_hz) for bins in classes]).T
        for name, matrix in matrices.items():
            self.register_buffer(name, torch.tensor(matrix.copy(), dtype=torch.float32), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Map a waveform (batch, CLIP_SAMPLES) in [-1, 1] to features (batch, 1, N_FRAMES, n_mels), about -9 to 4."""
        energy = F.linear(self._power(*_halves(waveform)), self.mel)
        mean_energy = energy.mean(dim=(1, 2), keepdim=True)
        relative = energy / (mean_energy + SILENCE_POWER)
        return torch.log(relative + RELATIVE_FLOOR).unsqueeze(1)

    def _power(self, first: Tensor, second: Tensor) -> Tensor:
        """Power of the bins of `folded_bins`, in its order, shape (batch, N_FRAMES, n_bins); frames come in halves."""
        even, odd = second + (first - second) * self.window, (first + second) * self.window - second
        power = [self._power_of_class(odd, 1)]
        for level in range(2, N_FOLDS + 1):
            even, odd = _folded(even)
            power.append(self._power_of_class(odd, level))
        return torch.cat([*power, self._power_of_class(even, N_FOLDS + 1)], dim=2)

    def _power_of_class(self, folded: Tensor, level: int) -> Tensor:
        real = F.linear(folded, self.get_buffer(f"cosine_{level}"))
        imaginary = F.linear(folded, self.get_buffer(f"sine_{level}"))
        return real * real + imaginary * imaginary


def _folded(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Sum and difference of the two halves of each frame."""
    half = frames.shape[2] // 2
    first, second = frames[:, :, :half], frames[:, :, half:]
    return first + second, first - second


def _halves(waveform: Tensor) -> tuple[Tensor, Tensor]:
    """Cut a waveform into overlapping frames, zeros after the end: their halves, both (batch, N_FRAMES, 200)."""
    half, overlap = WINDOW_SAMPLES // 2, WINDOW_SAMPLES - HOP_SAMPLES
    hops = waveform.reshape(-1, N_FRAMES, HOP_SAMPLES)
    following = F.pad(hops[:, :, :overlap][:, 1:], (0, 0, 0, 1))  # columns first: the smaller copy
    return hops[:, :, :half], torch.cat([hops[:, :, half:], following], dim=2)
