"""A stand-in for the application's main thread, which looks at what is scheduled when a test waits."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

WAIT_S = 30.0


class MainThread:
    """The test's own thread as the app's main thread: takes what is scheduled when it looks."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue = queue.SimpleQueue()
        self.states: list[Any] = []

    def schedule(self, job: Callable[[], None]) -> None:
        self.jobs.put(job)

    def follow(self, state: Any) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.states.append(state)

    def until(self, condition: Callable[[Any], bool]) -> Any:
        deadline_s = time.monotonic() + WAIT_S
        while not condition(self.states[-1]):
            assert time.monotonic() < deadline_s, f"waited in vain at {self.states[-1]}"
            try:
                self.jobs.get(timeout=0.1)()
            except queue.Empty:
                continue
        return self.states[-1]

    def until_step(self, *steps: str) -> Any:
        return self.until(lambda state: state.step in steps)
