"""Decides whether a recording can be scored at all, and why not."""

from dataclasses import dataclass
from math import log10

import numpy as np

from core.audio import SAMPLE_RATE_HZ

# The gate turns away only what nobody could score. Beside each limit: the most extreme ordinary clip of 2881 that were
# measured in 13 open packs of coughs, breaths, speech, cries, laughter and noise.
MIN_DURATION_S = 0.2  # spoken digits begin at 0.14 s, coughs at 0.26 s
MIN_LOUDEST_FRAME_DBFS = -60.0  # the quietest clip reaches -51, eight breaths flagged as near silent -60 to -43
MAX_CLIPPED_FRACTION = 0.3  # overdriven speech has 0.07; a full-scale square wave of 3 kHz, resampled, 0.38
MIN_CREST_DB = 2.5  # peak over rms: ordinary clips have 5.9 and more, a sine 3.0, a square wave 0 to 2.3, below 1 kHz

CLIPPED_FROM = 0.98  # of full scale: resampling leaves ripples on a flat top
FLOOR_DBFS = -120.0  # reported for digital silence, because JSON has no infinity
FRAME_SAMPLES = 320  # 20 ms
MIN_SNR_FRAMES = 25  # half a second, below which percentiles mean nothing
MIN_PAUSE_DBFS = -90.0  # one step of 16 bits: a pause below it is the work of a noise gate or codec, not of the room
LOUD_PERCENTILE, QUIET_PERCENTILE = 95.0, 10.0
HISTOGRAM_STEP_DB = 0.25
HISTOGRAM_BINS = 640  # from FLOOR_DBFS to +40 dBFS, the loudest that core.audio lets through

REASON_SENTENCES = {
    "too_short": f"The recording is shorter than {MIN_DURATION_S} s; record for longer.",
    "silent": "The recording is silent; check that the microphone is connected, allowed and not covered.",
    "clipped": "The recording is overdriven throughout; record again further from the microphone.",
}


@dataclass(frozen=True)
class Quality:
    """The gate's verdict and measurements.

    Levels are of the waveform without its mean: an offset is not taken for sound.

    Attributes
    ----------
    acceptable : bool
        Whether the recording may be scored.
    reasons : tuple of str
        Why not, as words that stay the same; `REASON_SENTENCES` says each for people.
    peak_dbfs, rms_dbfs : float
        0 is full scale, for the rms too (a full-scale sine has -3.0); never below -120.
    clipped_fraction : float in [0, 1]
        Samples within 2 % of full scale, or beyond.
    snr_db : float or None
        95th less 10th percentile of the level of 20 ms frames: how far the sound stands out from the pauses. It is low
        for steady sound, which is not bad. None under half a second, or where the pauses are below -90 dBFS.
    duration_s : float
    """

    acceptable: bool
    reasons: tuple[str, ...]
    peak_dbfs: float
    rms_dbfs: float
    clipped_fraction: float
    snr_db: float | None
    duration_s: float


