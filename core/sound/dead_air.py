"""Finds the time in which nothing reached the microphone: digital silence, or less than any room."""

import numpy as np

FRAME_SAMPLES = 320  # 20 ms at 16 kHz
FRAMES_A_SECOND = 50
LIVE_DBFS = -80.0  # of a 20 ms frame: under three steps of 16 bits, below the noise of every microphone in a room
LIVE_POWER = 10.0 ** (LIVE_DBFS / 10.0)  # the same as a mean square
MIN_LIVE_FRAMES = 5  # of a second, so that a click makes no second live
MIN_DEAD_S = 10  # shorter pauses are the work of a noise gate or codec between sounds that were heard


class DeadAir:
    """Tells dead seconds from live ones, one byte of memory for each.

    A second is dead where fewer than `MIN_LIVE_FRAMES` of its frames reach `LIVE_DBFS`. Ten dead seconds in a row, or
    more, are dead air: nothing was heard in it, so it must not count as time without a cough.

    Parameters
    ----------
    is_dead : bool
        Whether dead air came right before, so that the first dead seconds need not be ten.
    """

    def __init__(self, is_dead: bool = False) -> None:
        self._was_dead = is_dead
        self._dead_seconds = bytearray()
        self._n_frames = self._n_live = 0  # of the second that is not full yet

    def push(self, powers: np.ndarray) -> None:
        """Take the mean squares of the next 20 ms frames, shape (n,)."""
        live = powers >= LIVE_POWER
        if self._n_frames == 0:
            n_whole = len(live) // FRAMES_A_SECOND * FRAMES_A_SECOND
            n_live = np.count_nonzero(live[:n_whole].reshape(-1, FRAMES_A_SECOND), axis=1)
            self._dead_seconds += (n_live < MIN_LIVE_FRAMES).tobytes()
            live = live[n_whole:]
        while len(live):
            taken = live[: FRAMES_A_SECOND - self._n_frames]
            self._n_frames += len(taken)
            self._n_live += int(np.count_nonzero(taken))
            live = live[len(taken) :]
            if self._n_frames == FRAMES_A_SECOND:
                self._dead_seconds.append(self._n_live < MIN_LIVE_FRAMES)
                self._n_frames = self._n_live = 0

    def spans_s(self) -> list[tuple[int, int]]:
        """First second and the one after the last of each stretch of dead air so far."""
        if 1 not in self._dead_seconds:
            return []
        edges = np.flatnonzero(np.diff(np.frombuffer(self._dead_seconds, np.int8), prepend=0, append=0))
        spans = [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
        return [span for span in spans if span[1] - span[0] >= MIN_DEAD_S or (self._was_dead and span[0] == 0)]

    @property
    def dead_s(self) -> float:
        """Seconds of dead air so far."""
        return float(sum(end - start for start, end in self.spans_s()))

    @property
    def since_s(self) -> int | None:
        """Where the dead air began that lasts until now; None where there is sound."""
        n_seconds, longest = len(self._dead_seconds), self._dead_seconds.rfind(0) + 1
        is_dead = n_seconds - longest >= MIN_DEAD_S or (self._was_dead and longest == 0)
        return longest if is_dead else None

    def by_minute_s(self) -> list[int]:
        """Seconds of dead air in each minute so far."""
        dead = np.zeros(-(-len(self._dead_seconds) // 60) * 60, np.int64)
        for start, end in self.spans_s():
            dead[start:end] = 1
        return dead.reshape(-1, 60).sum(axis=1).tolist()
