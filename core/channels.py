"""Chooses what to hear of a recording with more than one channel, by its sound."""

import numpy as np

BAND_RATE_HZ = 4_000  # to which samples are averaged before the difference is taken: a band from about 300 to 2000 Hz
FRAME_S = 0.02
STEP_DB, LOWEST_DB, N_BINS = 0.5, -120.0, 360  # of a histogram of frame levels, up to +60 dB
QUIET_PERCENTILE = 10.0
LOUD_SHARE, MAX_LOUD_FRAMES = 0.05, 25  # the loud part: this share of the frames, at most half a second
QUIETEST_DB = -75.0  # pauses below it are as good as silent: a gate's or a codec's zeros prove no better channel
BETTER_DB = 3.0  # what one channel must stand out more than the average, in which independent noise falls by as much


class ChannelMeter:
    """Measures how far the sound of each channel, and of their average, stands out from its pauses.

    A channel that is noise, dead, or of opposite polarity spoils the average. Where a channel alone stands out more by
    `BETTER_DB`, it is taken. Levels are of 20 ms frames in a band from about 300 to 2000 Hz, where coughs have most of
    their energy and hum has none, the band of `core.monitoring.gate.Gate`.

    Parameters
    ----------
    n_channels : int, at least 2
    sample_rate_hz : int
    """

    def __init__(self, n_channels: int, sample_rate_hz: int) -> None:
        self._n_channels = n_channels
        self._thinned = max(1, round(sample_rate_hz / BAND_RATE_HZ))
        self._frame_values = max(1, round(FRAME_S * sample_rate_hz / self._thinned))
        self._histograms = np.zeros((n_channels + 1, N_BINS), np.int64)

    def push(self, frames: np.ndarray) -> None:
        """Take the next frames, float32, shape (n, n_channels); the rest that fills no 20 ms is left out."""
        n_values = len(frames) // self._thinned
        n_frames = (n_values - 1) // self._frame_values
        if n_frames < 1:
            return
        n_values = n_frames * self._frame_values + 1
        grouped = frames[: n_values * self._thinned].reshape(n_values, self._thinned, self._n_channels)
        means = np.empty((self._n_channels + 1, n_values), np.float32)
        np.einsum("ijc->ci", grouped, out=means[:-1])
        means[:-1] /= self._thinned
        np.mean(means[:-1], axis=0, out=means[-1])
        differences = np.diff(means, axis=1).reshape(self._n_channels + 1, n_frames, self._frame_values)
        powers = np.einsum("cij,cij->ci", differences, differences) / self._frame_values
        levels_db = 10.0 * np.log10(np.maximum(powers, 1e-12))
        bins = np.minimum(((levels_db - LOWEST_DB) / STEP_DB).astype(np.int64), N_BINS - 1)
        for histogram, places in zip(self._histograms, bins, strict=True):
            histogram += np.bincount(places, minlength=N_BINS)

    def weights(self) -> np.ndarray:
        """The weight of each channel, shape (n_channels,), float32: all alike for the average, or one that is 1."""
        standing_out_db = [_standing_out_db(histogram) for histogram in self._histograms]
        best = int(np.argmax(standing_out_db[:-1]))
        if standing_out_db[best] - standing_out_db[-1] > BETTER_DB:
            return one_channel(best + 1, self._n_channels)
        return average(self._n_channels)


def one_channel(number: int, n_channels: int) -> np.ndarray:
    """Weights that take the channel of this number, from 1 on, alone: float32, shape (n_channels,)."""
    return np.eye(n_channels, dtype=np.float32)[number - 1]


def average(n_channels: int) -> np.ndarray:
    """Weights that take all channels alike: float32, shape (n_channels,)."""
    return np.full(n_channels, 1 / n_channels, np.float32)


def _standing_out_db(histogram: np.ndarray) -> float:
    """How far the loud frames of a histogram lie above the quiet ones, or above `QUIETEST_DB`."""
    counts = np.cumsum(histogram)
    if not counts[-1]:
        return 0.0
    n_loud = max(1, min(MAX_LOUD_FRAMES, round(LOUD_SHARE * counts[-1])))
    quiet, loud = np.searchsorted(counts, [QUIET_PERCENTILE / 100.0 * counts[-1], counts[-1] - n_loud + 1])
    return float(LOWEST_DB + loud * STEP_DB - max(LOWEST_DB + quiet * STEP_DB, QUIETEST_DB))