class QualityMeter:
    """Measures a recording at 16 kHz as it streams by, in constant memory; any division into blocks gives the same."""

    def __init__(self) -> None:
        self._tail = np.zeros(0, np.float32)  # the newest samples, less than a frame
        self._n_samples = self._n_clipped = 0
        self._sum = self._sum_of_squares = 0.0
        self._lowest, self._highest = np.inf, -np.inf
        self._loudest_frame_dbfs = FLOOR_DBFS
        self._histogram = np.zeros(HISTOGRAM_BINS, np.int64)

    def push(self, block: np.ndarray) -> None:
        """Take the next samples, shape (n,), float32 at 16 kHz."""
        block = np.asarray(block, np.float32)
        if not len(block):
            return
        self._n_samples += len(block)
        self._n_clipped += int(np.count_nonzero(np.abs(block) >= CLIPPED_FROM))
        self._lowest = min(self._lowest, float(block.min()))
        self._highest = max(self._highest, float(block.max()))
        waiting = np.concatenate([self._tail, block])
        n_whole = len(waiting) // FRAME_SAMPLES * FRAME_SAMPLES
        self._tail = waiting[n_whole:].copy()
        if n_whole:
            self._push_frames(waiting[:n_whole].reshape(-1, FRAME_SAMPLES).astype(np.float64))

    def verdict(self) -> Quality:
        """The quality of all that came so far; may be asked for at any time and changes nothing."""
        tail = self._tail.astype(np.float64)
        n_samples = max(1, self._n_samples)
        mean = (self._sum + float(tail.sum())) / n_samples
        power = (self._sum_of_squares + float(np.square(tail).sum())) / n_samples - mean * mean
        peak = max(self._highest - mean, mean - self._lowest) if self._n_samples else 0.0
        peak_dbfs, rms_dbfs = _dbfs(peak * peak), _dbfs(power)
        clipped_fraction = self._n_clipped / n_samples
        loudest_dbfs = max(self._loudest_frame_dbfs, _dbfs(float(tail.var())) if len(tail) else FLOOR_DBFS)
        reasons = self._reasons(loudest_dbfs, clipped_fraction, peak_dbfs - rms_dbfs)
        return Quality(
            acceptable=not reasons,
            reasons=reasons,
            peak_dbfs=peak_dbfs,
            rms_dbfs=rms_dbfs,
            clipped_fraction=clipped_fraction,
            snr_db=self._snr_db(),
            duration_s=self._n_samples / SAMPLE_RATE_HZ,
        )

    def _push_frames(self, frames: np.ndarray) -> None:
        """Add whole frames, float64, shape (n_frames, 320)."""
        sums, squares = frames.sum(axis=1), np.einsum("ij,ij->i", frames, frames)
        # cumsum adds one after the other, so the result does not depend on how many frames came together.
        self._sum = float(np.cumsum(np.concatenate([[self._sum], sums]))[-1])
        self._sum_of_squares = float(np.cumsum(np.concatenate([[self._sum_of_squares], squares]))[-1])
        variances = squares / FRAME_SAMPLES - np.square(sums / FRAME_SAMPLES)
        powers = np.maximum(variances, 10.0 ** (FLOOR_DBFS / 10.0))
        levels_dbfs = 10.0 * np.log10(powers)
        self._loudest_frame_dbfs = max(self._loudest_frame_dbfs, float(levels_dbfs.max()))
        bins = np.clip((levels_dbfs - FLOOR_DBFS) / HISTOGRAM_STEP_DB, 0, HISTOGRAM_BINS - 1).astype(np.int64)
        self._histogram += np.bincount(bins, minlength=HISTOGRAM_BINS)

    def _reasons(self, loudest_frame_dbfs: float, clipped_fraction: float, crest_db: float) -> tuple[str, ...]:
        reasons = []
        if self._n_samples < MIN_DURATION_S * SAMPLE_RATE_HZ:
            reasons.append("too_short")
        if self._n_samples and loudest_frame_dbfs < MIN_LOUDEST_FRAME_DBFS:
            reasons.append("silent")
        elif self._n_samples and (clipped_fraction > MAX_CLIPPED_FRACTION or crest_db < MIN_CREST_DB):
            reasons.append("clipped")
        return tuple(reasons)

    def _snr_db(self) -> float | None:
        """Distance between the two percentiles of the histogram, to its resolution of 0.25 dB."""
        counts = np.cumsum(self._histogram)
        if counts[-1] < MIN_SNR_FRAMES:
            return None
        quiet, loud = np.searchsorted(counts, np.array([QUIET_PERCENTILE, LOUD_PERCENTILE]) / 100.0 * counts[-1])
        if FLOOR_DBFS + quiet * HISTOGRAM_STEP_DB < MIN_PAUSE_DBFS:
            return None
        return float(loud - quiet) * HISTOGRAM_STEP_DB


def _dbfs(power: float) -> float:
    """Decibels of a mean square, full scale being 1; `FLOOR_DBFS` at least."""
    return max(FLOOR_DBFS, 10.0 * log10(power)) if power > 0.0 else FLOOR_DBFS
