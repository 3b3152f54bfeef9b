"""The only place that draws pretraining clips from a waveform store: which recording, which crop, which channel."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from core.errors import DataError
from distill.front_end import CLIP_SAMPLES, SAMPLE_RATE_HZ
from distill.settings import Settings
from distill.waveform_store import WaveformStore

_QUIET_PEAK = 1e-3  # -60 dBFS: min-max scaling would turn a crop below it into full-scale noise
_CROP_TRIES = 4
_CLIP_S = CLIP_SAMPLES / SAMPLE_RATE_HZ


class ClipSettings(Settings):
    """How clips are drawn.

    ``pack_exponent`` tempers the packs' sizes: a pack is drawn in proportion to its hours to this power, so that 1
    draws each hour alike and 0 each pack alike. The gain is drawn between ``gain_min_db`` and ``gain_max_db`` and
    saturates at full scale, as a converter does; below full scale the front end takes it out again.
    """

    pack_exponent: float = Field(default=0.5, ge=0, le=1)
    gain_min_db: float = -12.0
    gain_max_db: float = 12.0
    low_pass_probability: float = Field(default=0.2, ge=0, le=1)
    low_pass_min_hz: float = Field(default=2_500.0, gt=0)
    low_pass_max_hz: float = Field(default=7_000.0, gt=0)


class ClipSampler:
    """Batches of 2-s clips of the recordings of one role, each a pure function of the seed and the step."""

    def __init__(self, store: WaveformStore, role: str, settings: ClipSettings, batch_size: int, seed: int) -> None:
        self._store, self._settings = store, settings
        self._batch_size, self._seed = batch_size, seed
        self._rows = [index for index, row in enumerate(store.rows) if row.role == role]
        if not self._rows:
            raise DataError(f"the waveform store holds no recording with the role {role!r}")
        packs = [store.rows[index].pack for index in self._rows]
        durations_s = [store.rows[index].duration_s for index in self._rows]
        self._cumulative = np.cumsum(recording_weights(packs, durations_s, settings.pack_exponent))

    def batch_at(self, step: int) -> Tensor:
        """Draw the clips of a step, shape (batch_size, 32000), float32 in [-1, 1]."""
        generator = np.random.default_rng((self._seed, step))
        return torch.from_numpy(np.stack([self._clip(generator) for _ in range(self._batch_size)]))

    def _clip(self, generator: np.random.Generator) -> np.ndarray:
        position = np.searchsorted(self._cumulative, generator.random() * self._cumulative[-1], side="right")
        recording = self._store.waveform(self._rows[min(int(position), len(self._rows) - 1)])
        clip = _audible_crop(recording, generator)
        if generator.random() < self._settings.low_pass_probability:
            low, high = np.log(self._settings.low_pass_min_hz), np.log(self._settings.low_pass_max_hz)
            clip = low_passed(clip, float(np.exp(generator.uniform(low, high))))
        gain_db = generator.uniform(self._settings.gain_min_db, self._settings.gain_max_db)
        return np.clip(clip * np.float32(10.0 ** (gain_db / 20.0)), -1.0, 1.0)


def recording_weights(packs: Sequence[str], durations_s: Sequence[float], pack_exponent: float) -> np.ndarray:
    """Weights with which recordings are drawn, shape (n,), sum 1.

    A pack has its hours to the power `pack_exponent`; within a pack, a recording has its duration, but never less
    than one clip's.
    """
    seconds = np.maximum(np.asarray(durations_s, dtype=np.float64), _CLIP_S)
    totals: defaultdict[str, float] = defaultdict(float)
    for pack, duration in zip(packs, seconds, strict=True):
        totals[pack] += duration
    weights = np.array([s * totals[pack] ** (pack_exponent - 1.0) for pack, s in zip(packs, seconds, strict=True)])
    return weights / weights.sum()


def crop(recording: np.ndarray, start: int) -> np.ndarray:
    """Cut 2 s from an int16 recording as float32 in [-1, 1], shape (32000,); one that is shorter is repeated."""
    if len(recording) >= CLIP_SAMPLES:
        return recording[start : start + CLIP_SAMPLES].astype(np.float32) / 32768.0
    return np.resize(np.roll(recording, -start), CLIP_SAMPLES).astype(np.float32) / 32768.0


def low_passed(clip: np.ndarray, cutoff_hz: float) -> np.ndarray:
    """Remove what lies above `cutoff_hz` without delay, -3 dB there and 48 dB less an octave above."""
    frequency_hz = np.fft.rfftfreq(len(clip), 1.0 / SAMPLE_RATE_HZ).astype(np.float32)
    response = 1.0 / np.sqrt(1.0 + (frequency_hz / np.float32(cutoff_hz)) ** 16)
    return np.fft.irfft(np.fft.rfft(clip) * response, len(clip)).astype(np.float32)


def _audible_crop(recording: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Cut a random crop; a silent one is drawn again, a few times."""
    n_starts = len(recording) - CLIP_SAMPLES + 1 if len(recording) >= CLIP_SAMPLES else max(len(recording), 1)
    for _ in range(_CROP_TRIES):
        clip = crop(recording, int(generator.integers(n_starts)))
        if np.abs(clip).max() > _QUIET_PEAK:
            break
    return clip
