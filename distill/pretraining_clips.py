"""The only place that draws pretraining clips from a waveform store: which recording, crop, background and channel."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from core.errors import DataError
from distill.augment import Channel
from distill.front_end import CLIP_SAMPLES, SAMPLE_RATE_HZ
from distill.labels import is_cough_free
from distill.settings import Settings
from distill.waveform_store import WaveformStore

_QUIET_PEAK = 1e-3  # -60 dBFS: min-max scaling would turn a crop below it into full-scale noise
_CROP_TRIES = 4
_CLIP_S = CLIP_SAMPLES / SAMPLE_RATE_HZ


class ClipSettings(Settings):
    """How clips are drawn and what is done to them.

    ``pack_exponent`` tempers the packs' sizes: a pack is drawn in proportion to its hours to this power, so that 1
    draws each hour alike and 0 each pack alike. A recording that is hardly longer than a clip, which a random crop
    hardly moves, is shifted circularly by at most ``time_shift_max_s``. With ``background_probability`` a recording
    that is labelled and holds no cough is mixed in, at an SNR (of the clips' RMS) between the two limits. With
    ``random_channel`` each clip passes through `distill.augment.Channel`: band limits, rooms, gain, noise, clipping.
    """

    pack_exponent: float = Field(default=0.5, ge=0, le=1)
    time_shift_max_s: float = Field(default=0.25, ge=0, le=1)
    background_probability: float = Field(default=0.25, ge=0, le=1)
    background_snr_min_db: float = 0.0
    background_snr_max_db: float = 30.0
    random_channel: bool = True

    @model_validator(mode="after")
    def _the_limits_are_in_order(self) -> "ClipSettings":
        low, high = self.background_snr_min_db, self.background_snr_max_db
        if low > high:
            raise ValueError(f"must have a background_snr_min_db ({low}) of at most background_snr_max_db ({high})")
        return self


class ClipSampler:
    """Batches of 2-s clips of the recordings of one role, each clip a pure function of the seed, step and position.

    A batch's first position is `first_clip`: a process of several draws from there, and all together draw what one
    process would.
    """

    def __init__(
        self, store: WaveformStore, role: str, settings: ClipSettings, batch_size: int, seed: int, first_clip: int = 0
    ) -> None:
        self._store, self._settings = store, settings
        self._positions, self._seed = range(first_clip, first_clip + batch_size), seed
        self._rows = store.indices(role)
        if not self._rows:
            raise DataError(f"the waveform store holds no recording with the role {role!r}")
        packs = [store.rows[index].pack for index in self._rows]
        durations_s = [store.rows[index].duration_s for index in self._rows]
        self._cumulative = np.cumsum(recording_weights(packs, durations_s, settings.pack_exponent))
        self._backgrounds = [index for index in self._rows if is_cough_free(store.rows[index].labels)]
        rooms = [store.waveform(index).astype(np.float32) / 32768.0 for index in store.indices("augment")]
        self._channel = Channel(rooms) if settings.random_channel else None

    def batch_at(self, step: int) -> Tensor:
        """Draw the clips of a step, shape (batch_size, 32000), float32 in [-1, 1]."""
        return torch.from_numpy(np.stack([self._clip(step, position) for position in self._positions]))

    def _clip(self, step: int, position: int) -> np.ndarray:
        generator = np.random.default_rng((self._seed, step, position))
        drawn = np.searchsorted(self._cumulative, generator.random() * self._cumulative[-1], side="right")
        clip = self._crop(self._rows[min(int(drawn), len(self._rows) - 1)], generator)
        if self._backgrounds and generator.random() < self._settings.background_probability:
            background = self._crop(int(generator.choice(self._backgrounds)), generator)
            snr_db = generator.uniform(self._settings.background_snr_min_db, self._settings.background_snr_max_db)
            clip = mixed(clip, background, snr_db)
        return clip if self._channel is None else self._channel(clip[np.newaxis], generator)[0]

    def _crop(self, index: int, generator: np.random.Generator) -> np.ndarray:
        recording = self._store.waveform(index)
        shift = round(self._settings.time_shift_max_s * SAMPLE_RATE_HZ)
        clip = _audible_crop(recording, generator)
        if CLIP_SAMPLES <= len(recording) < CLIP_SAMPLES + shift:
            clip = np.roll(clip, generator.integers(-shift, shift + 1))
        return clip


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


def mixed(clip: np.ndarray, background: np.ndarray, snr_db: float) -> np.ndarray:
    """Add a background so that the clip's RMS lies `snr_db` above its; the sum is brought to full scale where above.

    Silence has no level to stand out by: as a clip it becomes the background, as a background it adds nothing.
    """
    clip_rms, background_rms = (float(np.sqrt(np.mean(sound**2))) for sound in (clip, background))
    if clip_rms == 0.0 or background_rms == 0.0:
        return clip + background
    total = clip + np.float32(clip_rms / background_rms * 10.0 ** (-snr_db / 20.0)) * background
    return total / max(1.0, np.abs(total).max())


def _audible_crop(recording: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Cut a random crop; a silent one is drawn again, a few times."""
    n_starts = len(recording) - CLIP_SAMPLES + 1 if len(recording) >= CLIP_SAMPLES else max(len(recording), 1)
    for _ in range(_CROP_TRIES):
        clip = crop(recording, int(generator.integers(n_starts)))
        if np.abs(clip).max() > _QUIET_PEAK:
            break
    return clip
