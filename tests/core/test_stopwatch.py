"""Stages are timed without overlap, against a clock that the tests turn by hand."""

from collections.abc import Iterator

import pytest

from core.stopwatch import STAGES, Stopwatch


class HandClock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def test_a_stage_adds_up_over_its_visits(clock: HandClock) -> None:
    stopwatch = Stopwatch(clock)
    for _ in range(3):
        with stopwatch.stage("model"):
            clock.now_s += 0.5
        clock.now_s += 0.25
    assert stopwatch.timing_ms["model"] == 1500.0
    assert stopwatch.timing_ms["total"] == 2250.0


def test_all_stages_are_reported_in_order_even_where_never_entered(clock: HandClock) -> None:
    timing_ms = Stopwatch(clock).timing_ms
    assert tuple(timing_ms) == (*STAGES, "total")
    assert set(timing_ms.values()) == {0.0}


def test_time_in_an_inner_stage_counts_only_there(clock: HandClock) -> None:
    stopwatch = Stopwatch(clock)
    with stopwatch.stage("decode"):
        clock.now_s += 1.0
        with stopwatch.stage("resample"):
            clock.now_s += 2.0
        clock.now_s += 4.0
    assert stopwatch.timing_ms["decode"] == 5000.0
    assert stopwatch.timing_ms["resample"] == 2000.0


def test_an_iterator_is_charged_and_its_consumer_is_not(clock: HandClock) -> None:
    def slow_blocks() -> Iterator[int]:
        for number in range(3):
            clock.now_s += 1.0
            yield number
        clock.now_s += 1.0

    stopwatch = Stopwatch(clock)
    seen = []
    for number in stopwatch.iterate("decode", slow_blocks()):
        clock.now_s += 10.0
        seen.append(number)
    assert seen == [0, 1, 2]
    assert stopwatch.timing_ms["decode"] == 4000.0
    assert stopwatch.timing_ms["total"] == 34000.0


def test_a_stage_left_by_an_error_is_counted_and_closed(clock: HandClock) -> None:
    stopwatch = Stopwatch(clock)
    with pytest.raises(RuntimeError), stopwatch.stage("model"):
        clock.now_s += 1.0
        raise RuntimeError
    clock.now_s += 5.0
    assert stopwatch.timing_ms["model"] == 1000.0


def test_a_running_stage_is_included(clock: HandClock) -> None:
    stopwatch = Stopwatch(clock)
    with stopwatch.stage("model"):
        clock.now_s += 1.0
        assert stopwatch.timing_ms["model"] == 1000.0


def test_an_unknown_stage_is_refused() -> None:
    with (
        pytest.raises(ValueError, match="unknown stage 'decoding'; expected one of decode, resample"),
        Stopwatch().stage("decoding"),
    ):
        pass


def test_time_between_two_pieces_of_work_can_be_left_out(clock: HandClock) -> None:
    stopwatch = Stopwatch(clock)
    for _ in range(2):
        clock.now_s += 10.0
        stopwatch.resume()
        with stopwatch.stage("model"):
            clock.now_s += 1.0
    assert stopwatch.timing_ms["total"] == stopwatch.timing_ms["model"] == 2000.0


def test_waiting_for_a_thread_is_divided_among_its_stages(clock: HandClock) -> None:
    ahead, stopwatch = Stopwatch(clock), Stopwatch(clock)

    def items():
        for _ in range(2):
            with ahead.stage("decode"):
                clock.now_s += 1.0
            with ahead.stage("resample"):
                clock.now_s += 3.0
            yield "item"

    taken = []
    for item in stopwatch.iterate_ahead(items(), ahead):
        with stopwatch.stage("model"):
            clock.now_s += 5.0
        taken.append(item)
    timing_ms = stopwatch.timing_ms
    assert taken == ["item", "item"]
    assert timing_ms["decode"] == pytest.approx(2000)
    assert timing_ms["resample"] == pytest.approx(6000)
    assert timing_ms["model"] == pytest.approx(10_000)
    assert timing_ms["total"] == pytest.approx(18_000)
