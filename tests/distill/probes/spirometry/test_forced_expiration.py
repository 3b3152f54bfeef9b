"""The flow of a forced expiration: it has the FEV1, FVC and PEF that it was made from."""

import numpy as np
import pytest

from core.errors import DataError
from distill.probes.spirometry.forced_expiration import (
    END_L_PER_S,
    FLOW_RATE_HZ,
    MAX_BLOW_S,
    Lung,
    expiratory_flow,
    measure_flow,
)


@pytest.mark.parametrize(
    "lung",
    [Lung(4.0, 5.0, 9.0), Lung(3.2, 3.4, 7.0), Lung(1.2, 3.0, 3.5), Lung(0.7, 2.5, 2.8), Lung(4.5, 5.0, 14.0)],
    ids=["healthy", "young", "obstructed", "severely obstructed", "athlete"],
)
def test_a_flow_has_the_values_that_it_was_made_from(lung):
    flow = expiratory_flow(lung)
    spirogram = measure_flow(flow)
    assert spirogram.lung.fev1_l == pytest.approx(lung.fev1_l, abs=1e-4)
    assert spirogram.lung.fvc_l == pytest.approx(lung.fvc_l, abs=1e-4)
    assert spirogram.lung.pef_l_per_s == pytest.approx(lung.pef_l_per_s)
    assert spirogram.lung.fev1_fvc == pytest.approx(lung.fev1_l / lung.fvc_l, abs=1e-4)
    assert flow[0] == 0 and (flow >= 0).all()
    assert len(flow) <= MAX_BLOW_S * FLOW_RATE_HZ + 1
    assert spirogram.back_extrapolated_l < max(0.05 * lung.fvc_l, 0.1)  # a good start by ATS/ERS 2019


def test_a_straight_flow_volume_curve_is_measured_as_worked_by_hand():
    time_s = np.arange(0, 6, 1 / FLOW_RATE_HZ)
    flow = 8.0 * np.exp(-time_s / 0.5)  # a lung of 4 L without any rise: time zero is the first value
    spirogram = measure_flow(flow)
    assert spirogram.lung.fvc_l == pytest.approx(4 * (1 - np.exp(-12)), abs=1e-4)
    assert spirogram.lung.fev1_l == pytest.approx(4 * (1 - np.exp(-2)), abs=1e-4)
    assert spirogram.back_extrapolated_l == 0 and spirogram.peak_after_s == 0
    assert spirogram.duration_s == pytest.approx(0.5 * np.log(8 / END_L_PER_S), abs=0.002)


def test_a_slow_start_is_measured_from_the_back_extrapolated_zero():
    lung = Lung(3.0, 4.0, 6.0)
    slow, fast = (measure_flow(expiratory_flow(lung, rise_s)) for rise_s in (0.4, 0.1))
    assert slow.lung.fev1_l == pytest.approx(3.0, abs=1e-4)
    assert slow.peak_after_s == pytest.approx(0.2, abs=0.002)  # half of a rise as a squared sine
    assert slow.back_extrapolated_l > 3 * fast.back_extrapolated_l


@pytest.mark.parametrize(
    "lung",
    [
        Lung(4.0, 3.9, 9.0),
        Lung(3.0, 3.0, 9.0),
        Lung(-1.0, 3.0, 9.0),
        Lung(2.0, 4.0, 0.04),
        Lung(2.9, 3.0, 3.0),
        Lung(0.3, 4.0, 9.0),
        Lung(float("nan"), 3.0, 5.0),
    ],
)
def test_values_that_no_blow_has_are_refused(lung):
    with pytest.raises(DataError, match=f"no forced expiration that rises in 0.1 s has FEV1 {lung.fev1_l:g} L"):
        expiratory_flow(lung)


@pytest.mark.parametrize("flow", [np.zeros(100), np.zeros(0), np.array([1.0])])
def test_a_blow_without_flow_is_refused(flow):
    with pytest.raises(DataError, match="without any flow"):
        measure_flow(flow)
