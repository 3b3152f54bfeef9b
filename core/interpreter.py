"""Runs the model: the protocol, and its LiteRT implementation for the workstation."""

from dataclasses import dataclass
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.clips import CLIP_S, CLIP_SAMPLES
from core.errors import InterpreterError, one_line
from core.model.check import check_model

PACKAGE = "ai-edge-litert"
SIGNATURE = "screen"
EMBEDDING_SIZE = 512
MAX_THREADS = 64


@dataclass(frozen=True)
class ModelShape:
    """The shapes of a model's inputs and outputs; a bundle states it and the interpreter checks the file against it.

    ``n_events`` is None where any number of events will do.
    """

    clip_samples: int = CLIP_SAMPLES
    embedding_size: int = EMBEDDING_SIZE
    n_events: int | None = None
    n_activity_frames: int = 50

    @property
    def activity_frame_step_s(self) -> float:
        """Length of one activity frame; clips start on this grid."""
        return CLIP_S / self.n_activity_frames

    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of each input by name."""
        return {"waveform": (1, self.clip_samples)}

    def outputs(self) -> dict[str, tuple[int | None, ...]]:
        """Shape of each output by name."""
        return {
            "embedding": (1, self.embedding_size),
            "event_logits": (1, self.n_events),
            "activity_logits": (1, self.n_activity_frames),
        }


@dataclass(frozen=True)
class ModelOutputs:
    """The model's outputs for one clip: finite float32 arrays (512,), (n_events,) and (n_activity_frames,)."""

    embedding: np.ndarray
    event_logits: np.ndarray
    activity_logits: np.ndarray


class Interpreter(Protocol):
    """Runs the model on one clip; one for each platform, so that callers never branch."""

    def run(self, waveform: np.ndarray) -> ModelOutputs:
        """Run the model on one clip of 16 kHz float32 samples in [-1, 1], shape (32000,)."""
        ...


class LiteRtInterpreter:
    """The model through ``ai-edge-litert`` on the processor; one thread at a time may use it.

    Parameters
    ----------
    model : Path or bytes
        A .tflite file, or its content.
    threads : int in [1, 64]
        Threads of the runtime.
    shape : ModelShape
        What the file must take and give.
    xnnpack : bool
        False for the runtime's built-in kernels.

    Raises
    ------
    InterpreterError
        If the runtime is missing, or the file is not a model of that signature and shape that `check_model` lets pass.
    """

    def __init__(
        self, model: Path | bytes, threads: int = 1, shape: ModelShape | None = None, xnnpack: bool = True
    ) -> None:
        self.shape = shape or ModelShape()
        self.source = "the model" if isinstance(model, bytes) else str(model)
        check_threads(threads)
        self._runtime = _open_runtime(read_model(model), threads, self.source, xnnpack)
        self._runner = self._signature_runner()

    @property
    def runtime(self) -> str:
        """The runtime's name and version."""
        return f"{PACKAGE} {version(PACKAGE)}"

    def run(self, waveform: np.ndarray) -> ModelOutputs:
        """Run the model on one clip of 16 kHz float32 samples in [-1, 1], shape (32000,)."""
        clip = checked_clip(waveform, self.shape)[np.newaxis]
        try:
            outputs = self._runner(waveform=clip)
        except (ValueError, RuntimeError) as reason:
            raise InterpreterError(f"{self.source} failed on a clip ({one_line(reason)}).") from reason
        except MemoryError as reason:
            raise InterpreterError(f"{self.source} needs more memory than there is.") from reason
        return checked_outputs(outputs, self.shape, self.source)

    def _signature_runner(self) -> Any:
        try:
            names = sorted(self._runtime.get_signature_list())
            runner = self._runtime.get_signature_runner(SIGNATURE) if SIGNATURE in names else None
            sides = {"input": runner.get_input_details(), "output": runner.get_output_details()} if runner else {}
        except (ValueError, RuntimeError, TypeError, KeyError) as reason:  # a UnicodeDecodeError is a ValueError
            raise InterpreterError(f"{self.source} has a damaged signature ({one_line(reason)}).") from reason
        tensors = {
            side: {
                name: (np.dtype(tensor["dtype"]).name, tuple(map(int, tensor["shape"]))) for name, tensor in of.items()
            }
            for side, of in sides.items()
        }
        check_signature(names, tensors, self.shape, self.source)
        return runner


