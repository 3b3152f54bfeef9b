"""Changes the sample rate of a stream, anti-aliased; how the blocks are cut does not matter."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import ceil, gcd, pi

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from core.errors import AudioError

# The low-pass filter passes frequencies up to 0.9 of the smaller of the two Nyquist frequencies within 0.1 dB. From
# that Nyquist frequency on it is at least 80 dB down. Length and shape after Kaiser (Oppenheim and Schafer, 7.5.3).
PASSBAND, STOPBAND = 0.9, 1.0
ATTENUATION_DB = 86.0  # designed for; 6 dB in hand
KAISER_BETA = 0.1102 * (ATTENUATION_DB - 8.7)
TABLE_OUTPUTS = 7680  # samples computed at once, about: half a second at 16 kHz
POLYNOMIAL_OUTPUTS = 1024
MAX_TABLE_SIZE = 2**20  # numbers in a table of phases (4 MB); where it would be larger, phases are interpolated
TILE_COLUMNS = 16
SERIAL_PRODUCT = 2**18  # multiplications up to which OpenBLAS stays on one thread
N_COEFFICIENTS = 9  # of that interpolation, whose error then lies below the stopband


class Resampler:
    """Streaming polyphase resampler with a Kaiser-windowed sinc of linear phase, its delay taken out.

    Output sample k is the filtered input at time k / `to_hz`; n input samples give ceil(n * to_hz / from_hz). The
    recording counts as zero before its beginning and after its end. Everything is computed in chunks of one fixed size,
    so the output is bit for bit the same for any division into blocks. It lags by about a quarter of a second. Where
    the rates have no small ratio (44101 Hz), a polynomial between phases replaces the table of all phases. That keeps
    the memory bounded. Equal rates pass through unchanged.

    Parameters
    ----------
    from_hz, to_hz : int
        Sample rates, whole numbers of Hz.

    Raises
    ------
    AudioError
        If a rate is not a positive whole number.
    """

    def __init__(self, from_hz: int, to_hz: int = 16_000) -> None:
        for rate_hz in (from_hz, to_hz):
            if rate_hz != int(rate_hz) or rate_hz < 1:
                raise AudioError(f"the sample rate {rate_hz} Hz cannot be used; expected a positive whole number.")
        divisor = gcd(int(from_hz), int(to_hz))
        self._up, self._down = int(to_hz) // divisor, int(from_hz) // divisor
        self._phases = _phases(self._up, self._down) if self._up != self._down else None
        self._held = np.zeros(self._phases.n_before if self._phases else 0, np.float32)
        self._n_received = self._n_computed = 0
        self._flushed = False

    def process(self, block: np.ndarray) -> np.ndarray:
        """Take the next samples, shape (n,), and return those that they complete, float32, shape (m,), m >= 0."""
        if self._flushed:
            raise RuntimeError("process after flush: a Resampler takes one recording")
        block = np.asarray(block, np.float32)
        self._n_received += len(block)
        return block if self._phases is None else self._compute(block)

    def flush(self) -> np.ndarray:
        """End the recording and return what is left, float32, shape (m,)."""
        self._flushed = True
        if self._phases is None:
            return np.zeros(0, np.float32)
        first, expected = self._n_computed, -(-self._n_received * self._up // self._down)
        rest = [np.zeros(0, np.float32)]
        while self._n_computed < expected:
            rest.append(self._compute(np.zeros(self._phases.chunk_inputs, np.float32)))
        return np.concatenate(rest)[: expected - first]

    def _compute(self, block: np.ndarray) -> np.ndarray:
        """Add a block and compute all chunks that are then complete."""
        phases, held = self._phases, np.concatenate([self._held, block])
        chunks = [np.zeros(0, np.float32)]
        while len(held) >= phases.chunk_inputs:
            chunks.append(phases.chunk(held[: phases.chunk_inputs], self._n_computed))
            start = self._n_computed * self._down // self._up
            self._n_computed += phases.chunk_outputs
            held = held[self._n_computed * self._down // self._up - start :]
        self._held = held.copy()
        return np.concatenate(chunks)


def resample(waveform: np.ndarray, from_hz: int) -> np.ndarray:
    """A whole waveform, shape (n,), at 16 kHz: float32, shape (ceil(n * 16000 / from_hz),)."""
    resampler = Resampler(from_hz)
    return np.concatenate([resampler.process(waveform), resampler.flush()])


def resample_blocks(blocks: Iterable[np.ndarray], from_hz: int) -> Iterator[np.ndarray]:
    """Blocks of a waveform at 16 kHz, as they come; together the same samples as `resample` gives."""
    resampler = Resampler(from_hz)
    for block in blocks:
        yield resampler.process(block)
    yield resampler.flush()


class _PhaseTable:
    """All phases of the filter as one banded matrix, several periods of the ratio wide: a product for each few columns.

    Attributes
    ----------
    n_before : int
        Inputs that the filter reaches back, less the one at its centre.
    chunk_inputs, chunk_outputs : int
        Samples that `chunk` takes and gives.
    """

    def __init__(self, up: int, down: int, half_taps: int) -> None:
        repeats = _periods(down, half_taps)
        outputs = np.arange(up)
        taps = _taps(up, down, half_taps, (outputs * down % up) / up)
        first_rows = (np.arange(repeats)[:, None] * down + outputs * down // up).reshape(-1, 1)
        matrix = np.zeros((repeats * down + 2 * half_taps, repeats * up), np.float32)
        columns = np.arange(repeats * up)[:, None]
        matrix[first_rows + np.arange(2 * half_taps), columns] = np.tile(taps, (repeats, 1))
        self._tiles = [_Tile(matrix, first) for first in range(0, repeats * up, TILE_COLUMNS)]
        self._advance, self._depth = repeats * down, len(matrix)
        self._n_rows = max(1, round(TABLE_OUTPUTS / matrix.shape[1]))
        self.n_before = half_taps - 1
        self.chunk_outputs = self._n_rows * matrix.shape[1]
        self.chunk_inputs = (self._n_rows - 1) * self._advance + matrix.shape[0]

    def chunk(self, inputs: np.ndarray, first_output: int) -> np.ndarray:
        """Outputs `first_output` and on (a multiple of `chunk_outputs`), from the inputs their filters cover."""
        step = inputs.strides[0]
        rows = as_strided(inputs, (self._n_rows, self._depth), (self._advance * step, step), writeable=False)
        rows = np.ascontiguousarray(rows)
        outputs = np.empty((self._n_rows, self.chunk_outputs // self._n_rows), np.float32)
        for tile in self._tiles:
            _serial_product(rows[:, tile.inputs], tile.matrix, outputs[:, tile.outputs])
        return outputs.reshape(-1)


class _Tile:
    """Some columns of a table of phases, without the rows that are zero in all of them."""

    def __init__(self, matrix: np.ndarray, first_column: int) -> None:
        self.outputs = slice(first_column, min(first_column + TILE_COLUMNS, matrix.shape[1]))
        columns = matrix[:, self.outputs]
        used = np.flatnonzero(columns.any(axis=1))
        self.inputs = slice(int(used[0]), int(used[-1]) + 1)
        self.matrix = np.ascontiguousarray(columns[self.inputs])


class _PhasePolynomial:
    """Every tap of the filter as a polynomial of the phase (a Farrow structure): any ratio with a small table.

    The attributes are those of `_PhaseTable`.
    """

    def __init__(self, up: int, down: int, half_taps: int) -> None:
        nodes = 0.5 * np.cos(pi * (np.arange(N_COEFFICIENTS) + 0.5) / N_COEFFICIENTS)  # Chebyshev, in [-0.5, 0.5]
        values = _taps(up, down, half_taps, nodes + 0.5)
        self._coefficients = np.linalg.solve(np.vander(nodes, increasing=True), values).T.astype(np.float32)
        self._up, self._down = up, down
        self.n_before = half_taps - 1
        self.chunk_outputs = POLYNOMIAL_OUTPUTS
        self.chunk_inputs = (POLYNOMIAL_OUTPUTS - 1) * down // up + 1 + 2 * half_taps

    def chunk(self, inputs: np.ndarray, first_output: int) -> np.ndarray:
        """As `_PhaseTable.chunk`."""
        positions = np.arange(first_output, first_output + self.chunk_outputs, dtype=np.int64) * self._down
        starts = positions // self._up - first_output * self._down // self._up
        phases = ((positions % self._up) / self._up - 0.5).astype(np.float32)
        rows = sliding_window_view(inputs, len(self._coefficients))[starts]
        terms = np.empty((self.chunk_outputs, N_COEFFICIENTS), np.float32)
        _serial_product(rows, self._coefficients, terms)
        outputs = terms[:, -1]
        for power in range(N_COEFFICIENTS - 2, -1, -1):
            outputs = outputs * phases + terms[:, power]
        return outputs


def _serial_product(rows: np.ndarray, matrix: np.ndarray, product: np.ndarray) -> None:
    """Put `rows` @ `matrix` into `product`, some rows at a time, so that BLAS does not divide it among threads.

    Where other work holds the second core, a divided product waits for it: an hour at 44.1 kHz took 42 s, not 3.
    """
    n_rows = max(2, SERIAL_PRODUCT // matrix.size)
    for first in range(0, len(rows), n_rows):
        np.matmul(rows[first : first + n_rows], matrix, out=product[first : first + n_rows])


@lru_cache(maxsize=8)
def _phases(up: int, down: int) -> _PhaseTable | _PhasePolynomial:
    """The filter for a ratio up / down in lowest terms, made once."""
    transition = (STOPBAND - PASSBAND) * pi * min(1.0, up / down)  # radians per input sample
    half_taps = ceil((ATTENUATION_DB - 7.95) / (2.285 * transition) / 2)
    repeats = _periods(down, half_taps)
    is_small = (repeats * down + 2 * half_taps) * repeats * up <= MAX_TABLE_SIZE
    return (_PhaseTable if is_small else _PhasePolynomial)(up, down, half_taps)


def _periods(down: int, half_taps: int) -> int:
    """Periods of the ratio in one row of the table: as many as make its step about as long as the filter."""
    return max(1, round(2 * half_taps / down))


def _taps(up: int, down: int, half_taps: int, phases: np.ndarray) -> np.ndarray:
    """Filter taps, float64, shape (n_phases, 2 * half_taps), for output times `phases` in [0, 1] past an input.

    Tap j weighs the input `half_taps` - 1 - j samples before that one.
    """
    time_samples = np.asarray(phases)[:, None] + (half_taps - 1 - np.arange(2 * half_taps))
    band = (PASSBAND + STOPBAND) / 2 * min(1.0, up / down)  # cut-off, of the input's Nyquist frequency
    window = np.i0(KAISER_BETA * np.sqrt(np.maximum(0.0, 1.0 - np.square(time_samples / half_taps))))
    return band * np.sinc(band * time_samples) * window / np.i0(KAISER_BETA)
