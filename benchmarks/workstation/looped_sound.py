"""The only place for sound of any length that takes the memory of a minute: one synthesized minute, again and again."""

import itertools
import wave
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.workstation.long_sound import in_a_row, synthesized_sounds
from core.audio import SAMPLE_RATE_HZ
from core.errors import OutputError

MINUTE_SAMPLES = 60 * SAMPLE_RATE_HZ
PAUSE_S = 2.0
WRITTEN_BLOCK_S = 10.0
SAMPLE_BYTES = 2


@cache
def one_minute() -> np.ndarray:
    """Three synthetic coughs, then bursts, tones and glides with pauses over faint noise: (960000,) float32, 16 kHz."""
    waveform = np.concatenate(list(in_a_row(synthesized_sounds(), PAUSE_S).chunks()))
    minute = np.resize(np.roll(waveform, -round(PAUSE_S * SAMPLE_RATE_HZ)), MINUTE_SAMPLES)
    minute.setflags(write=False)
    return minute


def endless_blocks(block_s: float) -> Iterator[np.ndarray]:
    """The minute over and over in blocks of `block_s`, at most a minute; each is a view of it, not to be changed."""
    n_samples, minute = round(block_s * SAMPLE_RATE_HZ), one_minute()
    twice = np.concatenate([minute, minute[:n_samples]])
    twice.setflags(write=False)
    for number in itertools.count():
        start = number * n_samples % MINUTE_SAMPLES
        yield twice[start : start + n_samples]


def write_long_wav(path: Path, seconds: float) -> Path:
    """Write `seconds` of it as a 16-bit WAV at 16 kHz, block by block; OutputError where the disk does not take it."""
    left = round(seconds * SAMPLE_RATE_HZ)
    try:
        with path.open("wb") as raw, wave.open(raw, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(SAMPLE_BYTES)
            file.setframerate(SAMPLE_RATE_HZ)
            for block in endless_blocks(WRITTEN_BLOCK_S):
                file.writeframes(np.rint(block[:left] * 32767.0).astype("<i2").tobytes())
                left -= len(block)
                if left <= 0:
                    return path
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path
