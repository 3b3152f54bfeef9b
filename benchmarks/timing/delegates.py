"""Opens a model so that XNNPACK or LiteRT's own kernels run its operators."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter as Runtime
from ai_edge_litert.interpreter import OpResolverType

from benchmarks.results.names import BUILTIN, XNNPACK
from core.errors import InterpreterError
from core.interpreter import MAX_THREADS, LiteRtInterpreter, ModelOutputs, ModelShape, one_line

DELEGATES = {
    XNNPACK: OpResolverType.AUTO,
    BUILTIN: OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
}


@dataclass(frozen=True)
class Opened:
    """A runtime that is ready, and the seconds that reading the model and allocating its tensors took."""

    runtime: Any
    load_s: float
    allocate_s: float


def check_delegate(name: str) -> None:
    """Refuse a delegate that this runtime lacks on this machine with an InterpreterError."""
    if name not in DELEGATES:
        there = ", ".join(DELEGATES)
        raise InterpreterError(f"the delegate {name!r} is not there on this machine; expected one of {there}.")


def open_runtime(content: bytes, threads: int, delegate: str, source: str) -> Opened:
    """Open a .tflite model; `source` names it in the InterpreterError where it is none, or does not run so."""
    check_delegate(delegate)
    if not 1 <= threads <= MAX_THREADS:
        raise InterpreterError(f"{threads} threads were asked for; expected 1 to {MAX_THREADS}.")
    try:
        start_s = time.perf_counter()
        runtime = Runtime(model_content=content, num_threads=threads, experimental_op_resolver_type=DELEGATES[delegate])
        loaded_s = time.perf_counter()
        runtime.allocate_tensors()
    except (ValueError, RuntimeError) as reason:
        raise InterpreterError(
            f"{source} does not run here with the delegate {delegate} ({one_line(reason)})."
        ) from reason
    return Opened(runtime, loaded_s - start_s, time.perf_counter() - loaded_s)


class DelegateInterpreter(LiteRtInterpreter):
    """The app's interpreter, with its checks and copies, over a runtime that was opened with any delegate."""

    def __init__(self, opened: Opened, shape: ModelShape, source: str):
        self.shape, self.source = shape, source
        self.n_runs = 0
        self._runtime = opened.runtime
        self._runner = self._signature_runner()

    def run(self, waveform: np.ndarray) -> ModelOutputs:
        """Run the model on one clip, and count the run."""
        self.n_runs += 1
        return super().run(waveform)
