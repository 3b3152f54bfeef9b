"""Records: brings a microphone's blocks to the disk at once, and the very same samples to those who listen."""

import math
import queue
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np

from app.devices.microphone import Fault, Microphone
from app.devices.watched_microphone import Arrival, WatchedMicrophone
from app.sealed_audio import DiskFullError
from core.resample import Resampler

FLOOR_DBFS = -100.0
QUEUE_BLOCKS = 3000  # a minute of the desktop's blocks, should the disk stand still for so long
TICK_S = 0.05
LISTENERS_S = 5.0


class End(Enum):
    """Why a recording is over."""

    STOPPED = "stopped"
    FULL_LENGTH = "full_length"  # the task's seconds are there
    DISK_FULL = "disk_full"  # it ended by itself while it could be closed, or the disk refused
    NOT_STORED = "not_stored"  # the store refused for another reason: `RecordingProgress.failure`


class Sink(Protocol):
    """What keeps a recording, such as an `app.casebook.OpenAttempt`; all calls come from one thread."""

    def append(self, samples: np.ndarray) -> None:
        """Keep int16 samples, shape (n,); a `DiskFullError` took them all, and the recording can still be closed."""
        ...

    def mark_gap(self, lost_s: float) -> None:
        """Note that about `lost_s` seconds of sound are missing here."""
        ...

    def sync_if_due(self) -> None:
        """Called often while nothing comes: bring to the disk what waits."""
        ...

    def close(self) -> None:
        """End the recording."""
        ...


class Listener(Protocol):
    """Hears the samples that were kept, on a thread of its own."""

    def miss(self, lost_s: float) -> None:
        """About `lost_s` seconds are missing before the next samples."""
        ...

    def hear(self, samples: np.ndarray, sample_rate_hz: int) -> None:
        """Take the next int16 samples, shape (n,)."""
        ...

    def finish(self) -> None:
        """Called once, after the last samples."""
        ...


OpenSink = Callable[[int, dict[str, Any]], Sink]


@dataclass(frozen=True)
class RecordingProgress:
    """The state of a recording at one moment.

    Attributes
    ----------
    duration_s : float
        Of what the sink took.
    rms_dbfs, peak_dbfs : float
        Of the newest block.
    n_gaps : int
        Places where sound was lost.
    lost_s : float
        How much, about.
    first_sound : bool
        Whether sound has arrived; until then nothing is recorded.
    stalled_for_s : float
        How long no usable block has come.
    fault : Fault or None
        What is wrong with the microphone now.
    end : End or None
        None while the recording can go on.
    is_closed : bool
        Whether the sink was closed, or was never opened and never will be.
    failure : Exception or None
        Why the store refused; then what it kept is less than what was heard.
    """

    duration_s: float = 0.0
    rms_dbfs: float = FLOOR_DBFS
    peak_dbfs: float = FLOOR_DBFS
    n_gaps: int = 0
    lost_s: float = 0.0
    first_sound: bool = False
    stalled_for_s: float = 0.0
    fault: Fault | None = None
    end: End | None = None
    is_closed: bool = False
    failure: Exception | None = None


def to_pcm16(block: np.ndarray) -> np.ndarray:
    """float32 in [-1, 1] to int16: rounded, then saturated; a sample that is not a number becomes 0."""
    scaled = np.rint(np.nan_to_num(block.astype(np.float64), nan=0.0, posinf=1.0, neginf=-1.0) * 32768.0)
    return np.clip(scaled, -32768, 32767).astype("<i2")


def dbfs(amplitude: float) -> float:
    """dB relative to full scale (amplitude 1.0), not below `FLOOR_DBFS`."""
    return max(FLOOR_DBFS, 20.0 * math.log10(amplitude)) if amplitude > 0 else FLOOR_DBFS


