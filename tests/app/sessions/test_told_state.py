"""A state that threads replace: told on the main thread, the newest one only, and nobody waits."""

from dataclasses import dataclass

from app.sessions.told_state import ToldState


@dataclass(frozen=True)
class Moment:
    number: int = 0
    text: str = ""


def test_only_the_newest_state_is_told_when_the_main_thread_comes_to_it():
    jobs, told = [], []
    state = ToldState(Moment(), jobs.append)
    state.subscribe(told.append)
    for number in range(1, 4):
        state.change(number=number)
    assert (state.state, told, len(jobs)) == (Moment(3), [Moment(0)], 1)
    jobs.pop()()
    assert told == [Moment(0), Moment(3)]
    state.show(Moment(4, "last"))
    jobs.pop()()
    assert told[-1] == Moment(4, "last")


def test_a_subscriber_may_leave_while_it_is_told():
    jobs, told = [], []
    state = ToldState(Moment(), jobs.append)

    def once(moment):
        told.append(moment)
        if moment.number:
            state.unsubscribe(once)

    state.subscribe(once)
    state.subscribe(told.append)
    for number in (1, 2):
        state.change(number=number)
        jobs.pop()()
    assert [moment.number for moment in told] == [0, 0, 1, 1, 2]
    state.unsubscribe(once)
