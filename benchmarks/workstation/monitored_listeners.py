"""The only place for what hears a stream in the monitoring benchmark: our monitor, and YAMNet at its usual hop."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from benchmarks.results.names import XNNPACK
from benchmarks.timing.contenders import YAMNET_SAMPLES
from benchmarks.timing.delegates import open_runtime
from core.audio import SAMPLE_RATE_HZ
from core.bundle import COUGH, Bundle
from core.errors import InterpreterError
from core.interpreter import Interpreter
from core.monitoring.gate import GateSettings
from core.monitoring.monitor import Monitor, MonitorSettings
from distill.evaluation.event_scoring import Span

YAMNET_HOP_S = 0.48


@dataclass
class Listening:
    """One that hears the stream: what takes a chunk, and seconds of processor and of wall that each chunk cost."""

    name: str
    hear: Callable[[np.ndarray], None]
    processor_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)

    def take(self, chunk: np.ndarray) -> None:
        """Hear a chunk and note what it cost."""
        wall_s, processor_s = time.perf_counter(), time.process_time()
        self.hear(chunk)
        self.processor_s.append(time.process_time() - processor_s)
        self.wall_s.append(time.perf_counter() - wall_s)


class MonitorListening(Listening):
    """A monitor, with the coughs that it found."""

    def __init__(self, name: str, bundle: Bundle, interpreter: Interpreter, gate: GateSettings | None):
        super().__init__(name, self._hear)
        self.coughs: list[Span] = []
        self.monitor = Monitor(bundle, interpreter, SAMPLE_RATE_HZ, MonitorSettings(gate=gate))

    def finish(self) -> None:
        """End the stream."""
        self._keep(self.monitor.finish().events)

    def _hear(self, chunk: np.ndarray) -> None:
        self._keep(self.monitor.push(chunk).events)

    def _keep(self, events: tuple) -> None:
        self.coughs += [(event.start_s, event.end_s) for event in events if event.label == COUGH]


class YamnetStream:
    """YAMNet over a stream: a frame of 0.975 s every 0.48 s, all scores read; kept: less than a frame."""

    def __init__(self, model: bytes):
        self._runtime = open_runtime(model, 1, XNNPACK, "the peer").runtime
        self._input = self._runtime.get_input_details()[0]
        self._output = self._runtime.get_output_details()[0]["index"]
        self._waiting = np.zeros(0, np.float32)
        self.n_frames = 0
        if int(np.prod(self._input["shape"])) != YAMNET_SAMPLES or self._input["dtype"] != np.float32:
            raise InterpreterError(f"the peer is not YAMNet: expected an input of {YAMNET_SAMPLES} float32 samples.")

    def hear(self, chunk: np.ndarray) -> None:
        """Run the frames that a chunk completes."""
        hop = round(YAMNET_HOP_S * SAMPLE_RATE_HZ)
        waveform, start = np.concatenate([self._waiting, chunk]), 0
        while start + YAMNET_SAMPLES <= len(waveform):
            frame = waveform[start : start + YAMNET_SAMPLES].reshape(self._input["shape"])
            self._runtime.set_tensor(self._input["index"], frame)
            self._runtime.invoke()
            self._runtime.get_tensor(self._output)
            self.n_frames += 1
            start += hop
        self._waiting = waveform[start:].copy()
