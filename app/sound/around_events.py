"""Keeps the sound around events of a stream without an end, and forgets the rest within seconds."""

import threading
from collections import deque

import numpy as np

from app.recorder import Sink

HELD_S = 10.0  # an event is known at most about five seconds after its end
BEFORE_S, AFTER_S = 1.0, 1.0
LONG_GAP_S = 10.0  # from here on a gap counts as dead air, which is not scored


def filled_s(lost_s: float) -> float:
    """How much dead air stands for a gap on the time line of the stream."""
    return lost_s if lost_s >= LONG_GAP_S else 0.0


class AroundEvents:
    """A recorder's sink that passes on to another one what lies around wanted events; gaps stand for the rest.

    Parameters
    ----------
    sink : Sink
    sample_rate_hz : int
    """

    def __init__(self, sink: Sink, sample_rate_hz: int) -> None:
        self._sink, self._rate_hz = sink, sample_rate_hz
        self._held: deque[tuple[int, np.ndarray]] = deque()  # the number of a block's first sample, and the block
        self._n_samples = self._n_told = 0  # of the time line; up to where the sink was given something
        self._wanted: deque[tuple[int, int]] = deque()
        self._lock = threading.Lock()

    def want(self, start_s: float, end_s: float) -> None:
        """Keep the sound around an event, times from the beginning of the stream; from any thread."""
        first = max(0, round((start_s - BEFORE_S) * self._rate_hz))
        with self._lock:
            self._wanted.append((first, round((end_s + AFTER_S) * self._rate_hz)))

    def append(self, samples: np.ndarray) -> None:
        """Take int16 samples, shape (n,); raises as the other sink does."""
        self._held.append((self._n_samples, samples))
        self._n_samples += len(samples)
        self._pass_on()
        oldest = self._n_samples - round(HELD_S * self._rate_hz)
        while self._held and self._held[0][0] + len(self._held[0][1]) <= oldest:
            self._held.popleft()

    def mark_gap(self, lost_s: float) -> None:
        """Sound was lost here."""
        self._n_samples += round(filled_s(lost_s) * self._rate_hz)

    def sync_if_due(self) -> None:
        """See `app.recorder.Sink`."""
        self._sink.sync_if_due()

    def close(self) -> None:
        """Pass on what is still wanted, and end the other sink."""
        try:
            self._pass_on(is_over=True)
        finally:
            self._sink.close()

    def _pass_on(self, is_over: bool = False) -> None:
        while True:
            with self._lock:
                if not self._wanted or not (is_over or self._wanted[0][1] <= self._n_samples):
                    return
                first, end = self._wanted.popleft()
            for at, samples in self._held:
                start, stop = max(first, at, self._n_told), min(end, at + len(samples))
                if start < stop:
                    if start > self._n_told:
                        self._sink.mark_gap((start - self._n_told) / self._rate_hz)
                    self._n_told = stop
                    self._sink.append(samples[start - at : stop - at])
