"""Two runs of the same thing cannot be told apart, and one a tenth slower is found."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.results.verdicts import CANNOT_TELL, FASTER, MARGIN, MARGIN_ALONE, SLOWER, compare_samples
from tests.benchmarks.results.shared_machine import shared_machine


def test_two_runs_of_the_same_thing_cannot_be_told_apart_whatever_the_neighbours_do():
    for seed in range(20):
        (first, our_peer), (second, their_peer) = shared_machine(seed), shared_machine(seed + 1000)
        found = compare_samples(first, second, (our_peer, their_peer), MARGIN)
        assert found.verdict == CANNOT_TELL, (seed, found)
        assert found.low <= found.value <= found.high


@pytest.mark.long
def test_a_model_that_takes_a_tenth_more_is_found_and_one_that_takes_a_tenth_less():
    for seed in range(20):
        (first, our_peer), (second, their_peer) = shared_machine(seed), shared_machine(seed + 1000, ms=2.2)
        slower = compare_samples(first, second, (our_peer, their_peer), MARGIN)
        faster = compare_samples(second, first, (their_peer, our_peer), MARGIN)
        assert (slower.verdict, faster.verdict) == (SLOWER, FASTER), (seed, slower)
        assert slower.value == pytest.approx(1.1, abs=0.04)


def test_a_machine_that_was_slower_as_a_whole_is_known_by_what_is_the_same_in_both():
    for seed in range(20):
        (first, our_peer), (second, their_peer) = shared_machine(seed), shared_machine(seed + 1000, whole=1.3)
        assert compare_samples(first, second, None, MARGIN_ALONE).verdict == SLOWER
        beside = compare_samples(first, second, (our_peer, their_peer), MARGIN)
        assert beside.verdict == CANNOT_TELL and beside.value == pytest.approx(1, abs=0.04), (seed, beside)


def test_a_stretch_of_slow_rounds_counts_as_one_and_not_as_many():
    steady = np.random.default_rng(0).normal(2, 0.02, 200)
    disturbed = steady.copy()
    disturbed[:110] *= 1.2
    assert compare_samples(steady, disturbed, None, 0.03).verdict == CANNOT_TELL


def test_the_margin_is_never_less_than_the_restlessness_of_single_rounds():
    generator = np.random.default_rng(0)
    busy, idle = np.exp(generator.normal(0, 0.3, 1000)), np.exp(generator.normal(0, 0.01, 1000))
    between = 0.3 * (1.6449 - 1.0364) / 2  # half of what lies from the 5th to the 15th percentile
    assert compare_samples(busy, 1.1 * busy, None, 0.03).margin == pytest.approx(math.expm1(between), rel=0.25)
    assert compare_samples(busy, 1.1 * busy[::-1], None, 0.03).verdict == CANNOT_TELL
    assert compare_samples(idle, 1.1 * idle[::-1], None, 0.03).verdict == SLOWER
    assert compare_samples(idle, busy, None, 0.03).margin == compare_samples(busy, idle, None, 0.03).margin > 0.06


def test_medians_alone_have_a_ratio_but_no_verdict():
    found = compare_samples(2.0, 4.0, None, 0.03)
    assert (found.value, found.low, found.high, found.verdict) == (2.0, None, None, CANNOT_TELL)
    runs = np.array([3.0, 4.0, 9.0])
    assert compare_samples(2.0, runs, None, 0.03).value == pytest.approx(2.0)  # medians, not the runs' fast state


times = st.lists(st.floats(0.001, 1000), min_size=1, max_size=40).map(np.array)


opposite = {SLOWER: FASTER, FASTER: SLOWER, CANNOT_TELL: CANNOT_TELL}


@settings(max_examples=20)
@given(first=times, second=times)
def test_changing_sides_turns_the_ratio_and_the_verdict_round(first, second):
    there, back = compare_samples(first, second, None, 0.05), compare_samples(second, first, None, 0.05)
    assert there.value * back.value == pytest.approx(1)
    assert (there.low * back.high, there.high * back.low) == (pytest.approx(1), pytest.approx(1))
    assert back.verdict == opposite[there.verdict]


@settings(max_examples=20)
@given(runs=times, factor=st.floats(0.1, 10))
def test_the_unit_of_time_changes_nothing_and_a_result_beside_itself_is_the_same(runs, factor):
    assert compare_samples(runs, runs, None, 0.0).verdict == CANNOT_TELL
    found, scaled = (compare_samples(times_ms, times_ms * 1.5, None, 0.05) for times_ms in (runs, runs * factor))
    assert found.value == pytest.approx(scaled.value) == pytest.approx(1.5)
