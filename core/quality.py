"""Decides whether a recording can be scored at all, and why not."""

from dataclasses import dataclass, replace
from math import log10

import numpy as np

from core.audio import SAMPLE_RATE_HZ
from core.sound.dead_air import FRAME_SAMPLES, DeadAir

# The gate turns away only what nobody could score. Beside each limit: the most extreme ordinary clip of 2881 that were
# measured in 13 open packs of coughs, breaths, speech, cries, laughter and noise.
MIN_DURATION_S = 0.2  # spoken digits begin at 0.14 s, coughs at 0.26 s
MIN_LOUDEST_FRAME_DBFS = -60.0  # the quietest clip reaches -51, eight breaths flagged as near silent -60 to -43
MAX_CLIPPED_FRACTION = 0.3  # overdriven speech has 0.07; a full-scale square wave of 3 kHz, resampled, 0.38
MIN_CREST_DB = 2.5  # peak over rms: ordinary clips have 5.9 and more, a sine 3.0, a square wave 0 to 2.3, below 1 kHz

CLIPPED_FROM = 0.98  # of full scale: resampling leaves ripples on a flat top
FLOOR_DBFS = -120.0  # reported for digital silence, because JSON has no infinity
MIN_SNR_FRAMES = 25  # half a second, below which percentiles mean nothing
MIN_PAUSE_DBFS = -90.0  # one step of 16 bits: a pause below it is the work of a noise gate or codec, not of the room
LOUD_PERCENTILE, QUIET_PERCENTILE = 95.0, 10.0
HISTOGRAM_STEP_DB = 0.25
HISTOGRAM_BINS = 640  # from FLOOR_DBFS to +40 dBFS, the loudest that core.audio lets through
GROUP_FRAMES = 300  # measured at once, so that they stay in the processor's cache
HISTOGRAM_EDGES = 10.0 ** ((FLOOR_DBFS + HISTOGRAM_STEP_DB * np.arange(1, HISTOGRAM_BINS)) / 10.0)  # as mean squares

# What the high-pass (core.sound.high_pass) leaves of loud hum, its higher harmonics, covers coughs where even the quiet
# frames are loud and nothing stands out. Hum of 50 and of 60 Hz repeats itself every 100 ms, noise does not.
HUM_PERIOD_FRAMES = 5
MIN_HUM_LIKENESS = 0.5  # correlation of a frame with the one a period later, on average
MIN_COVERING_HUM_DB, MIN_HUM_DB = 1.0, 6.0  # that the quiet frames lose by the high-pass: some, or nearly all
MIN_COVER_DBFS = -32.0  # of the quiet frames behind it
MAX_COVERED_DB, LOUD_FRAMES = 8.0, 6  # that this many frames, a tenth of a second, lie above the quiet ones
MAX_LEFT_DB = -35.0  # of hum behind it
MIN_HEARD_FRAMES = 12  # a quarter of a second that is not silent behind it; hum that begins or ends makes a few

REASON_SENTENCES = {
    "too_short": f"The recording is shorter than {MIN_DURATION_S} s; record for longer.",
    "silent": "The recording is silent; check that the microphone is connected, allowed and not covered.",
    "clipped": "The recording is overdriven throughout; record again further from the microphone.",
    "hum": "Hum covers the recording; move the microphone away from mains cables and record again.",
    "truncated": "The recording is cut short or damaged; what is there was scored.",
    "partly_dead": "Nothing reached the microphone for part of the recording; that part was not scored.",
}
REMARKS = frozenset({"truncated", "partly_dead"})  # reasons for care that leave a recording acceptable


@dataclass(frozen=True)
class Quality:
    """The gate's verdict and measurements.

    Levels are of the waveform without its mean: an offset is not taken for sound.

    Attributes
    ----------
    acceptable : bool
        Whether the recording may be scored.
    reasons : tuple of str
        Why not, as words that stay the same; `REASON_SENTENCES` says each for people. Those in `REMARKS` call for care
        and leave the recording acceptable.
    peak_dbfs, rms_dbfs : float
        0 is full scale, for the rms too (a full-scale sine has -3.0); never below -120.
    clipped_fraction : float in [0, 1]
        Samples within 2 % of full scale, or beyond.
    snr_db : float or None
        95th less 10th percentile of the level of 20 ms frames: how far the sound stands out from the pauses. It is low
        for steady sound, which is not bad. None under half a second, or where the pauses are below -90 dBFS.
    duration_s : float
    dead_s : float
        Time in which nothing reached the microphone (`core.sound.dead_air`): it was not heard.
    """

    acceptable: bool
    reasons: tuple[str, ...]
    peak_dbfs: float
    rms_dbfs: float
    clipped_fraction: float
    snr_db: float | None
    duration_s: float
    dead_s: float = 0.0

    def with_remark(self, reason: str) -> "Quality":
        """The same with a reason for care beside the others."""
        return replace(self, reasons=(*self.reasons, reason))


