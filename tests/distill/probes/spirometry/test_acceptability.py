"""Acceptability: each fault of a blow is named by the reason that it has, a good blow by none."""

import numpy as np
import pytest

from distill.probes.spirometry.acceptability import (
    REASON_SENTENCES,
    JudgedBlow,
    judge_blow,
    judge_session,
    reasons_in_words,
)
from distill.probes.spirometry.blow_sound import Phone, Place, Room, blow_sound
from distill.probes.spirometry.flow_from_sound import RecoveredLung
from distill.probes.spirometry.forced_expiration import Lung, expiratory_flow

LUNGS = {
    "healthy": Lung(3.6, 4.4, 8.5),
    "young": Lung(3.1, 3.4, 7.0),
    "obstructed": Lung(1.8, 3.2, 4.8),
}
ROOMS = {"quiet": Room(40, 0.4, 30.0), "lively": Room(25, 0.6, 34.0)}


def judged(flow, room=ROOMS["quiet"], seed=0, **place):
    sound = blow_sound(flow, Place(room=room, **place), np.random.default_rng(seed))
    return judge_blow(sound, Place())


def stopped(flow, at_s):
    """The flow as a closing throat ends it, in 30 ms."""
    cut = flow[: round(at_s * 1000)].copy()
    cut[-30:] *= np.linspace(1, 0, 30)
    return cut


def coughed(flow, at_s):
    """The flow with a throat closed for 120 ms, a burst of 60 ms, and what is left of the flow."""
    at = round(at_s * 1000)
    burst = flow.max() * 0.7 * np.sin(np.pi * np.arange(60) / 60)
    return np.concatenate([flow[:at], np.zeros(120), burst, flow[at:]])


@pytest.mark.parametrize("lung", LUNGS.values(), ids=LUNGS.keys())
@pytest.mark.parametrize("room", ROOMS.values(), ids=ROOMS.keys())
def test_a_good_blow_has_no_reason(lung, room):
    for seed in range(3):
        blow = judged(expiratory_flow(lung), room, seed)
        assert blow.reasons == () and blow.is_acceptable
        assert blow.lung.fev1_l == pytest.approx(lung.fev1_l, rel=0.15)


@pytest.mark.parametrize("lung", LUNGS.values(), ids=LUNGS.keys())
@pytest.mark.parametrize("room", ROOMS.values(), ids=ROOMS.keys())
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda flow: stopped(flow, 0.6), "early_end"),
        (lambda flow: stopped(flow, 0.6), "too_short"),
        (lambda flow: stopped(flow, 1.05), "early_end"),
        (lambda flow: coughed(flow, 0.4), "cough"),
        (lambda flow: coughed(flow, 0.15), "cough"),
    ],
)
def test_a_fault_in_the_first_second_is_named(lung, room, change, reason):
    flow = expiratory_flow(lung)
    assert reason in judged(change(flow), room).reasons
    assert flow[1050] < 1.2 or reason in judged(change(flow), room, seed=1).reasons


@pytest.mark.parametrize("lung", [LUNGS["healthy"], LUNGS["obstructed"]], ids=["healthy", "obstructed"])
def test_a_slow_start_is_hesitant(lung):
    for seed in range(3):
        assert "hesitant_start" in judged(expiratory_flow(lung, 0.45), seed=seed).reasons


def test_a_cough_after_the_first_second_leaves_fev1_acceptable():
    assert "cough" not in judged(coughed(expiratory_flow(LUNGS["obstructed"]), 1.4)).reasons


def test_a_blow_far_away_is_too_quiet_and_one_close_by_is_overdriven():
    flow, loud = expiratory_flow(LUNGS["obstructed"]), Phone(dbfs_at_pascal=-4.0)
    assert "too_quiet" in judged(flow, distance_m=2.0, phone=Phone(noise_db_spl=55.0)).reasons
    assert "overdriven" in judged(expiratory_flow(LUNGS["healthy"]), distance_m=0.05, phone=loud).reasons


def test_a_recording_that_ends_within_the_blow_ends_early():
    sound = blow_sound(expiratory_flow(LUNGS["healthy"]), Place(), np.random.default_rng(0))
    assert judge_blow(sound[: round(1.2 * 16_000)], Place()).reasons == ("early_end", "too_short")


@pytest.mark.parametrize("waveform", [np.zeros(16_000), np.random.default_rng(0).normal(0, 0.01, 32_000), np.zeros(10)])
def test_a_recording_without_a_blow_is_not_heard_and_has_no_values(waveform):
    blow = judge_blow(waveform, Place())
    assert blow == JudgedBlow(("not_heard",), None)
    assert reasons_in_words(blow) == (REASON_SENTENCES["not_heard"],)


def blows(*fev1s_l, fvc_l=4.0, reasons=()):
    return [JudgedBlow(reasons, RecoveredLung(fev1_l, fvc_l, 8.0, 1.5, 0.1)) for fev1_l in fev1s_l]


@pytest.mark.parametrize(
    ("session", "grade", "is_repeatable", "words"),
    [
        (blows(3.00, 3.10, 2.50), "A", True, "differ in FEV1 by 100 mL and FVC by 0 mL: repeatable (at most 150 mL)"),
        (blows(3.00, 3.16, 2.99), "C", False, "differ in FEV1 by 160 mL and FVC by 0 mL: not repeatable"),
        (blows(3.00, 3.24, 2.9), "D", False, "not repeatable"),
        (blows(3.00, 3.50, 2.9), "E", False, "not repeatable"),
        (blows(3.00, 3.10), "B", False, "2 of 2 blows are acceptable; 3 are needed"),
        (blows(3.00) + blows(3.1, 3.2, reasons=("cough",)), "E", False, "1 of 3 blows are acceptable"),
        (blows(3.1, reasons=("cough",)), "F", False, "0 of 1 blows"),
        ([], "F", False, "0 of 0 blows"),
        (blows(0.80, 0.92, 0.7, fvc_l=0.95), "C", False, "not repeatable (at most 100 mL)"),
        (blows(3.00, 3.10, 3.05, fvc_l=None), "A", False, "Too much of the blows is inaudible to compare their FVC"),
    ],
)
def test_three_blows_are_repeatable_where_the_two_largest_agree(session, grade, is_repeatable, words):
    judgement = judge_session(session)
    assert (judgement.grade, judgement.is_repeatable) == (grade, is_repeatable)
    assert words in judgement.sentence


def test_the_largest_values_are_those_of_acceptable_blows():
    session = judge_session(blows(3.0, 3.1, 2.9) + blows(3.9, reasons=("hesitant_start",)))
    assert (session.n_acceptable, session.fev1_l, session.fvc_l) == (3, 3.1, 4.0)
    assert session.fev1_gap_l == pytest.approx(0.1)


def test_three_simulated_blows_of_one_lung_are_repeatable():
    flow = expiratory_flow(LUNGS["healthy"])
    session = judge_session([judged(flow, seed=seed) for seed in range(3)])
    assert session.is_repeatable and session.grade == "A"
    smaller = expiratory_flow(Lung(3.0, 3.7, 7.2))
    assert not judge_session([judged(flow), judged(smaller), judged(smaller, seed=1)]).is_repeatable
