"""The sound of a blow: its level and its spectrum follow the flow by the laws that the module names."""

import numpy as np
import pytest
from scipy.signal import welch

from distill.probes.spirometry.blow_sound import (
    CRITICAL_REYNOLDS,
    REFERENCE_LEVEL_DB_SPL,
    Phone,
    Place,
    Room,
    blow_sound,
    recorded_power,
    source_pascal,
    source_spectrum,
)

QUIET = Room(noise_db_spl=-40.0)
IDEAL = Phone(noise_db_spl=-40.0)


def steady(flow_l_per_s, place, seed=0):
    return blow_sound(np.full(4000, flow_l_per_s), place, np.random.default_rng(seed))


@pytest.mark.parametrize("flow_l_per_s", [1.0, 3.0, 9.0])
@pytest.mark.parametrize("room", [Room(decay_s=0.05, noise_db_spl=-40.0), QUIET], ids=["dry", "lively"])
def test_a_steady_flow_is_as_loud_as_the_law_says(flow_l_per_s, room):
    place = Place(room=room, phone=IDEAL)
    power = np.mean(steady(flow_l_per_s, place)[16_000:64_000].astype(float) ** 2)
    assert 10 * np.log10(power / recorded_power(np.float64(flow_l_per_s), place)) == pytest.approx(0, abs=0.6)


def test_the_source_is_silent_below_the_critical_reynolds_number_and_then_grows_with_its_square():
    critical_l_per_s = CRITICAL_REYNOLDS * np.pi * 0.015 * 1.6e-5 / 4e-3
    assert source_pascal(np.array([0.0, 0.99 * critical_l_per_s]), 0.015).tolist() == [0.0, 0.0]
    assert 20 * np.log10(source_pascal(np.float64(10.0), 0.015)) + 94 == pytest.approx(REFERENCE_LEVEL_DB_SPL)
    large = source_pascal(np.array([20.0, 40.0]), 0.015)
    assert large[1] / large[0] == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize("flow_l_per_s", [5.0, 10.0])
def test_a_jet_is_loudest_where_strouhal_says_and_a_faster_one_sounds_higher(flow_l_per_s):
    sound = steady(flow_l_per_s, Place(room=QUIET, phone=Phone(band_hz=(5.0, 1e5), noise_db_spl=-40.0)))
    frequency_hz, density = welch(sound[16_000:64_000], 16_000, nperseg=2048)
    peak_hz = 0.2 * 4e-3 * flow_l_per_s / (np.pi * 0.015**2) / 0.015
    below_peak, whole = np.pi / 8 - 1 / 4, np.pi / 4 - peak_hz / 8000  # of x^2 / (1 + x^2)^2, up to 8 kHz
    assert density[frequency_hz < peak_hz].sum() / density.sum() == pytest.approx(below_peak / whole, abs=0.03)


def test_the_spectrum_holds_the_whole_power():
    assert source_spectrum(np.array([0.0, 5.0]), 0.015).sum(axis=1) == pytest.approx([1, 1])


def test_twice_the_distance_is_6_db_quieter_until_the_room_takes_over():
    def level_db(distance_m, room):
        return 10 * np.log10(recorded_power(np.float64(5.0), Place(distance_m=distance_m, room=room)))

    dead, lively = Room(decay_s=1e-6), Room(volume_m3=20, decay_s=1.0)
    assert level_db(0.2, dead) - level_db(0.4, dead) == pytest.approx(6.02, abs=0.01)
    assert level_db(2.0, lively) - level_db(4.0, lively) < 1.0


def test_a_pause_holds_the_noise_of_room_and_phone():
    place = Place(room=Room(noise_db_spl=40.0), phone=Phone(noise_db_spl=20.0, band_hz=(1.0, 1e6)))
    sound = steady(5.0, place)
    level_dbfs = 10 * np.log10(np.mean(sound[:8000].astype(float) ** 2))
    assert level_dbfs == pytest.approx(40 - 94 - 14, abs=0.5)


def test_a_sensitive_phone_clips_and_automatic_gain_levels():
    loud = steady(10.0, Place(distance_m=0.05))
    assert np.abs(loud).max() == 1.0 and loud.dtype == np.float32
    flow = np.repeat([9.0, 2.0], 2000)

    def contrast_db(gain_power):
        sound = blow_sound(flow, Place(phone=Phone(gain_power=gain_power)), np.random.default_rng(1))
        halves = (sound[16_000:36_000], sound[44_000:68_000])
        return -10 * np.log10(np.mean(halves[1].astype(float) ** 2) / np.mean(halves[0].astype(float) ** 2))

    assert contrast_db(0.6) == pytest.approx(0.4 * contrast_db(0.0), rel=0.15)


def test_the_same_generator_makes_the_same_sound():
    assert np.array_equal(steady(3.0, Place(), 7), steady(3.0, Place(), 7))
    assert not np.array_equal(steady(3.0, Place(), 7), steady(3.0, Place(), 8))
