"""Lets monitors and YAMNet hear one stream in turns, and notes what each block of sound costs them."""

import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.results.device import fastest_clock_mhz, temperature_c
from benchmarks.results.names import XNNPACK
from benchmarks.timing.peers import YAMNET_SAMPLES
from benchmarks.timing.runtime import open_runtime
from benchmarks.workstation.started_process import process_memory
from core.audio import SAMPLE_RATE_HZ
from core.bundle import COUGH, Bundle
from core.errors import InterpreterError
from core.interpreter import Interpreter
from core.monitoring.gate import GateSettings
from core.monitoring.monitor import Monitor, MonitorSettings
from distill.evaluation.event_scoring import Span

YAMNET_HOP_S = 0.48
N_PARTS = 10


class Listening:
    """One that hears the stream: what takes a block, and seconds of processor and of wall that each block cost."""

    def __init__(self, name: str, hear: Callable[[np.ndarray], None]):
        self.name, self.hear = name, hear
        # Eight bytes a block, so that noting times is not seen as growth.
        self.processor_s, self.wall_s = array("d"), array("d")

    def take(self, block: np.ndarray) -> None:
        """Hear a block and note what it cost."""
        wall_s, processor_s = time.perf_counter(), time.process_time()
        self.hear(block)
        self.processor_s.append(time.process_time() - processor_s)
        self.wall_s.append(time.perf_counter() - wall_s)


class MonitorListening(Listening):
    """A monitor, with the coughs that it found."""

    def __init__(self, name: str, bundle: Bundle, interpreter: Interpreter, gate: GateSettings | None):
        super().__init__(name, self._hear)
        self.coughs: list[Span] = []
        self.monitor = Monitor(bundle, interpreter, SAMPLE_RATE_HZ, MonitorSettings(gate=gate))

    @property
    def gated_share(self) -> float:
        """Share of the clips that the gate left out."""
        return self.monitor.totals.gated_share or 0.0

    def metrics(self) -> dict[str, float]:
        """For a row of the whole stream."""
        n_clips = self.monitor.totals.n_clips_run + self.monitor.totals.n_clips_gated
        return {"n_clips": n_clips, "gated_share": self.gated_share, "n_coughs_found": len(self.coughs)}

    def finish(self) -> None:
        """End the stream."""
        self._keep(self.monitor.finish().events)

    def _hear(self, block: np.ndarray) -> None:
        self._keep(self.monitor.push(block).events)

    def _keep(self, events: tuple) -> None:
        self.coughs += [(event.start_s, event.end_s) for event in events if event.label == COUGH]


class YamnetStream:
    """YAMNet over a stream: a frame of 0.975 s every 0.48 s, all scores read; kept: less than a frame."""

    def __init__(self, model: bytes):
        opened = open_runtime(model, 1, XNNPACK, "the peer")
        details = opened.runtime.get_input_details()[0]
        self._frame = np.zeros(details["shape"], np.float32)
        self._run = opened.invocation(self._frame)
        self._waiting = np.zeros(0, np.float32)
        self.n_frames = 0
        if self._frame.size != YAMNET_SAMPLES or details["dtype"] != np.float32:
            raise InterpreterError(f"the peer is not YAMNet: expected an input of {YAMNET_SAMPLES} float32 samples.")

    def hear(self, block: np.ndarray) -> None:
        """Run the frames that a block completes."""
        hop = round(YAMNET_HOP_S * SAMPLE_RATE_HZ)
        waveform, start = np.concatenate([self._waiting, block]), 0
        while start + YAMNET_SAMPLES <= len(waveform):
            self._frame.flat = waveform[start : start + YAMNET_SAMPLES]
            self._run()
            self.n_frames += 1
            start += hop
        self._waiting = waveform[start:].copy()


@dataclass(frozen=True)
class Part:
    """A tenth of the stream: which from 1, its blocks, seconds of the clock, and memory, clock and heat at its end.

    What the system does not tell is None.
    """

    number: int
    blocks: slice
    begin_s: float
    end_s: float
    resident_bytes: int | None = None
    clock_mhz: float | None = None
    hottest_c: float | None = None

    @property
    def stage(self) -> str:
        """For a row: ``0 to 10 %``."""
        return f"{100 * (self.number - 1) // N_PARTS} to {100 * self.number // N_PARTS} %"


def hear_in_turns(listeners: Sequence[Listening], blocks: Iterable[np.ndarray], n_blocks: int) -> Iterator[Part]:
    """Let all of them hear each block, beginning with another one each time; each tenth as soon as it is over."""
    start_s, begin_s, first = time.perf_counter(), 0.0, 0
    for number, block in enumerate(blocks, 1):
        turn = number % len(listeners)
        for listener in (*listeners[turn:], *listeners[:turn]):
            listener.take(block)
        done = number * N_PARTS // n_blocks
        if done > (number - 1) * N_PARTS // n_blocks:
            end_s = time.perf_counter() - start_s
            state = process_memory().get("own_bytes"), fastest_clock_mhz(), temperature_c()
            yield Part(done, slice(first, number), begin_s, end_s, *state)
            begin_s, first = end_s, number


def paced(blocks: Iterable[np.ndarray], block_s: float) -> Iterator[np.ndarray]:
    """Yield each block when a microphone would have recorded its last sample, at once where that is past."""
    start_s = time.perf_counter()
    for number, block in enumerate(blocks, 1):
        if (wait_s := start_s + number * block_s - time.perf_counter()) > 0:
            time.sleep(wait_s)
        yield block
