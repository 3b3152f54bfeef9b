"""Draws the flow of a forced expiration from a lung's FEV1, FVC and PEF, and measures them on any flow."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError

FLOW_RATE_HZ = 1000
RISE_S = 0.1  # from nothing to the peak flow; healthy people's 10 to 90 % takes some 60 ms
END_L_PER_S = 0.025  # ATS/ERS 2019: less than 25 mL in a second ends a blow
MAX_BLOW_S = 15.0  # or this time
FAST_PART_S = 0.1  # in which the airways that close first have emptied
MOST_CONVEX = -0.7  # of the shapes of a flow-volume curve: convex in the young, concave in obstruction
_MAX_SLOW_S = 10.0
_EMPTYING_S = (0.02, 60.0)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Lung:
    """What a spirometer would read: volumes in litres, peak flow in litres per second."""

    fev1_l: float
    fvc_l: float
    pef_l_per_s: float

    @property
    def fev1_fvc(self) -> float:
        """The share of the vital capacity that the first second empties, 0 to 1."""
        return self.fev1_l / self.fvc_l


@dataclass(frozen=True)
class Spirogram:
    """What ATS/ERS 2019 measure on a blow; time zero is the back-extrapolated one.

    ``back_extrapolated_l`` left before time zero. ``peak_after_s`` is the time from zero to the peak flow,
    ``duration_s`` to the last flow above `END_L_PER_S`.
    """

    lung: Lung
    back_extrapolated_l: float
    peak_after_s: float
    duration_s: float


def expiratory_flow(lung: Lung, rise_s: float = RISE_S) -> Array:
    """Flow in litres per second, `FLOW_RATE_HZ` values a second, from the first air to the plateau or 15 s.

    The flow rises as a squared sine. Then a straight flow-volume curve is bent, until FEV1 leaves in the first second
    after the back-extrapolated start (`_flow` tells how).

    Raises
    ------
    DataError
        If no blow has these three values.
    """
    from scipy.optimize import brentq

    if not (0 < lung.fev1_l < lung.fvc_l and lung.pef_l_per_s > 2 * END_L_PER_S):
        raise _no_lung(lung, rise_s)

    def surplus_l(shape: float) -> float:
        return measure_flow(_flow_of_shape(lung, shape, rise_s)).lung.fev1_l - lung.fev1_l

    most_convex, most_concave = MOST_CONVEX, 1 - lung.fvc_l / lung.pef_l_per_s / _MAX_SLOW_S
    if not surplus_l(most_convex) >= 0 >= surplus_l(most_concave):
        raise _no_lung(lung, rise_s)
    return _flow_of_shape(lung, brentq(surplus_l, most_convex, most_concave, xtol=1e-6), rise_s)


def measure_flow(flow_l_per_s: Array) -> Spirogram:
    """FEV1, FVC, PEF and the start of a flow, `FLOW_RATE_HZ` values a second.

    Raises
    ------
    DataError
        If there is no flow.
    """
    flow = np.asarray(flow_l_per_s, dtype=np.float64)
    if len(flow) < 2 or not flow.max() > 0:
        raise DataError("a blow without any flow has no FEV1, FVC and PEF")
    volume_l = _volume_l(flow)
    peak = int(np.argmax(flow))
    zero_s = peak / FLOW_RATE_HZ - volume_l[peak] / flow[peak]
    time_s = np.arange(len(flow)) / FLOW_RATE_HZ
    fev1_l, before_l = np.interp([zero_s + 1.0, zero_s], time_s, volume_l)
    end_s = float(np.flatnonzero(flow >= min(END_L_PER_S, flow[peak]))[-1]) / FLOW_RATE_HZ
    lung = Lung(float(fev1_l), float(volume_l[-1]), float(flow[peak]))
    return Spirogram(lung, float(before_l), float(peak / FLOW_RATE_HZ - zero_s), float(end_s - zero_s))


def _flow_of_shape(lung: Lung, shape: float, rise_s: float) -> Array:
    """The flow with this shape and the lung's FVC and PEF; the time in which the lung empties is the one that fits."""
    from scipy.optimize import brentq  # a second to import, for nobody who only reads the help

    def surplus_l(emptying_s: float) -> float:
        return float(_volume_l(_flow(lung.pef_l_per_s, shape, emptying_s, rise_s))[-1]) - lung.fvc_l

    if surplus_l(_EMPTYING_S[0]) >= 0 or surplus_l(_EMPTYING_S[1]) <= 0:
        raise _no_lung(lung, rise_s)
    return _flow(lung.pef_l_per_s, shape, brentq(surplus_l, *_EMPTYING_S, xtol=1e-7), rise_s)


def _flow(pef_l_per_s: float, shape: float, emptying_s: float, rise_s: float) -> Array:
    """A straight flow-volume curve at shape 0, which is an exponential in time.

    Below 0 it is convex: ``flow = pef left^(1 + shape)``. Above 0 that share of it is a fast part of the lung.
    """
    time_s = np.arange(round(MAX_BLOW_S * FLOW_RATE_HZ) + 1) / FLOW_RATE_HZ
    since_peak_s = np.maximum(time_s - rise_s, 0.0)
    if shape < -1e-6:
        fall = np.maximum(1 + shape * since_peak_s / emptying_s, 0.0) ** -((1 + shape) / shape)
    else:
        fall = (1 - shape) * np.exp(-since_peak_s / emptying_s) + shape * np.exp(-since_peak_s / FAST_PART_S)
    flow = pef_l_per_s * np.sin(np.pi / 2 * np.minimum(time_s / rise_s, 1.0)) ** 2 * fall
    ended = np.flatnonzero((since_peak_s > 0) & (flow < END_L_PER_S))
    return flow[: ended[0] + 1] if len(ended) else flow


def _volume_l(flow_l_per_s: Array) -> Array:
    """The volume that has left the lung at each value of the flow."""
    return np.concatenate([[0.0], np.cumsum(flow_l_per_s[1:] + flow_l_per_s[:-1])]) / (2 * FLOW_RATE_HZ)


def _no_lung(lung: Lung, rise_s: float) -> DataError:
    values = f"FEV1 {lung.fev1_l:g} L, FVC {lung.fvc_l:g} L, PEF {lung.pef_l_per_s:g} L/s"
    return DataError(f"no forced expiration that rises in {rise_s:g} s has {values}")
