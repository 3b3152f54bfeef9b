"""Holds a state that threads replace, and tells the main thread of the newest one."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, TypeVar

State = TypeVar("State")
Schedule = Callable[[Callable[[], None]], None]
"""Takes a function of no arguments, from any thread, and has the main thread call it."""


class ToldState(Generic[State]):
    """A frozen dataclass that any thread may replace, while it holds `lock`.

    Subscribers are called through `schedule`. States that they could not be told in time are left out. Nothing here
    waits for the main thread.
    """

    def __init__(self, state: State, schedule: Schedule) -> None:
        self.state, self.lock = state, threading.RLock()
        self._schedule, self._is_scheduled = schedule, False
        self._listeners: list[Callable[[State], None]] = []

    def subscribe(self, on_state: Callable[[State], None]) -> None:
        """Have `on_state` called on the main thread with every new state, and with the present one now."""
        self._listeners.append(on_state)
        on_state(self.state)

    def unsubscribe(self, on_state: Callable[[State], None]) -> None:
        """Call it no more."""
        if on_state in self._listeners:
            self._listeners.remove(on_state)

    def change(self, **changes: Any) -> None:
        """Replace some fields."""
        with self.lock:
            self.show(replace(self.state, **changes))

    def show(self, state: State) -> None:
        """Replace the state."""
        with self.lock:
            self.state = state
            if self._is_scheduled:
                return
            self._is_scheduled = True
        self._schedule(self._tell)

    def _tell(self) -> None:
        with self.lock:
            self._is_scheduled, state = False, self.state
        for on_state in tuple(self._listeners):
            on_state(state)
