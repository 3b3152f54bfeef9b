"""Prepares the next pieces of a recording on a thread of its own while the model hears those before."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Piece = TypeVar("Piece")
N_AHEAD = 4  # pieces that wait at most, so that memory stays flat


def read_ahead(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Pass pieces on in their order; an error is raised where its piece would have come.

    The thread begins at once. Decoding, resampling and the model's runtime let go of Python's lock, so that two cores
    share the work. Closing the iterator ends the thread.
    """
    source = iter(pieces)
    thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
    return _passed_on(source, thread, deque(thread.submit(next, source, None) for _ in range(N_AHEAD)))


def _passed_on(
    source: Iterator[Piece], thread: ThreadPoolExecutor, ahead: "deque[Future[Piece | None]]"
) -> Iterator[Piece]:
    try:
        while (piece := ahead.popleft().result()) is not None:
            ahead.append(thread.submit(next, source, None))
            yield piece
    finally:
        thread.shutdown(cancel_futures=True)