class Recorder:
    """One recording; every method but `wait` returns at once and may be called from any thread.

    The microphone's thread fills a queue. One thread empties it into the sink, one for each listener hands it the same
    samples, and one watches. The microphone is never waited for.

    Parameters
    ----------
    microphone : Microphone
    open_sink : callable
        Takes the sample rate in Hz and the microphone's facts; called when the first sound is there, so that a
        microphone without any leaves no empty recording.
    listeners : sequence of Listener
    max_s : float or None
        Length at which the recording ends by itself.
    on_change : callable
        Called from the watching thread about 20 times a second, and once after the end.
    listener_blocks : int
        For recordings without an end: how many blocks may wait for a listener before the sink waits too. Then the sink
        is closed last, because listeners decide what it keeps. 0 for any number, and the sink is closed first.
    """

    def __init__(
        self,
        microphone: Microphone,
        open_sink: OpenSink,
        listeners: Sequence[Listener] = (),
        max_s: float | None = None,
        on_change: Callable[[], None] = lambda: None,
        queue_blocks: int = QUEUE_BLOCKS,
        listener_blocks: int = 0,
    ) -> None:
        self._microphone = WatchedMicrophone(microphone, self._take)
        self._open_sink, self._max_s, self._on_change = open_sink, max_s, on_change
        self._arrivals: queue.Queue[Arrival] = queue.Queue(queue_blocks)
        self._dropped_s = 0.0
        self._feeds = [_Feed(listener, listener_blocks) for listener in listeners]
        self._closes_last = listener_blocks > 0
        self._sink: _MeteredSink | None = None
        self._is_stopping, self._is_closed = threading.Event(), threading.Event()
        self._end: End | None = None
        self._failure: Exception | None = None

    @property
    def progress(self) -> RecordingProgress:
        """The state of this moment."""
        sink = self._sink
        return RecordingProgress(
            **({} if sink is None else sink.figures),
            first_sound=sink is not None,
            stalled_for_s=self._microphone.stalled_for_s,
            fault=self._microphone.fault,
            end=self._end,
            is_closed=self._is_closed.is_set(),
            failure=self._failure,
        )

    def start(self) -> None:
        """Begin; call once."""
        self._microphone.start()
        for target, name in ((self._write, "recording-writer"), (self._watch, "recording-watch")):
            threading.Thread(target=target, name=name, daemon=True).start()

    def go_on(self) -> None:
        """Start the microphone anew after a fault; the gap is marked. Without effect once the recording is over."""
        if not self._is_stopping.is_set():
            self._microphone.start()

    def stop(self) -> None:
        """End the recording: what came until now is kept."""
        self._finish(End.STOPPED)

    def wait(self, limit_s: float) -> bool:
        """Wait until the sink is closed and every listener has heard the end; not for the main thread."""
        deadline_s = time.monotonic() + limit_s
        return self._is_closed.wait(limit_s) and all(feed.wait(deadline_s - time.monotonic()) for feed in self._feeds)

    def _finish(self, end: End, failure: Exception | None = None) -> None:
        self._end, self._failure = self._end or end, self._failure or failure
        if not self._is_stopping.is_set():
            self._is_stopping.set()
            self._microphone.stop()

    def _take(self, arrival: Arrival) -> None:
        """Every block's way in, on the microphone's own thread."""
        if self._is_stopping.is_set():
            return
        if self._dropped_s:
            arrival = Arrival(arrival.block, arrival.rate_hz, arrival.lost_s + self._dropped_s)
        try:
            self._arrivals.put_nowait(arrival)
            self._dropped_s = 0.0
        except queue.Full:
            self._dropped_s = arrival.lost_s + len(arrival.block) / arrival.rate_hz

    def _watch(self) -> None:
        while not self._is_closed.wait(TICK_S):
            self._on_change()
        self._on_change()
        if not self._microphone.wait_for_stop():
            self._on_change()

    def _write(self) -> None:
        try:
            while not (self._is_stopping.is_set() and self._arrivals.empty()):
                self._write_next()
        except Exception as error:
            self._note_refusal(error)
        if self._closes_last:
            self._end_feeds(LISTENERS_S)
        try:
            if self._sink is not None:
                self._sink.close()
        except Exception as error:
            self._note_refusal(error)
        if not self._closes_last:
            self._end_feeds(0.0)
        self._is_closed.set()

    def _end_feeds(self, limit_s: float) -> None:
        for feed in self._feeds:
            feed.end()
        for feed in self._feeds:
            feed.wait(limit_s)

    def _note_refusal(self, error: Exception) -> None:
        is_disk = isinstance(error, DiskFullError | OSError) or isinstance(error.__cause__, OSError)
        self._end = None  # what the disk says counts more than that somebody stopped
        self._finish(End.DISK_FULL if is_disk else End.NOT_STORED, error)

    def _write_next(self) -> None:
        try:
            arrival = self._arrivals.get(timeout=TICK_S)
        except queue.Empty:
            if self._sink is not None:
                self._sink.sync_if_due()
            return
        if self._sink is None:
            if not arrival.block.any():
                return
            sink = self._open_sink(arrival.rate_hz, self._microphone.facts)
            self._sink = _MeteredSink(sink, arrival.rate_hz, self._max_s)
            arrival = Arrival(arrival.block, arrival.rate_hz, 0.0)
        samples, lost_s = self._sink.append(arrival)
        for feed in self._feeds:
            feed.put((lost_s, samples, self._sink.rate_hz), self._is_stopping)
        if self._sink.disk_is_full:
            self._finish(End.DISK_FULL)
        elif self._sink.is_full:
            self._finish(End.FULL_LENGTH)


