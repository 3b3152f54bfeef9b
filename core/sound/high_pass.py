"""Takes hum and offset out of a stream at 16 kHz before the model hears it."""

from functools import lru_cache
from math import pi
from typing import NamedTuple

import numpy as np

from core.sound import SAMPLE_RATE_HZ

STOP_HZ, PASS_HZ = 152.0, 190.0  # hum of 50 or 60 Hz and its harmonics up to 150 Hz lie below
THINNED = 16  # the low band is computed at a sixteenth of the rate
THIN_RATE_HZ = SAMPLE_RATE_HZ / THINNED
SPAN = 4  # blocks of THINNED samples that make one thinned sample, and that one is spread over
HALF_TAPS = 28  # of the filter at the low rate
KAISER_BETA = 4.0
CHUNK_BLOCKS = 440  # 22 frames of 20 ms, the grid on which everything is computed
CHUNKS_AT_ONCE = 8  # that the processor's cache holds
TILE, PAIR = 32, 2  # thinned samples and blocks that one row of a product makes
REACH_BLOCKS = SPAN - 1 + HALF_TAPS  # before and after a block, of the sound that its low band depends on
N_TILES = -(-(CHUNK_BLOCKS + SPAN - 1) // TILE)
TILES_FROM = TILE * np.arange(N_TILES)[:, None] + np.arange(TILE + 2 * HALF_TAPS)  # thinned samples of each tile
SPREAD_FROM = PAIR * np.arange(CHUNK_BLOCKS // PAIR)[:, None] + np.arange(PAIR + SPAN - 1)  # and of each pair of blocks
REACH_SAMPLES, CHUNK_SAMPLES = REACH_BLOCKS * THINNED, CHUNK_BLOCKS * THINNED


class HighPass:
    """Streaming high-pass filter of linear phase, its delay taken out: n samples in, n samples out.

    An offset is taken out whole, and hum up to 150 Hz by 43 dB; from 200 Hz on nothing changes by more than 0.1 dB. The
    low band is computed at a sixteenth of the rate and subtracted (Crochiere and Rabiner 1983, Multirate Digital Signal
    Processing, chapter 5). The stream counts as constant before its first sample and after its last, so that an offset
    makes no click there. How blocks are cut does not matter. The output lags by less than 0.5 s.
    """

    def __init__(self) -> None:
        self._filters = _filters()
        self._held = np.zeros(0, np.float32)  # the newest samples, from REACH_SAMPLES before the next to come out

    def process(self, block: np.ndarray) -> np.ndarray:
        """Take the next samples, shape (n,), and return those that they complete, float32, shape (m,), m >= 0."""
        block = np.asarray(block, np.float32)
        if len(block) and not len(self._held):
            self._held = np.full(REACH_SAMPLES, block[0])
        held = np.concatenate([self._held, block])
        n_chunks = (len(held) - 2 * REACH_SAMPLES) // CHUNK_SAMPLES
        if n_chunks < 1:
            self._held = held
            return np.zeros(0, np.float32)
        passed = np.empty(n_chunks * CHUNK_SAMPLES, np.float32)
        for start in range(0, len(passed), CHUNKS_AT_ONCE * CHUNK_SAMPLES):
            group = passed[start : start + CHUNKS_AT_ONCE * CHUNK_SAMPLES]
            low_band = _low_band(held[start:], len(group) // CHUNK_SAMPLES, self._filters)
            np.subtract(held[start + REACH_SAMPLES :][: len(group)], low_band, out=group)
        self._held = held[len(passed) :].copy()
        return passed

    def flush(self) -> np.ndarray:
        """End the stream and return what is left, float32, shape (m,)."""
        n_left = len(self._held) - REACH_SAMPLES
        if n_left <= 0:
            return np.zeros(0, np.float32)
        n_computed = -(-n_left // CHUNK_SAMPLES) * CHUNK_SAMPLES
        return self.process(np.full(n_computed - n_left + REACH_SAMPLES, self._held[-1]))[:n_left]


def high_passed(waveform: np.ndarray) -> np.ndarray:
    """A whole waveform at 16 kHz, shape (n,), without its hum and offset: float32, shape (n,)."""
    high_pass = HighPass()
    return np.concatenate([high_pass.process(waveform), high_pass.flush()])


class _Filters(NamedTuple):
    """``thin``, (SPAN, THINNED), makes the thinned stream; ``low`` filters it and ``spread`` undoes it, both banded."""

    thin: np.ndarray
    low: np.ndarray
    spread: np.ndarray


def _low_band(sound: np.ndarray, n_chunks: int, filters: _Filters) -> np.ndarray:
    """What lies below `STOP_HZ` in CHUNK_SAMPLES of `sound` for each chunk, from its sample REACH_SAMPLES on.

    Each chunk has products of its own, of one size, so that how many come together changes no bit.
    """
    n_blocks = CHUNK_BLOCKS + 2 * REACH_BLOCKS
    n_thinned = n_blocks - SPAN + 1
    strides = (CHUNK_SAMPLES * sound.itemsize, sound.itemsize, THINNED * sound.itemsize)
    columns = np.ndarray((n_chunks, THINNED, n_blocks), np.float32, sound, strides=strides)
    sheared = np.empty((n_chunks, SPAN * (n_blocks + 1)), np.float32)  # rows of n_blocks, read as rows one longer
    np.matmul(filters.thin, columns, out=sheared[:, :-SPAN].reshape(n_chunks, SPAN, n_blocks))
    thinned = np.zeros((n_chunks, N_TILES * TILE + 2 * HALF_TAPS), np.float32)  # the last tile reaches beyond
    sheared = sheared.reshape(n_chunks, SPAN, n_blocks + 1)[:, :, :n_thinned]
    np.add.reduce(sheared, axis=1, out=thinned[:, :n_thinned])
    low = (thinned.take(TILES_FROM, axis=1) @ filters.low).reshape(n_chunks, N_TILES * TILE)
    return (low.take(SPREAD_FROM, axis=1) @ filters.spread).reshape(-1)


@lru_cache(maxsize=1)
def _filters() -> _Filters:
    """The three filters, of which the one at the low rate makes up for what the other two take (least squares)."""
    places = np.arange(SPAN)[:, None] - (SPAN - 1) / 2
    time_s = (THINNED * places + np.arange(THINNED) - (THINNED - 1) / 2) / SAMPLE_RATE_HZ
    window = np.i0(KAISER_BETA * np.sqrt(1 - np.square(time_s * THIN_RATE_HZ / (SPAN / 2))))
    kernel = np.sinc(THIN_RATE_HZ * time_s) * window
    thin, spread = kernel / kernel.sum(), kernel / kernel.sum(axis=0)
    frequency_hz = np.concatenate([np.linspace(0, STOP_HZ, 120), np.linspace(PASS_HZ, THIN_RATE_HZ / 2, 200)])
    both = _response(thin, time_s, frequency_hz) * _response(spread / THINNED, time_s, frequency_hz)
    taps = np.arange(HALF_TAPS + 1)
    cosines = np.cos(2 * pi * frequency_hz[:, None] * taps / THIN_RATE_HZ) * np.where(taps == 0, 1, 2)
    weights = np.where(frequency_hz == 0, 30.0, 1.0)[:, None]  # an offset may be the largest of all
    wanted = (frequency_hz <= STOP_HZ)[:, None]
    half = np.linalg.lstsq(cosines * both[:, None] * weights, wanted * weights, rcond=None)[0][:, 0]
    low = np.concatenate([half[:0:-1], half])
    return _Filters(thin.astype(np.float32), _banded(low[:, None], TILE), _banded(spread[::-1], PAIR))


def _response(kernel: np.ndarray, time_s: np.ndarray, frequency_hz: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ijf->f", kernel, np.cos(2 * pi * frequency_hz * time_s[..., None]))


def _banded(taps: np.ndarray, n_rows: int) -> np.ndarray:
    """The matrix by which a row of n_rows + n_taps - 1 samples gives n_rows times ``width`` filtered ones.

    `taps` has shape (n_taps, width); the matrix has shape (n_rows + n_taps - 1, n_rows * width), float32.
    """
    n_taps, width = taps.shape
    matrix = np.zeros((n_rows + n_taps - 1, n_rows * width), np.float32)
    for row in range(n_rows):
        matrix[row : row + n_taps, row * width : (row + 1) * width] = taps
    return matrix
