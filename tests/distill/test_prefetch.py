"""Batches made ahead of time: their order, their number, and an error that must not be lost in a thread."""

import threading

import pytest

from core.errors import DataError
from distill.prefetch import prefetch


def test_an_error_of_the_data_reaches_the_caller() -> None:
    def failing(step: int) -> int:
        if step == 3:
            raise DataError("clip 3 is damaged")
        return step

    batches = prefetch(failing, 0, 10)
    assert [next(batches) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match="clip 3 is damaged"):
        next(batches)


def test_batches_come_in_order_and_not_too_far_ahead() -> None:
    asked: list[int] = []
    first = threading.Event()

    def slow_first(step: int) -> int:
        asked.append(step)
        if step == 0:
            first.wait(5)
        else:
            first.set()
        return step

    batches = prefetch(slow_first, 0, 50, depth=4, threads=2)
    assert next(batches) == 0
    assert max(asked) <= 4
    assert [*batches] == [*range(1, 50)]
