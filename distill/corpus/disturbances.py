"""Disturbs clips as rooms, hands, mains and telephones do, without changing what can be heard in them."""

import numpy as np
from numpy.random import Generator
from pydantic import Field

from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_SAMPLES
from distill.settings import Settings

MAINS_HZ = (50.0, 60.0)
N_HARMONICS = 8
TELEPHONE_HZ = (300.0, 3_400.0)
MU = 255.0
_FRAME_SAMPLES = 640
_CODEC_FRAME_SAMPLES = 500


class DisturbanceSettings(Settings):
    """How often each disturbance happens to a clip, and how strong it is.

    Levels are peaks as a share of the clip's own peak. *Hum* has a fundamental of 50 or 60 Hz and harmonics, or is one
    of them alone. *Gain* divides by a power of the clip's own slow level, as automatic gain does. *Telephone* is a band
    of 300 to 3,400 Hz in 8-bit mu-law. *Codec* drops what lies ``codec_holes_db`` under a frame's strongest bin.
    *Handling* is thumps below 300 Hz.
    """

    hum_probability: float = Field(default=0.0, ge=0, le=1)
    hum_level: tuple[float, float] = (0.03, 1.3)
    offset_probability: float = Field(default=0.0, ge=0, le=1)
    offset_level: float = Field(default=1.0, ge=0)
    gain_probability: float = Field(default=0.0, ge=0, le=1)
    gain_power: tuple[float, float] = (0.2, 0.8)
    telephone_probability: float = Field(default=0.0, ge=0, le=1)
    codec_probability: float = Field(default=0.0, ge=0, le=1)
    codec_holes_db: tuple[float, float] = (15.0, 45.0)
    handling_probability: float = Field(default=0.0, ge=0, le=1)
    handling_level: tuple[float, float] = (0.1, 1.5)
    clipping_probability: float = Field(default=0.0, ge=0, le=1)
    clipping_level: tuple[float, float] = (0.2, 0.8)


