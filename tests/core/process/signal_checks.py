"""The first signal asks a run to end, the second ends it, and a SIGHUP that nohup ignores stays ignored.

Each sends signals to its own process, so `test_signals.py` runs them in one that holds nothing else.
"""

import os
import signal
import threading

import pytest

from core.process.signals import ENDING, ignore_signals, stop_signals


@pytest.mark.parametrize("number", ENDING)
def test_the_first_signal_is_noted_and_the_second_ends_the_run(number: signal.Signals) -> None:
    with stop_signals() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert (bool(stop), stop.status, stop.name) == (True, 128 + number, number.name)
        with pytest.raises(SystemExit) as ended:
            os.kill(os.getpid(), number)
            signal.pause()
    assert ended.value.code == 128 + number


def test_a_signal_that_is_forgiven_is_none() -> None:
    with stop_signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        stop.forgive()
        assert not stop
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.number == signal.SIGTERM


def test_handlers_are_put_back_and_nohup_is_respected() -> None:
    before = {number: signal.getsignal(number) for number in ENDING}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before[signal.SIGHUP])
    assert {number: signal.getsignal(number) for number in ENDING} == before


def test_outside_the_main_thread_nothing_is_noted_and_nothing_fails() -> None:
    noted = []

    def run() -> None:
        with stop_signals() as stop:
            noted.append(bool(stop))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert noted == [False]


def test_workers_leave_signals_to_their_parent() -> None:
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        ignore_signals()
        for number in ENDING:
            os.kill(os.getpid(), number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