Tensors = dict[str, tuple[str, tuple[int, ...]]]
"""Type and shape of each tensor by name."""


def check_signature(names: list[str], tensors: dict[str, Tensors], shape: ModelShape, source: str) -> None:
    """InterpreterError unless one of a model's signatures is ours, with the tensors that `shape` states.

    `tensors` has the sides "input" and "output" of our signature, where there is one.
    """
    if SIGNATURE not in names:
        raise InterpreterError(
            f'{source} has the signatures {", ".join(names) or "none"}; expected one named "{SIGNATURE}".'
        )
    for side, expected in (("input", shape.inputs()), ("output", shape.outputs())):
        if set(tensors[side]) != set(expected):
            given = f"{', '.join(sorted(tensors[side])) or 'none'}; expected {', '.join(sorted(expected))}"
            raise InterpreterError(f"{source} has the {side}s {given}.")
        for name, sizes in expected.items():
            tensor_type, tensor_shape = tensors[side][name]
            if not _fits(tensor_shape, sizes) or tensor_type != "float32":
                difference = f"{tensor_type} {tensor_shape}; expected float32 {_words(sizes)}"
                raise InterpreterError(f'{source}: {side} "{name}" is {difference}.')


def checked_clip(waveform: np.ndarray, shape: ModelShape) -> np.ndarray:
    """A clip as the runtime takes it, shape (clip_samples,), contiguous float32; InterpreterError for another shape."""
    if waveform.shape != (shape.clip_samples,):
        raise InterpreterError(f"a clip has shape {waveform.shape}; expected ({shape.clip_samples},).")
    return np.ascontiguousarray(waveform, dtype=np.float32)


def checked_outputs(outputs: dict[str, np.ndarray], shape: ModelShape, source: str) -> ModelOutputs:
    """Copies of what the runtime gave for one clip; InterpreterError where a shape is wrong or a value not finite."""
    for name, sizes in shape.outputs().items():
        if not _fits(outputs[name].shape, sizes):
            given = f"gave {outputs[name].shape} for a clip; expected {_words(sizes)}"
            raise InterpreterError(f'{source}: output "{name}" {given}.')
        if not isfinite(float(outputs[name].sum())):  # as it is where one of them is not
            raise InterpreterError(f'{source}: output "{name}" is not finite for a clip of finite samples.')
    return ModelOutputs(**{name: array[0].copy() for name, array in outputs.items()})


def check_threads(threads: int) -> None:
    """InterpreterError for a number of threads out of range."""
    if not 1 <= threads <= MAX_THREADS:
        raise InterpreterError(f"{threads} threads were asked for; expected 1 to {MAX_THREADS}.")


def _fits(actual: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(actual) == len(expected) and all(e in (None, a) for a, e in zip(actual, expected, strict=True))


def _words(shape: tuple[int | None, ...]) -> str:
    return str(shape).replace("None", "any number")


def read_model(model: Path | bytes) -> bytes:
    """A model's content; InterpreterError where its file cannot be read."""
    if isinstance(model, bytes):
        return model
    try:
        return model.read_bytes()
    except OSError as reason:
        raise InterpreterError(f"{model} cannot be read: {reason.strerror}.") from reason


def _open_runtime(content: bytes, threads: int, source: str, xnnpack: bool) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter as Runtime
        from ai_edge_litert.interpreter import OpResolverType
    except ImportError as reason:
        install = "install it with: pip install ai-edge-litert"
        raise InterpreterError(f"the model runtime ai-edge-litert cannot be imported; {install}.") from reason
    check_model(content, source)
    try:
        kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        runtime = Runtime(model_content=content, num_threads=threads, experimental_op_resolver_type=kernels)
        runtime.allocate_tensors()
        return runtime
    except (ValueError, RuntimeError) as reason:
        raise InterpreterError(f"{source} is not a TFLite model that runs here ({one_line(reason)}).") from reason
    except MemoryError as reason:
        raise InterpreterError(f"{source} needs more memory than there is.") from reason
