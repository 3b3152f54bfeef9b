"""The only place that asks the runtime's own profiler how long each operator takes, through libLiteRt's C interface."""

import ctypes
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.demonstration import synthesized_clips
from core.errors import InterpreterError

# The library's numbers: litert_common.h and litert_profiler_event.h of LiteRT.
CPU_ACCELERATOR = 1
LOCK_FOR_WRITING = 1
NODE_EVENT, XNNPACK_EVENT = 1 << 1, 1 << 3
EVENT_TYPES = tuple(1 << bit for bit in range(9))
# An event is tag, type, start, microseconds, two readings of memory, two numbers and a source; how many words a reading
# of memory takes differs between versions of the library.
EVENT_WORDS = range(10, 20)
TAG, TYPE, ELAPSED_US = 0, 1, 3
LOW_WORD = 0xFFFFFFFF
MAX_EVENTS = 100_000
WARM_UP_RUNS = 20
CHILD_TIMEOUT_S = 300
_LIBRARIES = ("libLiteRt.so", "libLiteRt.dylib", "libLiteRt.dll", "LiteRt.dll")
_PROFILING = {"runtime_options_string": "enable_profiling = true\n"}


class ProfilerError(InterpreterError):
    """The runtime's profiler cannot be had: another version of the library, or a model that it does not run."""


@dataclass(frozen=True)
class Profile:
    """What the profiler says: ``names`` (n_events,) of the operators in order, and for each run their time.

    ``elapsed_us`` has shape (n_runs, n_events), int64: whole microseconds, rounded down. ``plain_us`` and
    ``profiled_us`` (n_runs,) are whole runs without and with the profiler, in turns: what the instrument costs.
    """

    names: tuple[str, ...]
    elapsed_us: np.ndarray
    plain_us: np.ndarray
    profiled_us: np.ndarray


