"""Makes batches ahead of time, in threads, in order."""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Batch = TypeVar("Batch")


def prefetch(
    batch_at: Callable[[int], Batch], start_step: int, stop_step: int, *, depth: int = 4, threads: int = 2
) -> Generator[Batch]:
    """Yield ``batch_at(step)`` for each step in [start_step, stop_step), in order, at most `depth` of them ahead.

    An exception of `batch_at` is raised where its batch would have been yielded. Closing the generator ends
    the threads.
    """
    executor = ThreadPoolExecutor(threads, thread_name_prefix="prefetch")
    try:
        ahead: deque[Future[Batch]] = deque()
        for step in range(start_step, min(start_step + depth, stop_step)):
            ahead.append(executor.submit(batch_at, step))
        for step in range(start_step, stop_step):
            batch = ahead.popleft().result()
            if step + depth < stop_step:
                ahead.append(executor.submit(batch_at, step + depth))
            yield batch
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
