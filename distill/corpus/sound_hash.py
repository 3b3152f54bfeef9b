"""Hashes a recording's samples, so that one sound in two files is found."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from core.audio import open_recording
from distill.corpus.waveform_store import to_int16


class SoundHash:
    """SHA-256 of a recording's samples at its own rate, in 16 bits: the same for WAV and FLAC of one sound."""

    def __init__(self, rate_hz: int) -> None:
        self._digest = hashlib.sha256(str(rate_hz).encode())

    def of(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The blocks, each taken in before it is handed on."""
        for block in blocks:
            self._digest.update(to_int16(block).tobytes())
            yield block

    @property
    def sha256(self) -> str:
        """Of the blocks that were handed on."""
        return self._digest.hexdigest()


def sha256_of_sound(path: Path) -> str:
    """The `SoundHash` of a whole recording."""
    with open_recording(path) as reader:
        sound = SoundHash(reader.sample_rate_hz)
        for _ in sound.of(reader.blocks()):
            pass
    return sound.sha256
