"""Makes sound without any recording: a demonstration with three coughs, and clips for checks."""

import argparse
import io
from pathlib import Path

import numpy as np
from numpy.random import Generator

from core.audio import SAMPLE_RATE_HZ, write_wav
from core.clips import CLIP_SAMPLES
from core.errors import exit_on_error
from core.files import check_replaceable

DEMONSTRATION_S = 6.0
COUGH_TIMES_S = (0.9, 2.6, 4.4)  # where each cough begins
COUGH_LENGTH_S = 0.42
SEED = 20_240_302
ROOM_DBFS = -62.0
# Resonances of the throat as (centre Hz, width Hz, gain), for the opening burst and for what follows it. They, and the
# times below, were chosen so that the shipped model hears coughs with every seed that was tried, and two independent
# detectors (YAMNet and mn04_as) hear them too.
OPENING = ((440.0, 150.0, 0.05), (750.0, 60.0, 0.47), (1910.0, 150.0, 0.19), (5930.0, 940.0, 0.15))
TRACT = ((380.0, 150.0, 0.41), (1260.0, 100.0, 0.09), (3330.0, 100.0, 0.15))


def synthesize_demonstration() -> np.ndarray:
    """A synthetic recording of 6 s with a cough at each of `COUGH_TIMES_S`, over faint room noise.

    Each cough has the three phases of a real one: the explosive opening, the long noisy middle, and a short voiced end
    (Korpas et al. 1996, Pulmonary Pharmacology 9:261). Made from numbers only, and always the same numbers.

    Returns
    -------
    ndarray, shape (96000,), float32
        16 kHz, in [-1, 1].
    """
    generator = np.random.RandomState(SEED)  # its stream is frozen between numpy versions, default_rng's is not
    waveform = _room(generator, round(DEMONSTRATION_S * SAMPLE_RATE_HZ))
    for start_s, loudness in zip(COUGH_TIMES_S, (0.7, 0.55, 0.62), strict=True):
        cough = _cough(generator)
        start = round(start_s * SAMPLE_RATE_HZ)
        waveform[start : start + len(cough)] += _scaled(cough, loudness)
    return waveform.astype(np.float32)


def _room(generator: np.random.RandomState, n_samples: int) -> np.ndarray:
    """Faint noise that falls off towards high frequencies."""
    frequency_hz = np.fft.rfftfreq(n_samples, 1.0 / SAMPLE_RATE_HZ)
    spectrum = np.fft.rfft(generator.standard_normal(n_samples)) / np.sqrt(1.0 + (frequency_hz / 200.0) ** 2)
    noise = np.fft.irfft(spectrum, n_samples)
    return noise / noise.std() * 10.0 ** (ROOM_DBFS / 20.0)


def _cough(generator: np.random.RandomState) -> np.ndarray:
    """One cough, shape (COUGH_LENGTH_S * 16000,), of arbitrary loudness."""
    n_samples = round(COUGH_LENGTH_S * SAMPLE_RATE_HZ)
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    noise = generator.standard_normal(n_samples)
    opening = _through(noise, OPENING) * _swell(time_s, 0.0, 0.02, 0.045)
    middle = _through(noise, TRACT) * _swell(time_s, 0.01, 0.03, 0.15)
    voice = _through(_pulses(generator, time_s), TRACT) * _swell(time_s, 0.17, 0.04, 0.045)
    cough = _scaled(opening, 1.0) + _scaled(middle, 0.42) + _scaled(voice, 0.27)
    return cough * np.minimum(1.0, (COUGH_LENGTH_S - time_s) / 0.03)


def _scaled(sound: np.ndarray, peak: float) -> np.ndarray:
    return sound * (peak / np.abs(sound).max())


def _swell(time_s: np.ndarray, start_s: float, attack_s: float, decay_s: float) -> np.ndarray:
    """An envelope that rises from `start_s` within `attack_s` and then falls to 1/e every `decay_s`."""
    since_s = time_s - start_s
    return np.clip(since_s / attack_s, 0.0, 1.0) * np.exp(-np.maximum(0.0, since_s - attack_s) / decay_s)


def _pulses(generator: np.random.RandomState, time_s: np.ndarray) -> np.ndarray:
    """Glottal pulses whose pitch falls from 320 to 180 Hz, with 3 % of jitter."""
    pitch_hz = np.linspace(320.0, 180.0, len(time_s)) * (1.0 + 0.03 * generator.standard_normal(len(time_s)))
    return np.diff(np.floor(np.cumsum(pitch_hz) / SAMPLE_RATE_HZ), prepend=0.0)


def _through(excitation: np.ndarray, formants: tuple[tuple[float, float, float], ...]) -> np.ndarray:
    """`excitation`, shape (n,), shaped by resonances given as (centre Hz, width Hz, gain)."""
    frequency_hz = np.fft.rfftfreq(2 * len(excitation), 1.0 / SAMPLE_RATE_HZ)
    response = sum(gain / (1.0 + 2j * (frequency_hz - centre_hz) / width_hz) for centre_hz, width_hz, gain in formants)
    return np.fft.irfft(np.fft.rfft(excitation, 2 * len(excitation)) * response)[: len(excitation)]


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


def main() -> None:
    """Write the demonstration recording: ``python -m core.demonstration OUT.wav``."""
    parser = argparse.ArgumentParser(prog="demonstration", description="Write a synthetic recording with three coughs.")
    parser.add_argument("out", help="WAV file to write: 16 kHz, 16 bit, 6 s")
    with exit_on_error("demonstration"):
        out, waveform = parser.parse_args().out, synthesize_demonstration()
        content = io.BytesIO()
        write_wav(content, waveform)
        if not (Path(out).is_file() and Path(out).read_bytes() == content.getvalue()):
            check_replaceable(out, None)
        write_wav(out, waveform)


if __name__ == "__main__":
    main()
