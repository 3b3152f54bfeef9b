"""Runs a microphone without ever waiting for it, and tells what is wrong with it."""

import math
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.devices.microphone import CountsLosses, Fault, Microphone, MicrophoneError
from app.devices.time_limits import TimedCall, TimeLimitError
from core.audio import MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ

ANSWER_S = 0.8  # after which a microphone that does not answer is told
NO_SOUND_S = 0.8  # and one whose blocks stop coming
NO_NUMBERS_S = 0.3
SILENT_S = 2.5
RATE_WATCH_S = 0.9  # over which the delivered rate is compared with the declared one
WRONG_RATE = (0.45, 1.6)  # delivered over declared; a busy machine delivers late
RATE_PAUSE_S = 0.3
CAUGHT_UP_S = 0.02  # blocks of a microphone that catches up follow each other faster
SHORTEST_GAP_S = 0.001  # of one that was started anew
UNPACED = 8.0  # from here on the source is no device: it plays from memory


@dataclass(frozen=True, eq=False)
class Arrival:
    """A block that can be used, its rate in Hz, and about how many seconds of sound were lost right before it."""

    block: np.ndarray
    rate_hz: int
    lost_s: float


class WatchedMicrophone:
    """A microphone whose calls run on threads of their own; every method returns at once, from any thread.

    A fault is told within a second, silence within three, and is over by itself when usable blocks come again. After a
    fault `start` tries anew, also while an earlier call still hangs.

    Parameters
    ----------
    microphone : Microphone
    deliver : callable
        Takes each `Arrival` on the microphone's thread; must return at once.
    clock : callable
        Seconds that never go back, by which a fault is known; replaced in tests.
    """

    def __init__(
        self,
        microphone: Microphone,
        deliver: Callable[[Arrival], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._microphone, self._deliver, self._clock = microphone, deliver, clock
        self._counts_losses = isinstance(microphone, CountsLosses)
        self._lock = threading.RLock()
        self._number = 0  # of the newest start or stop; what belongs to an earlier one is ignored
        self._is_stopped = True
        self._stop_call: TimedCall[None] | None = None
        self._last_at_s: float | None = None
        self._lost_s = 0.0
        self._reset()

    def start(self) -> None:
        """Start it, or start it anew after a fault."""
        with self._lock:
            self._number += 1
            number, self._is_stopped = self._number, False
            self._reset()
        TimedCall(lambda: self._open(number), "the microphone")

    def stop(self) -> None:
        """Take no more blocks from now on, and close it in the background."""
        with self._lock:
            self._number += 1
            self._is_stopped, self._started_at_s = True, self._clock()
        self._stop_call = TimedCall(self._microphone.stop, "the microphone")

    def wait_for_stop(self) -> bool:
        """Whether `stop` is done within the time after which it counts as hung; not for the main thread."""
        try:
            if self._stop_call is not None:
                self._stop_call.wait(ANSWER_S)
        except Exception:
            return False
        return True

    @property
    def facts(self) -> dict[str, Any]:
        """What a record keeps of it."""
        return dict(self._microphone.facts)

    @property
    def stalled_for_s(self) -> float:
        """How long no usable block has come."""
        since_s = max(self._started_at_s, self._last_at_s or 0.0)
        return 0.0 if self._is_stopped else self._clock() - since_s

    @property
    def fault(self) -> Fault | None:
        """What is wrong with it now."""
        with self._lock:
            if self._is_stopped:
                return self._fault_of_stop()
            if self._start_fault is not None:
                return self._start_fault
            if not self._rate_hz:
                return Fault.HUNG if self._clock() - self._started_at_s > ANSWER_S else None
            return self._fault_of_sound()

    def _reset(self) -> None:
        self._rate_hz = 0
        self._start_fault: Fault | None = None
        self._started_at_s = self._clock()
        self._early: list[tuple[float, np.ndarray]] = []  # blocks that came before the rate did
        self._n_overflows = self._timed_samples = self._passed_samples = 0
        self._timed_s, self._passed_s, self._received_at_s = 0.0, 0.0, -math.inf
        self._silent_s = self._no_numbers_s = 0.0
        self._counted_lost_s = 0.0  # of one that counts them
        self._is_new = True

    def _open(self, number: int) -> None:
        """On a thread of its own, which may hang in any of the two calls."""
        try:
            if number > 1:
                self._microphone.stop()
            rate_hz = self._microphone.start(lambda block: self._take(block, number))
        except MicrophoneError as error:
            self._refuse(number, error.fault)
        except Exception as error:
            traceback.print_exception(error)
            self._refuse(number, Fault.REFUSED)
        else:
            self._begin(number, rate_hz)

    def _refuse(self, number: int, fault: Fault) -> None:
        with self._lock:
            if number == self._number:
                self._start_fault = fault

    def _begin(self, number: int, rate_hz: int) -> None:
        with self._lock:
            if number != self._number:
                return
            if not MIN_SAMPLE_RATE_HZ <= rate_hz <= MAX_SAMPLE_RATE_HZ:
                self._start_fault = Fault.OTHER_RATE
                return
            self._rate_hz, self._started_at_s = rate_hz, self._clock()
            early, self._early = self._early, []
            for at_s, block in early:
                self._pass_on(at_s, block)

    def _take(self, block: np.ndarray, number: int) -> None:
        now_s = self._clock()
        with self._lock:
            if number != self._number or self._start_fault is not None:
                return
            if self._rate_hz:
                self._pass_on(now_s, block.copy())
            else:
                self._early.append((now_s, block.copy()))

    def _pass_on(self, now_s: float, block: np.ndarray) -> None:
        block_s = len(block) / self._rate_hz
        told_s = self._told_loss_s(block_s)
        counted = len(block) + (round(told_s * self._rate_hz) if self._counts_losses else 0)
        if self._delivers_another_rate(now_s, counted):
            self._start_fault = Fault.OTHER_RATE
            return
        self._lost_s += told_s
        if not np.isfinite(block).all():
            self._no_numbers_s += block_s
            self._lost_s += block_s
            return
        is_late = now_s - (self._last_at_s or now_s) > NO_SOUND_S and not self._counts_losses
        if self._last_at_s is not None and (self._is_new or is_late):
            self._lost_s = max(self._lost_s, now_s - self._last_at_s - block_s, SHORTEST_GAP_S)
        self._silent_s = 0.0 if block.any() else self._silent_s + block_s
        self._no_numbers_s, self._is_new, self._last_at_s = 0.0, False, now_s
        lost_s, self._lost_s = self._lost_s, 0.0
        self._deliver(Arrival(block, self._rate_hz, lost_s))

    def _told_loss_s(self, block_s: float) -> float:
        """What the device says was lost since the last block: how much, or only how often."""
        if self._counts_losses:
            before_s, self._counted_lost_s = self._counted_lost_s, self._microphone.lost_s
            return max(0.0, self._counted_lost_s - before_s)
        before, self._n_overflows = self._n_overflows, self._microphone.n_overflows
        return max(0, self._n_overflows - before) * block_s

    def _delivers_another_rate(self, now_s: float, n_samples: int) -> bool:
        """Whether the samples of the first second or two are too many or too few.

        Too few beside the time without pauses, too many beside all of it: what a pause held up comes at once after it.
        """
        since_s = now_s - self._received_at_s
        self._received_at_s = now_s
        if since_s < math.inf:
            self._passed_s += since_s
            self._passed_samples += n_samples
        if since_s < RATE_PAUSE_S or (self._counts_losses and self._timed_samples):
            self._timed_s += since_s
            self._timed_samples += n_samples
        lower = self._timed_samples / self._rate_hz / max(self._timed_s, 1e-9)
        higher = self._passed_samples / self._rate_hz / max(self._passed_s, 1e-9)
        is_wrong = lower < WRONG_RATE[0] or WRONG_RATE[1] < higher < UNPACED
        if self._counts_losses:  # it catches up after a pause, and then all sound is there
            return self._timed_s >= RATE_WATCH_S and is_wrong and CAUGHT_UP_S < since_s < RATE_PAUSE_S
        return RATE_WATCH_S <= self._timed_s <= 2 * RATE_WATCH_S and is_wrong

    def _fault_of_sound(self) -> Fault | None:
        if self._no_numbers_s > NO_NUMBERS_S:
            return Fault.NO_NUMBERS
        if self._microphone.has_ended:
            return Fault.UNPLUGGED
        if self._counts_losses and self._microphone.is_silenced:
            return Fault.REFUSED
        if self.stalled_for_s > NO_SOUND_S:
            return Fault.NO_SOUND
        return Fault.SILENT if self._silent_s > SILENT_S else None

    def _fault_of_stop(self) -> Fault | None:
        """Told while a stop hangs, that nobody waits for."""
        if self._stop_call is None or self._clock() - self._started_at_s < ANSWER_S:
            return None
        try:
            self._stop_call.wait(0)
        except TimeLimitError:
            return Fault.HUNG
        except Exception:
            return Fault.REFUSED
        return None
