"""Knows which rounds of which tasks are left for one participant, and what the room-noise task measured."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.coach import ROOM_NOISE

KEPT_STATES = ("kept", "kept_with_reason")


@dataclass(frozen=True)
class TaskPlace:
    """A round of a task, and which attempt comes next."""

    task: Any
    round: int
    attempt: int


class TaskPlaces:
    """Which rounds of which tasks are left, and how often each was tried."""

    def __init__(self, tasks: Iterable[Any], attempts: Iterable[Any]) -> None:
        self._rounds = [(task, number) for task in tasks for number in range(1, task.rounds + 1)]
        self._n_attempts: dict[tuple[str, int], int] = {}
        for attempt in attempts:
            key = (attempt.task_id, attempt.round)
            self._n_attempts[key] = self._n_attempts.get(key, 0) + 1
        kept = {(attempt.task_id, attempt.round) for attempt in attempts if attempt.state in KEPT_STATES}
        left = [place for place in self._rounds if (place[0].id, place[1]) not in kept]
        self._left = left or list(self._rounds)  # all are there: another visit

    @property
    def n_rounds(self) -> int:
        """Of all tasks."""
        return len(self._rounds)

    @property
    def n_left(self) -> int:
        """Rounds that are still to be done."""
        return len(self._left)

    @property
    def present(self) -> TaskPlace | None:
        """The next one; None where all are done."""
        if not self._left:
            return None
        task, number = self._left[0]
        return TaskPlace(task, number, self._n_attempts.get((task.id, number), 0) + 1)

    def note(self, state: str, is_new: bool = True) -> None:
        """Note what was decided of the present place's attempt, a new one or one of before: go on where it is kept."""
        task, number = self._left[0]
        self._n_attempts[task.id, number] = self._n_attempts.get((task.id, number), 0) + is_new
        if state in KEPT_STATES:
            self._left.pop(0)

    def skip_task(self) -> None:
        """Leave out what is left of the present task."""
        task = self._left[0][0]
        self._left = [place for place in self._left if place[0].id != task.id]


def left_open(place: TaskPlace | None, unfinished: Iterable[Any]) -> Any | None:
    """The newest of the unfinished attempts of a participant that belongs to a place; None where there is none."""
    if place is None:
        return None
    here = [attempt for attempt in unfinished if (attempt.task_id, attempt.round) == (place.task.id, place.round)]
    return here[-1] if here else None


def room_noise_dbfs(tasks: Iterable[Any], attempts: Iterable[Any]) -> float | None:
    """What the newest kept room-noise recording measured."""
    ids = {task.id for task in tasks if task.kind == ROOM_NOISE}
    measured = [
        attempt.verdict["noise_dbfs"]
        for attempt in attempts
        if attempt.task_id in ids and attempt.state in KEPT_STATES and attempt.verdict
    ]
    return measured[-1] if measured else None
