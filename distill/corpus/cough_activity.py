"""Derives frame-wise cough activity from a recording labelled cough as a whole."""

import numpy as np

from distill.corpus.labels import ACTIVITY_FRAME_STEP_S, N_ACTIVITY_FRAMES

STEP_SAMPLES = int(ACTIVITY_FRAME_STEP_S * 16_000)
RANGE_DB = 25.0
FRACTION_OF_RANGE = 0.45
MIN_CONTRAST_DB = 8.0


def frame_levels_db(waveform: np.ndarray) -> np.ndarray:
    """Level of each whole 40-ms frame in dB, shape (n_samples // 640,), for float samples in [-1, 1]."""
    n_frames = len(waveform) // STEP_SAMPLES
    frames = waveform[: n_frames * STEP_SAMPLES].reshape(n_frames, STEP_SAMPLES)
    return 10 * np.log10(np.mean(np.square(frames, dtype=np.float64), axis=1) + 1e-12)


def active_frames(waveform: np.ndarray) -> np.ndarray:
    """Mark the loud frames of a recording, shape (n_samples // 640,), bool.

    Active is what lies less than `RANGE_DB` under the peak and above `FRACTION_OF_RANGE` of the way from the quiet
    level (10th percentile) to the peak. A recording without `MIN_CONTRAST_DB` between the two has no known activity.
    """
    levels = frame_levels_db(waveform)
    if len(levels) == 0:
        return np.zeros(0, dtype=bool)
    quiet, peak = np.percentile(levels, 10), levels.max()
    if peak - quiet < MIN_CONTRAST_DB:
        return np.zeros(len(levels), dtype=bool)
    return levels > max(peak - RANGE_DB, quiet + FRACTION_OF_RANGE * (peak - quiet))


def runs(active: np.ndarray) -> list[tuple[int, int]]:
    """Return the [start, stop) of each run of active frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def place_activity(active: np.ndarray, offset_frames: int) -> np.ndarray:
    """Cut or extend `active` to a clip that starts `offset_frames` into it, shape (N_ACTIVITY_FRAMES,), float32."""
    placed = np.zeros(N_ACTIVITY_FRAMES, dtype=np.float32)
    first, last = max(0, offset_frames), min(len(active), offset_frames + N_ACTIVITY_FRAMES)
    if last > first:
        placed[first - offset_frames : last - offset_frames] = active[first:last]
    return placed
