"""Opens a model so that XNNPACK or LiteRT's own kernels run it, and counts what it costs by its file alone."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter as Runtime
from ai_edge_litert.interpreter import OpResolverType

from benchmarks.results.names import BUILTIN, MODEL, XNNPACK
from benchmarks.timing.interleaved import Contender
from core.errors import InterpreterError, one_line
from core.interpreter import MAX_THREADS, LiteRtInterpreter, ModelOutputs, ModelShape
from quantize.tflite_graph import Operator, count_partitions, list_operators, read_model, read_operators

DELEGATES = {XNNPACK: OpResolverType.AUTO, BUILTIN: OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES}


@dataclass(frozen=True)
class Opened:
    """A model in a runtime that is ready, and the seconds that reading it and allocating its tensors took."""

    content: bytes
    source: str
    delegate: str
    runtime: Any
    load_s: float
    allocate_s: float

    def contender(
        self, name: str, run: Callable[[], object], audio_s: float, role: str, stage: str = MODEL
    ) -> Contender:
        """The model to be timed, with what it costs."""
        facts = {"role": role, **model_costs(self.content, self.delegate, self.source)}
        by = {"delegate": self.delegate, "content": self.content, "allocate_s": self.allocate_s}
        return Contender(name, run, audio_s, self.load_s, facts, stage, **by)

    def invocation(self, values: np.ndarray) -> Callable[[], None]:
        """What a run of a model of one input is: `values` copied, model invoked, all its outputs read."""
        runtime = self.runtime
        index = runtime.get_input_details()[0]["index"]
        outputs = [output["index"] for output in runtime.get_output_details()]

        def run() -> None:
            runtime.set_tensor(index, values)
            runtime.invoke()
            for output in outputs:
                runtime.get_tensor(output)

        return run


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
        fault = f"does not run here with the delegate {delegate} ({one_line(reason)})"
        raise InterpreterError(f"{source} {fault}.") from reason
    return Opened(content, source, delegate, runtime, loaded_s - start_s, time.perf_counter() - loaded_s)


def open_file(path: Path, threads: int, delegate: str) -> Opened:
    """Read, check and open a .tflite file; InterpreterError where it is none."""
    content = read_model(path)
    list_operators(content, str(path))
    return open_runtime(content, threads, delegate, str(path))


class DelegateInterpreter(LiteRtInterpreter):
    """The app's interpreter, with its checks and copies, over a runtime that was opened with any delegate."""

    def __init__(self, opened: Opened, shape: ModelShape):
        self.shape, self.source = shape, opened.source
        self.n_runs = 0
        self._runtime = opened.runtime
        self._runner = self._signature_runner()

    def run(self, waveform: np.ndarray) -> ModelOutputs:
        """Run the model on one clip, and count the run."""
        self.n_runs += 1
        return super().run(waveform)


def model_costs(content: bytes, delegate: str, source: str) -> dict[str, Any]:
    """Numbers of a model's rows, and in words how its operators are divided among `delegate` and the runtime.

    The three that stand in for energy, where a device gives none: ``macs``, ``weight_bytes`` and ``activation_bytes``
    of a run. The last is what the operators read and write of each other, as if none were fused.
    """
    n_operators = len(list_operators(content, source))
    operators = read_operators(content)
    partitions = count_partitions(content) if delegate == XNNPACK else None
    whole = "all operators in one" if partitions and partitions.is_whole else "not all operators in one"
    return {
        "model_bytes": len(content),
        "n_operators": n_operators,
        "n_partitions": partitions.n_partitions if partitions else 0,
        "partitions": f"{partitions.n_partitions} partition(s), {whole}" if partitions else "no partition",
        "macs": sum(operator.macs for operator in operators),
        **_moved_bytes(content, operators, source),
    }


def _moved_bytes(content: bytes, operators: list[Operator], source: str) -> dict[str, int]:
    """Bytes of the weights, once each, and of what runs between the operators; float16 weights count as stored."""
    runtime = open_runtime(content, 1, XNNPACK, source).runtime
    sizes = {
        tensor["index"]: int(np.prod(tensor["shape"], dtype=np.int64)) * np.dtype(tensor["dtype"]).itemsize
        for tensor in runtime.get_tensor_details()
        if tensor["dtype"] is not np.bytes_
    }
    computed = {int(tensor["index"]) for tensor in runtime.get_input_details()}
    weights, activation_bytes = set(), 0
    for operator in operators:
        read = [index for index in operator.inputs if index in sizes]
        moving = [index for index in read if index in computed]
        weights |= {index for index in read if index not in computed}
        if moving:
            computed |= set(operator.outputs)
            activation_bytes += sum(sizes[index] for index in (*moving, *operator.outputs) if index in sizes)
        else:  # a constant made of constants, such as float16 weights as float32
            sizes.update(dict.fromkeys(operator.outputs, 0))
    return {"weight_bytes": sum(sizes[index] for index in weights), "activation_bytes": activation_bytes}
