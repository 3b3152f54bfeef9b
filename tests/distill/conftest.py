"""A model that stands in for the shipped one, a fixed random projection of spectral statistics; recordings to mine."""

import numpy as np
import pytest

from core.audio import write_wav
from core.interpreter import ModelOutputs
from distill.corpus.labels import EVENT_LABELS
from distill.probes.embed import EmbeddingModel


class StandInInterpreter:
    """Mean and spread of 32 log band levels, projected to 512 numbers; a sudden clip is a probable cough."""

    def __init__(self):
        self._projection = np.random.default_rng(7).normal(size=(64, 512)) / 8

    def run(self, waveform):
        frames = waveform[: 32000 // 400 * 400].reshape(-1, 400) * np.hanning(400)
        power = np.abs(np.fft.rfft(frames)) ** 2
        bands = np.log(np.add.reduceat(power, np.arange(0, 192, 6), axis=1) + 1e-6)
        statistics = np.concatenate([bands.mean(axis=0), bands.std(axis=0)])
        levels = np.log(np.mean(frames**2, axis=1) + 1e-9)
        event_logits = np.full(len(EVENT_LABELS), -3.0)
        event_logits[0] = levels.max() - levels.mean() - 4
        return ModelOutputs(
            embedding=np.tanh(statistics @ self._projection).astype(np.float32),
            event_logits=event_logits.astype(np.float32),
            activity_logits=np.full(50, -5, dtype=np.float32),
        )


@pytest.fixture
def stand_in():
    """An EmbeddingModel that needs no model file."""
    return EmbeddingModel(StandInInterpreter(), 1.0, 0.04, EVENT_LABELS, "0" * 64)


def write_burst_recording(path, seed, duration_s=6.0):
    """Faint noise with a burst of its own colour near 1 s and another near the end."""
    generator = np.random.default_rng(seed)
    waveform = 0.002 * generator.standard_normal(round(duration_s * 16_000))
    for at_s in (1.2, duration_s - 0.8):
        response = np.exp(generator.normal(size=9) * 1.5)
        spectrum = np.fft.rfft(generator.standard_normal(3200)) * np.interp(
            np.arange(1601), np.arange(9) * 200, response
        )
        burst = np.fft.irfft(spectrum, 3200)
        waveform[round(at_s * 16_000) :][:3200] += 0.3 * burst / np.abs(burst).max()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, waveform.astype(np.float32))
    return path


@pytest.fixture
def write_recording():
    """Writes a recording to mine: its path, a seed, and seconds if not 6."""
    return write_burst_recording


@pytest.fixture
def corpus(tmp_path):
    """A folder with six recordings of three people."""
    for number in range(6):
        write_burst_recording(tmp_path / "in" / f"person{number // 2}" / f"{number}.wav", number)
    return tmp_path / "in"