def profile(model: bytes, runs: int, threads: int = 1) -> Profile:
    """Profile a model in a process of its own, because a library that was built otherwise may end the process.

    Raises
    ------
    ProfilerError
        If the library is not there, ends the process, or says nothing of operators.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(model)
        command = [sys.executable, "-m", "benchmarks.workstation.runtime_profiler", str(path), str(runs), str(threads)]
        root = Path(__file__).parents[2]
        try:
            result = subprocess.run(
                command, capture_output=True, text=True, cwd=root, timeout=CHILD_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as reason:
            raise ProfilerError(f"the runtime's profiler said nothing within {CHILD_TIMEOUT_S} s.") from reason
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise ProfilerError(f"the runtime's profiler ended with status {result.returncode}: {last[:160]}")
    said = json.loads(result.stdout.splitlines()[-1])
    whole_us = np.array(said["plain_us"]), np.array(said["profiled_us"])
    return Profile(tuple(said["names"]), np.array(said["elapsed_us"], dtype=np.int64), *whole_us)


class Library:
    """libLiteRt, which lies beside the Python package; a call that fails is a ProfilerError."""

    def __init__(self) -> None:
        import ai_edge_litert

        folder = Path(ai_edge_litert.__file__).parent
        found = [folder / name for name in _LIBRARIES if (folder / name).exists()]
        if not found:
            raise ProfilerError(f"{folder} holds none of {', '.join(_LIBRARIES)}.")
        self._library = ctypes.CDLL(str(found[0]))

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that returns a status."""
        try:
            status = getattr(self._library, name)(*arguments)
        except AttributeError as reason:
            raise ProfilerError(f"the runtime's library has no function {name}.") from reason
        if status != 0:
            raise ProfilerError(f"{name} of the runtime's library returned {status}; expected 0.")

    def new(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Call a function whose last argument is where it puts a handle; returns the handle."""
        handle = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(handle))
        return handle

    def count(self, name: str, handle: ctypes.c_void_p) -> int:
        """Call a function whose last argument is where it puts a number."""
        number = ctypes.c_size_t()
        self.call(name, handle, ctypes.byref(number))
        return number.value


class ProfiledModel:
    """A model with its first signature, compiled for the processor with profiling on, and its inputs filled."""

    def __init__(self, model: bytes, threads: int):
        self._library, self._kept = Library(), [model]
        its = self._library
        self._environment = its.new("LiteRtCreateEnvironment", 0, None)
        self._model = its.new("LiteRtCreateModelFromBuffer", self._environment, model, ctypes.c_size_t(len(model)))
        self._compiled = its.new("LiteRtCreateCompiledModel", self._environment, self._model, self._options(threads))
        self._signature = its.new("LiteRtGetModelSignature", self._model, ctypes.c_size_t(0))
        self._inputs, self._outputs = self._buffers("Input"), self._buffers("Output")
        for buffer in self._inputs:
            self._fill(buffer)
        self._profiler = its.new("LiteRtCompiledModelGetProfiler", self._compiled)
        if not self._profiler.value:
            raise ProfilerError("the runtime's library gives no profiler.")

    def run(self) -> None:
        """Run the model once."""
        arguments = []
        for buffers in (self._inputs, self._outputs):
            arguments += [ctypes.c_size_t(len(buffers)), (ctypes.c_void_p * len(buffers))(*buffers)]
        self._library.call("LiteRtRunCompiledModel", self._compiled, ctypes.c_size_t(0), *arguments)

    def timed_run(self) -> float:
        """Run once; its microseconds."""
        start = time.perf_counter()
        self.run()
        return 1e6 * (time.perf_counter() - start)

    def profiled_run(self) -> tuple[float, list[tuple[str, int]]]:
        """Run once; its microseconds, and the operators' names and microseconds in the order in which they ran."""
        self._library.call("LiteRtStartProfiler", self._profiler)
        whole_us = self.timed_run()
        self._library.call("LiteRtStopProfiler", self._profiler)
        events = self._events()
        self._library.call("LiteRtResetProfiler", self._profiler)
        return whole_us, events

    def _options(self, threads: int) -> ctypes.c_void_p:
        options = self._library.new("LiteRtCreateOptions")
        self._library.call("LiteRtSetOptionsHardwareAccelerators", options, CPU_ACCELERATOR)
        release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda address: None)
        for name, text in {**_PROFILING, "xnnpack": f"num_threads = {threads}\n"}.items():
            content = ctypes.create_string_buffer(text.encode())
            self._kept += [release, content]
            opaque = self._library.new("LiteRtCreateOpaqueOptions", name.encode(), content, release)
            self._library.call("LiteRtAddOpaqueOptions", options, opaque)
        return options

    def _buffers(self, side: str) -> list[int]:
        buffers = []
        for number in range(self._library.count(f"LiteRtGetNumSignature{side}s", self._signature)):
            index = ctypes.c_size_t(number)
            tensor = self._library.new(f"LiteRtGetSignature{side}TensorByIndex", self._signature, index)
            tensor_type = ctypes.create_string_buffer(256)  # a struct of 72 bytes that is only handed on
            self._library.call("LiteRtGetRankedTensorType", tensor, tensor_type)
            name = f"LiteRtGetCompiledModel{side}BufferRequirements"
            requirements = self._library.new(name, self._compiled, ctypes.c_size_t(0), index)
            name = "LiteRtCreateManagedTensorBufferFromRequirements"
            buffers.append(self._library.new(name, self._environment, tensor_type, requirements).value)
        return buffers

    def _fill(self, buffer: int) -> None:
        """Write a synthesized clip, as often as it takes, into a buffer of float32."""
        n_bytes = self._library.count("LiteRtGetTensorBufferSize", ctypes.c_void_p(buffer))
        clip = np.resize(synthesized_clips(2)[1], -(-n_bytes // 4)).tobytes()
        address = ctypes.c_void_p()
        lock = ctypes.byref(address), LOCK_FOR_WRITING
        self._library.call("LiteRtLockTensorBuffer", ctypes.c_void_p(buffer), *lock)
        ctypes.memmove(address, clip, n_bytes)
        self._library.call("LiteRtUnlockTensorBuffer", ctypes.c_void_p(buffer))

    def _events(self) -> list[tuple[str, int]]:
        number = ctypes.c_int()
        self._library.call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(number))
        if not 0 < number.value <= MAX_EVENTS:
            raise ProfilerError(f"the runtime's profiler has {number.value} events; expected 1 to {MAX_EVENTS}.")
        memory = ctypes.create_string_buffer(8 * EVENT_WORDS.stop * number.value)
        self._library.call("LiteRtGetProfilerEvents", self._profiler, number, memory)
        rows = split_events(np.frombuffer(memory.raw, np.uint64), number.value)
        kept = (NODE_EVENT, XNNPACK_EVENT)
        chosen = [row for row in rows if int(row[TYPE]) & LOW_WORD in kept]
        named = [(ctypes.string_at(int(row[TAG])).decode("utf-8", "replace"), int(row[ELAPSED_US])) for row in chosen]
        return [(name, elapsed_us) for name, elapsed_us in named if "delegate" not in name.lower()]


def split_events(words: np.ndarray, n_events: int) -> np.ndarray:
    """Divide the profiler's memory, shape (n_words,) uint64, into events (n_events, words of one).

    The length of an event is the one with which each has a type that exists; ProfilerError where there is none.
    """
    for length in EVENT_WORDS:
        rows = words[: length * n_events].reshape(n_events, length)
        if np.isin(rows[:, TYPE] & np.uint64(LOW_WORD), EVENT_TYPES).all() and (rows[:, TAG] != 0).all():
            return rows
    raise ProfilerError("the runtime's profiler writes events of an unknown form.")


def main(model: Path, runs: int, threads: int) -> None:
    """Profile a file and print a JSON line: what `Profile` holds."""
    profiled = ProfiledModel(model.read_bytes(), threads)
    for _ in range(WARM_UP_RUNS):
        profiled.run()
    pairs = [(profiled.timed_run(), *profiled.profiled_run()) for _ in range(runs)]
    plain_us, profiled_us, events = zip(*pairs, strict=True)
    names = [[name for name, _ in its] for its in events]
    if not names[0] or any(its != names[0] for its in names):
        raise ProfilerError("the runtime's profiler names no operators, or others in each run.")
    elapsed_us = [[microseconds for _, microseconds in its] for its in events]
    whole_us = {"plain_us": plain_us, "profiled_us": profiled_us}
    print(json.dumps({"names": names[0], "elapsed_us": elapsed_us, **whole_us}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
