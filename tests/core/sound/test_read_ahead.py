"""Blocks that a thread makes ahead of those who take them."""

import threading
import time

import numpy as np
import pytest

from core.sound.read_ahead import N_AHEAD, read_ahead


def numbered(n_blocks, made=None):
    for number in range(n_blocks):
        if made is not None:
            made.append(number)
        yield np.full(3, number, np.float32)


def test_blocks_come_in_order_and_none_is_missing():
    assert [int(block[0]) for block in read_ahead(numbered(1000))] == list(range(1000))


def test_no_block_gives_none():
    assert list(read_ahead(iter(()))) == []


def test_an_error_comes_where_its_block_would_have_come():
    def failing():
        yield from numbered(5)
        raise OSError("the card was pulled out")

    taken = []
    with pytest.raises(OSError, match="pulled out"):
        for block in read_ahead(failing()):
            taken.append(int(block[0]))
    assert taken == [0, 1, 2, 3, 4]


def test_only_a_few_blocks_are_made_before_they_are_taken():
    made = []
    ahead = read_ahead(numbered(1000, made))
    next(ahead)
    time.sleep(0.1)
    assert 1 <= len(made) <= N_AHEAD + 1
    ahead.close()


def test_the_thread_begins_before_the_first_block_is_asked_for():
    begun = threading.Event()

    def blocks():
        begun.set()
        yield np.zeros(1, np.float32)

    ahead = read_ahead(blocks())
    assert begun.wait(10)
    assert len(list(ahead)) == 1


def test_closing_early_ends_the_thread():
    before = threading.active_count()
    ahead = read_ahead(numbered(10**9))
    next(ahead)
    assert threading.active_count() == before + 1
    ahead.close()
    assert threading.active_count() == before
