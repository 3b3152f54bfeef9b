"""The application's state without any window: the automatic lock, and mistakes that end nothing."""

import queue
from types import SimpleNamespace

import pytest

from tests.app.field_day import PASSCODE, field_work
from tests.app.field_places import add_participant

WAIT_S = 60


class Clock:
    """Seconds that pass when a test says so."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def opened(tmp_path):
    """Sets up and unlocks; gives the state, its clock, and what runs the main thread until something holds."""
    jobs, clock = queue.Queue(), Clock()
    work = field_work(tmp_path, jobs.put, clock=clock)

    def until(condition) -> None:
        while not condition():
            jobs.get(timeout=WAIT_S)()

    work.set_up(PASSCODE, None)
    until(lambda: work.navigation.top.name == "home")
    yield work, clock, until
    work.close()


def test_it_locks_after_the_studys_time_without_a_touch_and_not_before(opened):
    work, clock, _ = opened
    clock.now_s = work.study.auto_lock_s - 1.0
    work.lock_if_due()
    assert work.vault.is_open
    work.touched()
    clock.now_s += work.study.auto_lock_s - 1.0
    work.lock_if_due()
    assert work.vault.is_open
    clock.now_s += 1.0
    work.lock_if_due()
    assert not work.vault.is_open
    assert (work.casebook, work.records, work.navigation.names) == (None, None, ("unlock",))


def test_it_never_locks_in_a_recording(opened):
    work, clock, _ = opened
    work.session = SimpleNamespace(state=SimpleNamespace(step="recording"), abandon=lambda: None)
    clock.now_s = 1e6
    work.lock_if_due()
    assert work.vault.is_open
    work.session.state.step = "ready"
    work.lock_if_due()
    assert not work.vault.is_open


def test_what_was_recorded_is_there_again_after_the_lock(opened):
    work, _, until = opened
    participant_id = add_participant(work.casebook)
    work.lock()
    work.unlock(PASSCODE, lambda error: pytest.fail(str(error)))
    until(lambda: work.navigation.top.name == "home")
    assert [each.participant_id for each in work.casebook.participants()] == [participant_id]


def test_a_mistake_of_ours_becomes_a_sentence_and_the_next_job_runs(opened, capsys):
    work, _, until = opened
    work.run(lambda: 1 / 0)
    until(lambda: not work.is_working)
    assert (work.message.kind, work.message.text) == (
        "error",
        "Something went wrong inside Tussis (ZeroDivisionError).",
    )
    assert "ZeroDivisionError" in capsys.readouterr().err
    done = []
    work.run(lambda: 7, done.append)
    until(lambda: done == [7])
