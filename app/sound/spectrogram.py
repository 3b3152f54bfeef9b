"""Turns sound, as it comes, into levels of 20 ms frames and into the columns of a moving spectrogram."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

FRAME_S = 0.02
FRAMES_A_SECOND = 50
COLUMN_FRAMES = 2  # so 25 columns a second
BANDS_HZ = (
    (300, 600),
    (600, 1200),
    (1200, 2400),
    (2400, 4800),
)  # octaves in which coughs and breaths have their energy
HUM_HZ = 150  # what lies below counts for no level: hum, wind and handling
N_ROWS = 48
ROWS_HZ = (100.0, 8000.0)
ROWS_DBFS = (-95.0, -25.0)  # what rows of the values 0 and 255 mean
TINY = 1e-12  # -120 dBFS


@dataclass(frozen=True, eq=False)
class Frames:
    """What new sound gave.

    ``powers`` (n_frames,) are mean squares above 150 Hz, 1 being full scale; ``band_powers`` (n_frames, 4) those in
    `BANDS_HZ`; ``peaks`` (n_frames,) the largest amplitudes. ``columns`` (n_columns, 48) uint8 have the lowest
    frequency first.
    """

    powers: np.ndarray
    band_powers: np.ndarray
    peaks: np.ndarray
    columns: np.ndarray


class Spectrogram:
    """Measures one stream at a sample rate in Hz; how it is cut into blocks does not matter. About 0.4 ms a second."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._n_frame = max(8, round(FRAME_S * sample_rate_hz))
        window = np.hanning(self._n_frame + 1)[:-1]
        self._window = window.astype(np.float32)
        frequency_hz = np.fft.rfftfreq(self._n_frame, 1.0 / sample_rate_hz)
        self._scale = 2.0 / (self._n_frame * float(np.square(window).sum()))
        sums = [(frequency_hz >= low) & (frequency_hz < high) for low, high in BANDS_HZ]
        self._bands = np.stack([frequency_hz > HUM_HZ, *sums], axis=1).astype(np.float32)
        self._rows = _row_weights(frequency_hz)
        self._tail = np.zeros(0, np.float32)
        self._odd = np.zeros((0, len(frequency_hz)), np.float32)

    def push(self, samples: np.ndarray) -> Frames:
        """Take the next samples, shape (n,), float32 in [-1, 1]."""
        waiting = np.concatenate([self._tail, samples])
        n_whole = len(waiting) // self._n_frame * self._n_frame
        frames, self._tail = waiting[:n_whole].reshape(-1, self._n_frame), waiting[n_whole:].copy()
        spectra = np.fft.rfft(frames * self._window, axis=1)
        spectra = (np.square(spectra.real) + np.square(spectra.imag)).astype(np.float32) * np.float32(self._scale)
        sums = spectra @ self._bands
        peaks = np.abs(frames).max(axis=1, initial=0.0)
        return Frames(sums[:, 0], sums[:, 1:], peaks, self._columns(spectra))

    def _columns(self, spectra: np.ndarray) -> np.ndarray:
        spectra = np.concatenate([self._odd, spectra])
        n_whole = len(spectra) // COLUMN_FRAMES * COLUMN_FRAMES
        self._odd = spectra[n_whole:].copy()
        means = spectra[:n_whole].reshape(-1, COLUMN_FRAMES, spectra.shape[1]).mean(axis=1)
        levels_dbfs = 10.0 * np.log10(means @ self._rows + TINY)
        low, high = ROWS_DBFS
        return np.clip((levels_dbfs - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)


def _row_weights(frequency_hz: np.ndarray) -> np.ndarray:
    """Shape (n_frequencies, N_ROWS): each row is the mean over its band, or what lies nearest to a narrow one."""
    edges_hz = np.geomspace(*ROWS_HZ, N_ROWS + 1)
    weights = np.zeros((len(frequency_hz), N_ROWS), np.float32)
    for row, (low, high) in enumerate(pairwise(edges_hz)):
        inside = np.flatnonzero((frequency_hz >= low) & (frequency_hz < high))
        if not len(inside) and low <= frequency_hz[-1]:
            inside = [int(np.abs(frequency_hz - np.sqrt(low * high)).argmin())]
        if len(inside):
            weights[inside, row] = 1.0 / len(inside)
    return weights