class _MeteredSink:
    """A sink with what is told of it: its length, its newest level and its gaps."""

    def __init__(self, sink: Sink, rate_hz: int, max_s: float | None) -> None:
        self.rate_hz, self._sink, self.disk_is_full = rate_hz, sink, False
        self._max_samples = math.inf if max_s is None else round(max_s * rate_hz)
        self._n_samples = self._n_gaps = 0
        self._lost_s = self._untold_s = 0.0
        self._level = (FLOOR_DBFS, FLOOR_DBFS)
        self._resampler: tuple[int, Resampler] | None = None

    @property
    def figures(self) -> dict[str, Any]:
        return {
            "duration_s": self._n_samples / self.rate_hz,
            "rms_dbfs": self._level[0],
            "peak_dbfs": self._level[1],
            "n_gaps": self._n_gaps,
            "lost_s": self._lost_s,
        }

    @property
    def is_full(self) -> bool:
        return self._n_samples >= self._max_samples

    def append(self, arrival: Arrival) -> tuple[np.ndarray, float]:
        """Keep a block; what was kept of it, int16, shape (n,), and how much was lost before it, seconds."""
        block = self._at_own_rate(arrival)
        self._untold_s += arrival.lost_s
        samples = to_pcm16(block)[: max(0, min(len(block), self._max_samples - self._n_samples))]
        if not len(samples):
            return samples, 0.0
        lost_s, self._untold_s = self._untold_s, 0.0
        if lost_s > 0:
            self._sink.mark_gap(lost_s)
            self._n_gaps, self._lost_s = self._n_gaps + 1, self._lost_s + lost_s
        try:
            self._sink.append(samples)
        except DiskFullError:
            self.disk_is_full = True
        self._n_samples += len(samples)
        finite = np.clip(block, -1.0, 1.0)
        self._level = (dbfs(float(np.sqrt(np.mean(np.square(finite))))), dbfs(float(np.abs(finite).max())))
        return samples, lost_s

    def sync_if_due(self) -> None:
        self._sink.sync_if_due()

    def close(self) -> None:
        self._sink.close()

    def _at_own_rate(self, arrival: Arrival) -> np.ndarray:
        """The block at the recording's rate: a microphone may come back with another one."""
        if arrival.rate_hz == self.rate_hz:
            self._resampler = None
            return arrival.block
        if self._resampler is None or self._resampler[0] != arrival.rate_hz:
            self._resampler = (arrival.rate_hz, Resampler(arrival.rate_hz, self.rate_hz))
        return self._resampler[1].process(arrival.block)


_Fed = tuple[float, np.ndarray, int]  # seconds lost before, samples, their rate in Hz


class _Feed:
    """Hands samples to one listener on a thread of its own, so that a slow one delays nothing else."""

    def __init__(self, listener: Listener, max_blocks: int) -> None:
        self._listener = listener
        self._queue: queue.Queue[_Fed | None] = queue.Queue(max_blocks)
        self._is_done = threading.Event()
        threading.Thread(target=self._run, name="recording-listener", daemon=True).start()

    def put(self, fed: _Fed, is_stopping: threading.Event) -> None:
        while not self._is_done.is_set():
            try:
                self._queue.put(fed, timeout=TICK_S)
                return
            except queue.Full:
                if is_stopping.is_set():
                    return

    def end(self) -> None:
        """What a listener that stands still has not heard by now it does not hear any more."""
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            self._queue.get_nowait()
            self._queue.put_nowait(None)

    def wait(self, limit_s: float) -> bool:
        return self._is_done.wait(max(0.0, limit_s))

    def _run(self) -> None:
        try:
            while (fed := self._queue.get()) is not None:
                lost_s, samples, rate_hz = fed
                if lost_s > 0:
                    self._listener.miss(lost_s)
                self._listener.hear(samples, rate_hz)
            self._listener.finish()
        except Exception as error:  # the recording goes on without this listener
            traceback.print_exception(error)
        finally:
            self._is_done.set()
