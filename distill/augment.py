"""The only place for the channel augmentations: band limits, rooms, level, noise and clipping, for every class."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_SAMPLES

_N_FFT = CLIP_SAMPLES  # circular: the tail of a room wraps to the start, as the tail of an earlier sound would
_BINS_PER_STEP = 8  # a response is drawn every 4 Hz, which no ear and no filter bank here resolves
_RESPONSE_STEP_HZ = _BINS_PER_STEP * SAMPLE_RATE_HZ / _N_FFT


class ChannelSettings(NamedTuple):
    """Probabilities of each augmentation, and its ranges."""

    low_pass_probability: float = 0.45
    low_pass_hz: tuple[float, float] = (2_500.0, 7_500.0)
    high_pass_probability: float = 0.35
    high_pass_hz: tuple[float, float] = (60.0, 400.0)
    tilt_probability: float = 0.4
    tilt_db_per_octave: float = 3.0
    room_probability: float = 0.25
    noise_probability: float = 0.4
    noise_snr_db: tuple[float, float] = (10.0, 50.0)
    clipping_probability: float = 0.08


class Channel:
    """A random recording channel for a batch of clips.

    Band limits hide which pack a clip came from: half of the packs were recorded through 8 kHz telephones, and a
    detector that is not shown the same band in every class learns the telephone.
    """

    def __init__(self, rooms: list[np.ndarray], settings: ChannelSettings | None = None):
        self.settings = settings or ChannelSettings()
        self.rooms = [_room_response(room) for room in rooms]
        self._noise_pool = np.random.default_rng(0).standard_normal(64 * CLIP_SAMPLES, dtype=np.float32)

    def __call__(self, waveforms: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Pass `waveforms` (batch, 32000), float32, through one random channel each; the peak ends at 0.05 to 1."""
        spectra = torch.fft.rfft(torch.from_numpy(waveforms), n=_N_FFT)
        spectra *= torch.from_numpy(np.stack([self._response(rng) for _ in waveforms]))
        for index in np.flatnonzero(rng.random(len(waveforms)) < self.settings.room_probability * bool(self.rooms)):
            spectra[index] *= self.rooms[rng.integers(len(self.rooms))]
        filtered = torch.fft.irfft(spectra, n=_N_FFT)[:, :CLIP_SAMPLES].numpy()
        return self._level(self._noise(filtered, rng), rng)

    def _response(self, rng: np.random.Generator) -> np.ndarray:
        frequency_hz = np.arange(0, SAMPLE_RATE_HZ / 2 + _RESPONSE_STEP_HZ, _RESPONSE_STEP_HZ, dtype=np.float32)
        response = np.ones_like(frequency_hz)
        chosen = self.settings
        if rng.random() < chosen.low_pass_probability:
            cutoff_hz = rng.uniform(*chosen.low_pass_hz)
            response /= np.sqrt(1 + (frequency_hz / cutoff_hz) ** (2 * rng.integers(4, 40)))
        if rng.random() < chosen.high_pass_probability:
            cutoff_hz = np.exp(rng.uniform(*np.log(chosen.high_pass_hz)))
            response /= np.sqrt(1 + (cutoff_hz / np.maximum(frequency_hz, 1.0)) ** (2 * rng.integers(1, 5)))
        if rng.random() < chosen.tilt_probability:
            octaves = np.log2(np.maximum(frequency_hz, 50.0) / 1000.0)
            response *= 10 ** (rng.uniform(-1, 1) * chosen.tilt_db_per_octave * octaves / 20)
        return np.repeat(response.astype(np.float32), _BINS_PER_STEP)[: _N_FFT // 2 + 1]

    def _noise(self, waveforms: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noisy = waveforms.copy()
        for index in np.flatnonzero(rng.random(len(waveforms)) < self.settings.noise_probability):
            start = rng.integers(len(self._noise_pool) - CLIP_SAMPLES)
            rms = np.sqrt(np.mean(noisy[index] ** 2))
            amplitude = rms * 10 ** (-rng.uniform(*self.settings.noise_snr_db) / 20)
            noisy[index] += np.float32(amplitude) * self._noise_pool[start : start + CLIP_SAMPLES]
        return noisy

    def _level(self, waveforms: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        peaks = np.abs(waveforms).max(axis=1, keepdims=True) + 1e-9
        peak_targets = np.exp(rng.uniform(np.log(0.05), 0, len(waveforms)))
        overdriven = rng.random(len(waveforms)) < self.settings.clipping_probability
        peak_targets = np.where(overdriven, rng.uniform(1.2, 3.0, len(waveforms)), peak_targets)
        return np.clip(waveforms / peaks * peak_targets[:, None], -1, 1).astype(np.float32)


def _room_response(impulse_response: np.ndarray) -> Tensor:
    """Spectrum of a room, its direct sound moved to the start and its energy scaled to 1."""
    start = int(np.argmax(np.abs(impulse_response)))
    tail = impulse_response[start : start + CLIP_SAMPLES].astype(np.float32)
    tail = tail / (np.sqrt(np.sum(tail**2)) + 1e-9)
    return torch.fft.rfft(torch.from_numpy(tail), n=_N_FFT)