class Disturbances:
    """Applies each disturbance to some clips of a batch, in the order in which a recording meets them."""

    def __init__(self, settings: DisturbanceSettings) -> None:
        self.settings = settings
        frequency_hz = np.fft.rfftfreq(CLIP_SAMPLES, 1 / SAMPLE_RATE_HZ)
        low_hz, high_hz = TELEPHONE_HZ
        with np.errstate(divide="ignore"):
            high_pass = 1 / np.sqrt(1 + (low_hz / frequency_hz) ** 8)
        self._telephone = high_pass / np.sqrt(1 + (frequency_hz / high_hz) ** 16)
        self._thump = 1 / (1 + (frequency_hz / 150.0) ** 4)

    def __call__(self, waveforms: np.ndarray, rng: Generator) -> np.ndarray:
        """Disturb `waveforms` (batch, 32000), float32, in place; a function of them and the generator alone."""
        steps = (
            (self.settings.handling_probability, self._handling),
            (self.settings.hum_probability, self._hum),
            (self.settings.offset_probability, self._offset),
            (self.settings.gain_probability, self._gain),
            (self.settings.clipping_probability, self._clipping),
            (self.settings.telephone_probability, self._telephone_line),
            (self.settings.codec_probability, self._codec),
        )
        for probability, disturb in steps:
            for n in np.flatnonzero(rng.random(len(waveforms)) < probability):
                waveforms[n] = disturb(waveforms[n], rng)
        return waveforms

    def _hum(self, waveform: np.ndarray, rng: Generator) -> np.ndarray:
        mains_hz = rng.choice(MAINS_HZ) * rng.uniform(0.995, 1.005)
        strength = rng.random(N_HARMONICS) ** 2 / np.arange(1, N_HARMONICS + 1) ** rng.uniform(0, 2)
        if rng.random() < 0.5:  # one of the lowest alone: what is left of mains behind a transformer or a filter
            strength = np.eye(N_HARMONICS)[rng.integers(3)]
        time_s = np.arange(CLIP_SAMPLES) / SAMPLE_RATE_HZ
        hum = np.zeros(CLIP_SAMPLES)
        for harmonic in np.flatnonzero(strength > 0.01):
            hum += strength[harmonic] * np.sin(2 * np.pi * ((harmonic + 1) * mains_hz * time_s + rng.random()))
        return waveform + _at_level(hum, waveform, _log_uniform(rng, self.settings.hum_level))

    def _handling(self, waveform: np.ndarray, rng: Generator) -> np.ndarray:
        thumps = np.zeros(CLIP_SAMPLES)
        for _ in range(rng.integers(1, 4)):
            length = int(rng.uniform(0.03, 0.3) * SAMPLE_RATE_HZ)
            start = rng.integers(CLIP_SAMPLES - length)
            fading = np.exp(-np.arange(length) / (length * rng.uniform(0.1, 0.5)))
            thumps[start : start + length] += rng.uniform(0.3, 1) * rng.standard_normal(length) * fading
        thumps = np.fft.irfft(np.fft.rfft(thumps) * self._thump, CLIP_SAMPLES)
        return waveform + _at_level(thumps, waveform, _log_uniform(rng, self.settings.handling_level))

    def _offset(self, waveform: np.ndarray, rng: Generator) -> np.ndarray:
        level = self.settings.offset_level
        return waveform + np.float32(rng.uniform(-level, level) * np.abs(waveform).max())

    def _gain(self, waveform: np.ndarray, rng: Generator) -> np.ndarray:
        level = np.sqrt(np.square(waveform).reshape(-1, _FRAME_SAMPLES).mean(axis=1)) + 1e-5
        slow, release = level.copy(), rng.uniform(0.5, 0.95)
        for n in range(1, len(slow)):  # rises at once and falls slowly
            slow[n] = max(level[n], release * slow[n - 1] + (1 - release) * level[n])
        slow = np.maximum(slow, slow.max() * 10 ** (-rng.uniform(15, 40) / 20))
        gain = slow ** -rng.uniform(*self.settings.gain_power)
        middles = (np.arange(len(gain)) + 0.5) * _FRAME_SAMPLES
        louder = waveform * np.interp(np.arange(CLIP_SAMPLES), middles, gain)
        return _at_level(louder, waveform, 1.0)

    def _clipping(self, waveform: np.ndarray, rng: Generator) -> np.ndarray:
        limit = np.abs(waveform).max() * rng.uniform(*self.settings.clipping_level)
        return np.clip(waveform, -limit, limit)

    def _telephone_line(self, waveform: np.ndarray, rng: Generator) -> np.ndarray:
        band = np.fft.irfft(np.fft.rfft(waveform) * self._telephone, CLIP_SAMPLES)
        peak = np.abs(band).max() + 1e-9
        loud = band / peak * 10 ** (-rng.uniform(0, 20) / 20)
        companded = np.round(127 * np.sign(loud) * np.log1p(MU * np.abs(loud)) / np.log1p(MU)) / 127
        expanded = np.sign(companded) * np.expm1(np.abs(companded) * np.log1p(MU)) / MU
        return _at_level(expanded, waveform, 1.0)

    def _codec(self, waveform: np.ndarray, rng: Generator) -> np.ndarray:
        """Overlapping sine windows that add up to one in power, as transform codecs use them."""
        window = np.sin(np.pi * (np.arange(_CODEC_FRAME_SAMPLES) + 0.5) / _CODEC_FRAME_SAMPLES)
        half = _CODEC_FRAME_SAMPLES // 2
        circular = np.concatenate([waveform, waveform[:half]])
        frames = np.lib.stride_tricks.sliding_window_view(circular, _CODEC_FRAME_SAMPLES)[::half] * window
        spectrum = np.fft.rfft(frames)
        power = np.abs(spectrum) ** 2
        holes_db = rng.uniform(*self.settings.codec_holes_db)
        spectrum[power < power.max(axis=1, keepdims=True) * 10 ** (-holes_db / 10)] = 0
        decoded = np.fft.irfft(spectrum, _CODEC_FRAME_SAMPLES) * window
        return (decoded[:, :half] + np.roll(decoded[:, half:], 1, axis=0)).reshape(-1)


def _at_level(sound: np.ndarray, waveform: np.ndarray, level: float) -> np.ndarray:
    """Bring `sound` to a peak of `level` times the waveform's."""
    return (sound * (level * np.abs(waveform).max() / (np.abs(sound).max() + 1e-9))).astype(np.float32)


def _log_uniform(rng: Generator, limits: tuple[float, float]) -> float:
    low, high = limits
    return float(low * (high / low) ** rng.random())
