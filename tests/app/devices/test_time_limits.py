"""Calls that may never answer: nobody waits for them longer than told, and nothing is left open."""

import threading
import time

import pytest

from app.devices.time_limits import TimedCall, TimeLimitError, call_within

WAIT_S = 60.0


def test_an_answer_in_time_is_the_calls_own():
    assert call_within(WAIT_S, lambda: 7, "the device") == 7


def test_what_the_call_raises_is_raised_to_the_one_who_waits():
    def refuse():
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        call_within(WAIT_S, refuse, "the device")


def test_a_call_that_hangs_is_given_up_after_the_limit_and_named():
    goes_on = threading.Event()
    begun_s = time.monotonic()
    with pytest.raises(TimeLimitError, match=r"the device did not answer within 0\.1 s\."):
        call_within(0.1, lambda: goes_on.wait(WAIT_S), "the device")
    assert time.monotonic() - begun_s < 5
    goes_on.set()


def test_a_call_can_be_waited_for_again():
    goes_on = threading.Event()
    call = TimedCall(lambda: goes_on.wait(WAIT_S) and "here", "the device")
    with pytest.raises(TimeLimitError):
        call.wait(0.01)
    goes_on.set()
    assert call.wait(WAIT_S) == "here"


@pytest.mark.parametrize("is_late", [True, False])
def test_an_answer_that_nobody_wants_is_undone_once_whenever_it_comes(is_late):
    goes_on, undone, is_undone = threading.Event(), [], threading.Event()

    def undo(answer):
        undone.append(answer)
        is_undone.set()

    call = TimedCall(lambda: goes_on.wait(WAIT_S) and "a stream", "the device", undo)
    if is_late:
        call.abandon()
        assert undone == []
    goes_on.set()
    if not is_late:
        call.wait(WAIT_S)
        call.abandon()
    assert is_undone.wait(WAIT_S)
    call.abandon()
    assert undone == ["a stream"]
