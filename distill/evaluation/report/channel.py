"""Describes how a recording was made, not what is heard in it: band, level, noise floor, rate and file format."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.audio import open_recording
from core.quality import FLOOR_DBFS

FRAME_S = 0.02
QUIET_SHARE = 0.2  # of the frames: the pauses, in which the channel is heard and not the person
BAND_SHARE = 0.95  # of the power of the pauses lies below the band's end
HEARD_S = 60.0

Channel = dict[str, float | str]


def describe_channel(path: Path) -> Channel:
    """Describe the channel of a recording from its first minute, at its own rate.

    Returns
    -------
    dict
        ``format`` (the file's ending), ``sample_rate_hz``, ``n_channels``, ``level_dbfs`` (rms), ``peak_dbfs``,
        ``noise_floor_dbfs`` (of the quietest fifth of frames of 20 ms), ``band_hz`` (below it lies 95 % of the power of
        those), ``band_above_4_khz_db`` (what share of their power lies above 4 kHz), ``clipped_fraction``.

    Raises
    ------
    AudioError
        If the recording cannot be read.
    """
    with open_recording(path) as reader:
        rate_hz, blocks, n_samples = reader.sample_rate_hz, [], 0
        for block in reader.blocks():
            blocks.append(block)
            n_samples += len(block)
            if n_samples >= HEARD_S * rate_hz:
                break
        facts: Channel = {
            "format": path.suffix.lower().lstrip("."),
            "sample_rate_hz": float(rate_hz),
            "n_channels": float(reader.n_channels),
        }
    return facts | describe_sound(np.concatenate(blocks) if blocks else np.zeros(1, np.float32), rate_hz)


def describe_sound(waveform: NDArray[np.float32], rate_hz: int) -> Channel:
    """The part of `describe_channel` that samples tell, (n,) in [-1, 1]."""
    sound = waveform.astype(np.float64) - float(np.mean(waveform, dtype=np.float64))
    n_frame = max(1, round(FRAME_S * rate_hz))
    frames = np.resize(sound, max(n_frame, len(sound) // n_frame * n_frame)).reshape(-1, n_frame)
    power = np.square(frames).mean(axis=1)
    n_quiet = max(1, round(QUIET_SHARE * len(frames)))
    quiet = frames[np.argsort(power, kind="stable")[:n_quiet]]
    spectrum = np.square(np.abs(np.fft.rfft(quiet * np.hanning(n_frame), axis=1))).mean(axis=0)
    frequency_hz = np.fft.rfftfreq(n_frame, 1 / rate_hz)
    cumulative = np.cumsum(spectrum)
    total = cumulative[-1]
    band = int(np.searchsorted(cumulative, BAND_SHARE * total)) if total > 0 else 0
    above = float(spectrum[frequency_hz >= 4000].sum() / total) if total > 0 else 0.0
    return {
        "level_dbfs": _dbfs(float(np.square(sound).mean())),
        "peak_dbfs": _dbfs(float(np.square(sound).max())),
        "noise_floor_dbfs": _dbfs(float(np.square(quiet).mean())),
        "band_hz": float(frequency_hz[min(band, len(frequency_hz) - 1)]),
        "band_above_4_khz_db": _dbfs(above),
        "clipped_fraction": float(np.mean(np.abs(waveform) >= 0.98)),
    }


def _dbfs(power: float) -> float:
    return max(FLOOR_DBFS, 10 * float(np.log10(power))) if power > 0 else FLOOR_DBFS
