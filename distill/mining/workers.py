"""Mines recordings in several processes of one machine."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

from core.bundle import Bundle
from core.errors import DataError
from core.interpreter import LiteRtInterpreter, ModelShape
from core.process.signals import ignore_signals
from distill.mining.miner import Heard, Miner, MiningSettings
from distill.mining.recordings import Source

QUEUED_PER_WORKER = 4


def mine_in_processes(
    sources: Sequence[Source],
    settings: MiningSettings,
    bundle: Bundle,
    scratch: Path,
    workers: int,
    is_ended: Callable[[], bool] = lambda: False,
) -> Generator[Heard]:
    """Mine with a model per process and a bounded number of recordings on their way; the results come in order.

    Once `is_ended`, recordings that are under way are heard to their end, and no other is begun.

    Raises
    ------
    DataError
        If a process ends on its own, as one does that is out of memory.
    """
    start = partial(_start_worker, bundle.read_model(), bundle.model_shape, settings, scratch)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the workers, each of which has a core to itself
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), start)
    running: deque[Future[Heard]] = deque()
    try:
        for source in sources:
            running.append(pool.submit(_mine_in_worker, source))
            if len(running) >= QUEUED_PER_WORKER * workers:
                yield running.popleft().result()
            if is_ended():
                break
        while running:
            if not (is_ended() and running[0].cancel()):
                yield running[0].result()
            running.popleft()
    except BrokenProcessPool as error:
        remedy = "run the command again to go on, with --workers 1 to see which recording it is"
        raise DataError(f"a worker process ended before its recording was mined; {remedy}.") from error
    except BaseException:
        for process in multiprocessing.active_children():
            process.kill()  # rather than wait until hours of sound have been heard
        raise
    finally:
        pool.shutdown(cancel_futures=True)


_miner: Miner | None = None  # of a worker process


def _start_worker(model: bytes, shape: ModelShape, settings: MiningSettings, scratch: Path) -> None:
    global _miner
    ignore_signals()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _miner = Miner(LiteRtInterpreter(model, 1, shape), settings, scratch, shape.activity_frame_step_s)


def _end_with_parent() -> None:
    """A parent killed with SIGKILL can tell nobody; without this its workers would wait for ever."""
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _mine_in_worker(source: Source) -> Heard:
    return _miner.hear(source)
