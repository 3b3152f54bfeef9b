"""Time in which nothing reached the microphone is told from quiet rooms and from pauses between sounds."""

import numpy as np
import pytest

from core.sound.dead_air import FRAMES_A_SECOND, LIVE_DBFS, DeadAir

DEAD, LIVE = LIVE_DBFS - 1, LIVE_DBFS + 1


def seconds(*parts: tuple[float, int]) -> np.ndarray:
    """Mean squares of 20 ms frames: each part a level and a number of seconds."""
    return np.concatenate([np.full(n * FRAMES_A_SECOND, 10.0 ** (level / 10)) for level, n in parts])


def after(powers: np.ndarray, piece: int = 77, is_dead: bool = False) -> DeadAir:
    dead_air = DeadAir(is_dead)
    for start in range(0, len(powers), piece):
        dead_air.push(powers[start : start + piece])
    return dead_air


@pytest.mark.parametrize("piece", [1, 49, 50, 1000])
def test_ten_dead_seconds_or_more_are_dead_air(piece: int) -> None:
    powers = seconds((LIVE, 12), (DEAD, 100), (LIVE, 3), (DEAD, 9), (LIVE, 1), (DEAD, 10))
    dead_air = after(powers, piece)
    assert dead_air.spans_s() == [(12, 112), (125, 135)]
    assert (dead_air.dead_s, dead_air.since_s) == (110, 125)
    assert dead_air.by_minute_s() == [48, 52, 10]


def test_a_click_does_not_bring_dead_air_to_life() -> None:
    powers = seconds((DEAD, 7200))
    powers[1000:1003] = 0.1
    assert after(powers).spans_s() == [(0, 7200)]


def test_dead_air_that_is_still_going_on_and_its_end() -> None:
    dead_air = after(seconds((LIVE, 5), (DEAD, 9)))
    assert dead_air.since_s is None
    dead_air.push(seconds((DEAD, 1)))
    assert dead_air.since_s == 5
    dead_air.push(seconds((LIVE, 1)))
    assert dead_air.since_s is None


def test_dead_air_goes_on_from_the_hour_before() -> None:
    dead_air = after(seconds((DEAD, 2), (LIVE, 1), (DEAD, 2)), is_dead=True)
    assert dead_air.spans_s() == [(0, 2)]
    assert dead_air.since_s is None


def test_nothing_is_not_dead() -> None:
    assert (DeadAir().dead_s, DeadAir().since_s, DeadAir().by_minute_s()) == (0, None, [])
    assert after(seconds((LIVE, 3600))).dead_s == 0
