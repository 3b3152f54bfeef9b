"""The only place that makes clips of synthesized sound for checks that must not depend on any recording."""

import numpy as np
from numpy.random import Generator

from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_SAMPLES


def synthesized_clips(n_clips: int, seed: int = 0) -> np.ndarray:
    """Noise, bursts, tones and glides at levels from full scale to -50 dBFS, and one clip of digital silence.

    Returns
    -------
    ndarray, shape (n_clips, 32000), float32 in [-1, 1]
        Clip 0 is silent; the same seed gives the same clips.
    """
    generator = np.random.default_rng(seed)
    kinds = (_noise, _bursts, _tones, _glide)
    clips = [np.zeros(CLIP_SAMPLES)]
    for number in range(1, n_clips):
        sound = kinds[number % len(kinds)](generator) + 0.01 * _noise(generator)
        clips.append(sound / np.abs(sound).max() * 10 ** (-generator.uniform(0, 50) / 20))
    return np.stack(clips[:n_clips]).astype(np.float32)


def _time_s() -> np.ndarray:
    return np.arange(CLIP_SAMPLES) / SAMPLE_RATE_HZ


def _noise(generator: Generator) -> np.ndarray:
    """Noise with a random spectral tilt between white and brown."""
    spectrum = np.fft.rfft(generator.standard_normal(CLIP_SAMPLES))
    tilt = np.arange(1, len(spectrum) + 1) ** -generator.uniform(0, 1)
    sound = np.fft.irfft(spectrum * tilt, CLIP_SAMPLES)
    return sound / np.abs(sound).max()


def _bursts(generator: Generator) -> np.ndarray:
    """One to four decaying bursts of noise, as short as a cough."""
    envelope = np.zeros(CLIP_SAMPLES)
    for start_s in generator.uniform(0, 1.8, generator.integers(1, 5)):
        since_s = _time_s() - start_s
        envelope += np.where(since_s >= 0, np.exp(-since_s / generator.uniform(0.03, 0.15)), 0)
    return _noise(generator) * envelope


def _tones(generator: Generator) -> np.ndarray:
    """A voice-like sum of ten harmonics, slowly modulated."""
    pitch_hz = generator.uniform(80, 400)
    voice = sum(np.sin(2 * np.pi * k * pitch_hz * _time_s() + generator.uniform(0, 6)) / k for k in range(1, 11))
    return voice * (1 + 0.9 * np.sin(2 * np.pi * generator.uniform(2, 6) * _time_s()))


def _glide(generator: Generator) -> np.ndarray:
    """A sine that glides between two frequencies."""
    from_hz, to_hz = generator.uniform(60, 7500, 2)
    return np.sin(2 * np.pi * (from_hz * _time_s() + (to_hz - from_hz) * _time_s() ** 2 / 4))