class QualityMeter:
    """Measures a recording at 16 kHz as it streams by; any division into blocks gives the same.

    Memory is constant but for one byte a second. `is_dead` is a `DeadAir`'s.
    """

    def __init__(self, is_dead: bool = False) -> None:
        self.dead_air = DeadAir(is_dead)
        self._tail = np.zeros(0, np.float32)  # the newest samples, less than a frame
        self._passed_tail = np.zeros(0, np.float32)  # the same behind the high-pass
        self._n_samples = self._n_clipped = 0
        self._sums = np.zeros(2)  # of all samples and of their squares
        self._lowest, self._highest = np.inf, -np.inf
        self._loudest_frame = 0.0
        self._histogram = np.zeros(HISTOGRAM_BINS, np.int64)
        self._passed_histogram = np.zeros(HISTOGRAM_BINS, np.int64)
        self._compared_frame = np.zeros((0, FRAME_SAMPLES), np.float32)  # every fifth is compared with the fifth before
        self._compared_square = np.zeros(0)
        self._n_passed_frames, self._sum_of_likeness = 0, np.zeros(1)

    def push(self, block: np.ndarray) -> None:
        """Take the next samples, shape (n,), float32 at 16 kHz."""
        block = np.asarray(block, np.float32)
        if not len(block):
            return
        self._n_samples += len(block)
        lowest, highest = float(block.min()), float(block.max())
        self._lowest, self._highest = min(self._lowest, lowest), max(self._highest, highest)
        if max(highest, -lowest) >= CLIPPED_FROM:
            self._n_clipped += int(np.count_nonzero(np.abs(block) >= CLIPPED_FROM))
        frames, self._tail = _whole_frames(self._tail, block)
        for start in range(0, len(frames), GROUP_FRAMES):
            self._push_frames(frames[start : start + GROUP_FRAMES])

    def push_passed(self, block: np.ndarray) -> None:
        """Take the next samples as the model hears them, behind the high-pass, shape (n,), float32 at 16 kHz."""
        frames, self._passed_tail = _whole_frames(self._passed_tail, block)
        if not len(frames):
            return
        squares = np.einsum("ij,ij->i", frames, frames).astype(np.float64)
        self._passed_histogram += _counts(squares / FRAME_SAMPLES)
        fifth = slice(-self._n_passed_frames % HUM_PERIOD_FRAMES, None, HUM_PERIOD_FRAMES)
        self._n_passed_frames += len(frames)
        compared = np.concatenate([self._compared_frame, frames[fifth]])
        squares = np.concatenate([self._compared_square, squares[fifth]])
        self._compared_frame, self._compared_square = compared[-1:].copy(), squares[-1:]
        products = np.einsum("ij,ij->i", compared[:-1], compared[1:])
        likeness = 2 * products / (squares[:-1] + squares[1:] + 1e-9)
        self._sum_of_likeness = _added(self._sum_of_likeness, likeness[None])

    def verdict(self) -> Quality:
        """The quality of all that came so far; may be asked for at any time and changes nothing."""
        tail = self._tail.astype(np.float64)
        n_samples = max(1, self._n_samples)
        mean = float(self._sums[0] + tail.sum()) / n_samples
        power = float(self._sums[1] + np.square(tail).sum()) / n_samples - mean * mean
        peak = max(self._highest - mean, mean - self._lowest) if self._n_samples else 0.0
        peak_dbfs, rms_dbfs = _dbfs(peak * peak), _dbfs(power)
        clipped_fraction = self._n_clipped / n_samples
        loudest_dbfs = _dbfs(max(self._loudest_frame, float(tail.var()) if len(tail) else 0.0))
        dead_s = self.dead_air.dead_s
        reasons = self._reasons(loudest_dbfs, clipped_fraction, peak_dbfs - rms_dbfs, dead_s)
        return Quality(
            acceptable=REMARKS.issuperset(reasons),
            reasons=reasons,
            peak_dbfs=peak_dbfs,
            rms_dbfs=rms_dbfs,
            clipped_fraction=clipped_fraction,
            snr_db=self._snr_db(),
            duration_s=self._n_samples / SAMPLE_RATE_HZ,
            dead_s=dead_s,
        )

    def _push_frames(self, frames: np.ndarray) -> None:
        """Add whole frames, shape (n_frames, 320): as they lie about their first sample, so that float32 is enough."""
        first = frames[:, 0].astype(np.float64)
        around = frames - frames[:, :1]
        means = np.einsum("ij->i", around).astype(np.float64) / FRAME_SAMPLES
        powers = np.einsum("ij,ij->i", around, around).astype(np.float64) / FRAME_SAMPLES
        self._sums = _added(self._sums, FRAME_SAMPLES * np.array([first + means, powers + first * (first + 2 * means)]))
        variances = powers - means * means
        self._loudest_frame = max(self._loudest_frame, float(variances.max()))
        self._histogram += _counts(variances)
        self.dead_air.push(variances)

    def _reasons(
        self, loudest_frame_dbfs: float, clipped_fraction: float, crest_db: float, dead_s: float
    ) -> tuple[str, ...]:
        reasons = []
        if self._n_samples < MIN_DURATION_S * SAMPLE_RATE_HZ:
            reasons.append("too_short")
        is_dead = dead_s and dead_s > self._n_samples / SAMPLE_RATE_HZ - 1
        if self._n_samples and (loudest_frame_dbfs < MIN_LOUDEST_FRAME_DBFS or is_dead):
            reasons.append("silent")
        elif self._n_samples and (clipped_fraction > MAX_CLIPPED_FRACTION or crest_db < MIN_CREST_DB):
            reasons.append("clipped")
        elif self._is_covered_by_hum():
            reasons.append("hum")
        elif dead_s:
            reasons.append("partly_dead")
        return tuple(reasons)

    def _is_covered_by_hum(self) -> bool:
        """Whether hum hides coughs: what the high-pass leaves of it is loud, or nothing else is there."""
        n_frames = int(self._passed_histogram.sum())
        if n_frames < MIN_SNR_FRAMES:
            return False
        quiet_dbfs, _ = _percentiles_dbfs(self._histogram)
        passed_dbfs, _ = _percentiles_dbfs(self._passed_histogram)
        hum_db = quiet_dbfs - passed_dbfs
        if hum_db <= min(MIN_COVERING_HUM_DB, MIN_HUM_DB):
            return False
        loud_place = np.cumsum(self._passed_histogram).searchsorted(n_frames - LOUD_FRAMES + 1)
        loud_passed_dbfs = _level_dbfs(int(loud_place))
        covers = passed_dbfs > MIN_COVER_DBFS and loud_passed_dbfs - passed_dbfs < MAX_COVERED_DB
        is_like_hum = self._sum_of_likeness > MIN_HUM_LIKENESS * (n_frames // HUM_PERIOD_FRAMES)
        silent_dbfs = max(MIN_LOUDEST_FRAME_DBFS, quiet_dbfs + MAX_LEFT_DB)
        loud_bin = int((silent_dbfs - FLOOR_DBFS) / HISTOGRAM_STEP_DB) + 1
        is_alone = int(self._passed_histogram[loud_bin:].sum()) < MIN_HEARD_FRAMES
        return (covers and is_like_hum and hum_db > MIN_COVERING_HUM_DB) or (is_alone and hum_db > MIN_HUM_DB)

    def _snr_db(self) -> float | None:
        """Distance between the two percentiles of the histogram, to its resolution of 0.25 dB."""
        if self._histogram.sum() < MIN_SNR_FRAMES:
            return None
        quiet_dbfs, loud_dbfs = _percentiles_dbfs(self._histogram)
        return None if quiet_dbfs < MIN_PAUSE_DBFS else loud_dbfs - quiet_dbfs


def _whole_frames(tail: np.ndarray, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frames that a block completes, shape (n_frames, 320), and the samples that are left."""
    waiting = np.concatenate([tail, block]) if len(tail) else block
    n_whole = len(waiting) // FRAME_SAMPLES * FRAME_SAMPLES
    return waiting[:n_whole].reshape(-1, FRAME_SAMPLES), waiting[n_whole:].copy()


def _added(sums: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """`sums`, shape (n,), and `terms`, shape (n, n_frames), one after the other, so that their grouping is the same."""
    return np.cumsum(np.concatenate([sums[:, None], terms], axis=1), axis=1)[:, -1]


def _counts(powers: np.ndarray) -> np.ndarray:
    return np.bincount(HISTOGRAM_EDGES.searchsorted(powers, side="right"), minlength=HISTOGRAM_BINS)


def _percentiles_dbfs(histogram: np.ndarray) -> tuple[float, float]:
    """The quiet and the loud percentile of a histogram's levels."""
    counts = np.cumsum(histogram)
    n_frames = int(counts[-1])
    quiet = counts.searchsorted(QUIET_PERCENTILE / 100.0 * n_frames)
    return _level_dbfs(int(quiet)), _level_dbfs(int(counts.searchsorted(LOUD_PERCENTILE / 100.0 * n_frames)))


def _level_dbfs(place: int) -> float:
    return FLOOR_DBFS + place * HISTOGRAM_STEP_DB


def _dbfs(power: float) -> float:
    """Decibels of a mean square, full scale being 1; `FLOOR_DBFS` at least."""
    return max(FLOOR_DBFS, 10.0 * log10(power)) if power > 0.0 else FLOOR_DBFS
