"""Recovers the flow of a forced expiration from its sound, where the lips, the distance and the phone are known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.audio import SAMPLE_RATE_HZ
from core.errors import DataError
from distill.probes.spirometry.blow_sound import Place, recorded_power
from distill.probes.spirometry.forced_expiration import (
    END_L_PER_S,
    FLOW_RATE_HZ,
    MAX_BLOW_S,
    measure_flow,
)

HOP_S = 0.01
LEAST_PAUSE_S = 0.15  # before a blow: what the room sounds like
MAX_FLOW_L_PER_S = 20.0
HEARD_DB = 3.0  # of a frame above the pause
TAIL_S = 0.4  # of the end that is heard: how the flow falls there is how it goes on
LEAST_HEARD_S = 1.0  # for FEV1
MOST_UNHEARD = 0.2  # of the volume, for FVC
_HOP_SAMPLES = round(HOP_S * SAMPLE_RATE_HZ)
_SMOOTHING = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9.0
_ONSET_FRAMES = 5

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HeardBlow:
    """The loudness of one blow in steps of `HOP_S`.

    ``power`` (n_frames,) mean square of full scale, smoothed; ``floor`` that of the pause before the blow;
    ``start`` and ``end`` the frames between which the blow stands out.
    """

    power: Array
    floor: float
    start: int
    end: int

    @property
    def heard_s(self) -> float:
        """How long the blow stands out."""
        return (self.end - self.start) * HOP_S

    @property
    def levels_db(self) -> Array:
        """Each frame of the whole recording above the pause, 0 at least."""
        return 10 * np.log10(np.maximum(self.power, self.floor) / self.floor)

    @property
    def signal(self) -> Array:
        """The blow's own power in each frame from ``start`` to ``end``, without the pause's."""
        return np.maximum(self.power[self.start : self.end] - self.floor, 0.0)


@dataclass(frozen=True)
class RecoveredLung:
    """What the sound of a blow tells: litres and litres per second, None where too much of the blow is inaudible.

    ``heard_s`` is how long the blow stood out; ``unheard_share`` the part of the volume, 0 to 1, that left unheard.
    """

    fev1_l: float | None
    fvc_l: float | None
    pef_l_per_s: float
    heard_s: float
    unheard_share: float

    @property
    def fev1_fvc(self) -> float | None:
        """FEV1/FVC where both are known."""
        return self.fev1_l / self.fvc_l if self.fev1_l is not None and self.fvc_l is not None else None


def hear_blow(waveform: ArrayLike) -> HeardBlow:
    """Find the blow in a recording at 16 kHz: the loudest stretch, which begins after a pause.

    Raises
    ------
    DataError
        If the recording is too short, nothing stands out of it, or there is no pause before the blow.
    """
    samples = np.asarray(waveform, dtype=np.float64)
    n_frames = len(samples) // _HOP_SAMPLES
    if n_frames < 2 * len(_SMOOTHING):
        raise DataError(f"a recording of a blow has at least 0.1 s, got {len(samples) / SAMPLE_RATE_HZ:.2f} s")
    raw = np.square(samples[: n_frames * _HOP_SAMPLES].reshape(n_frames, -1)).mean(axis=1)
    power = np.convolve(raw, _SMOOTHING, mode="same")
    peak, floor = int(np.argmax(power)), max(float(np.percentile(raw, 5)), 1e-12)
    threshold = 10 ** (HEARD_DB / 10) * floor
    is_quiet = power < threshold
    before = _ends_of_pauses(is_quiet[:peak])
    start = int(before[-1]) if len(before) else 0
    pause = raw[: max(0, start - _ONSET_FRAMES)]
    if len(pause) * HOP_S < LEAST_PAUSE_S or power[peak] < threshold:
        raise DataError(f"no blow stands out after a pause of at least {LEAST_PAUSE_S:g} s")
    floor = max(float(np.median(pause)), 1e-12)
    after = np.flatnonzero(power[peak:] < 10 ** (HEARD_DB / 10) * floor)
    return HeardBlow(power, floor, start, peak + int(after[0]) if len(after) else n_frames)


def _ends_of_pauses(is_quiet: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where a pause of at least `LEAST_PAUSE_S` ends; a closed throat within a blow is shorter or not silent."""
    n_pause = round(LEAST_PAUSE_S / HOP_S)
    if len(is_quiet) < n_pause:
        return np.zeros(0, np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(is_quiet, n_pause)
    return np.flatnonzero(windows.all(axis=1)) + n_pause


def flow_of(blow: HeardBlow, place: Place) -> Array:
    """Flow in litres per second, `FLOW_RATE_HZ` values a second, from where the blow is heard to its end.

    The end that is too quiet to be heard falls on as the last `TAIL_S` that were heard, as an exponential.
    """
    grid = np.linspace(0.0, MAX_FLOW_L_PER_S, 2001)
    made = recorded_power(grid, place)
    heard = np.interp(blow.signal, made, grid)
    n_tail = min(len(heard), round(TAIL_S / HOP_S))
    n_unheard = round(MAX_BLOW_S / HOP_S) - len(heard)
    if blow.end < len(blow.power) and n_unheard > 0 and n_tail > 2:
        heard = np.concatenate([heard, _falling_on(heard[-n_tail:], n_unheard)])
    time_s = np.arange(round(len(heard) * HOP_S * FLOW_RATE_HZ)) / FLOW_RATE_HZ
    return np.interp(time_s, np.arange(len(heard)) * HOP_S, heard)


def recover(waveform: ArrayLike, place: Place) -> RecoveredLung:
    """FEV1, FVC and PEF of the blow in a recording at 16 kHz, by `recovered_lung`.

    `place` fixes the scale: a phone 6 dB more sensitive than `place` says makes a lung some 40 % larger. FEV1/FVC
    hardly depends on it.

    Raises
    ------
    DataError
        If no blow can be heard.
    """
    blow = hear_blow(waveform)
    return recovered_lung(blow, flow_of(blow, place))


def recovered_lung(blow: HeardBlow, flow_l_per_s: Array) -> RecoveredLung:
    """FEV1, FVC and PEF of a blow's flow (see `flow_of`), without what would rest on sound that nobody can hear."""
    heard_s, lung = blow.heard_s, measure_flow(flow_l_per_s).lung
    unheard_share = float(flow_l_per_s[round(heard_s * FLOW_RATE_HZ) :].sum() / flow_l_per_s.sum())
    fev1_l = lung.fev1_l if heard_s >= LEAST_HEARD_S else None
    fvc_l = lung.fvc_l if unheard_share <= MOST_UNHEARD else None
    return RecoveredLung(fev1_l, fvc_l, lung.pef_l_per_s, heard_s, unheard_share)


def _falling_on(tail: Array, n_frames: int) -> Array:
    """What follows a tail by its exponential, until `END_L_PER_S`; nothing where it does not fall."""
    positions = np.flatnonzero(tail > 0)
    if len(positions) < 2:
        return np.zeros(0)
    slope, level = np.polyfit(positions, np.log(tail[positions]), 1)
    if slope >= 0:
        return np.zeros(0)
    after = np.exp(level + slope * (len(tail) + np.arange(n_frames)))
    return after[after > END_L_PER_S]
