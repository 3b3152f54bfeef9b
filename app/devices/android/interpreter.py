"""Runs the model with the LiteRT that is in the Android package."""

import threading
from pathlib import Path

import numpy as np

from app.devices.android.java import bytes_of, java_exception, ours
from core.errors import InterpreterError, one_line
from core.interpreter import (
    SIGNATURE,
    ModelOutputs,
    ModelShape,
    Tensors,
    check_signature,
    check_threads,
    checked_clip,
    checked_outputs,
    read_model,
)
from core.model.check import check_model


class AndroidInterpreter:
    """The model through LiteRT's Java interface; one thread at a time may use it.

    Parameters
    ----------
    model : Path or bytes
        A .tflite file, or its content.
    threads : int in [1, 64]
    shape : ModelShape or None
        What the file must take and give.
    xnnpack : bool
        False for the runtime's built-in kernels.

    Raises
    ------
    InterpreterError
        If the file is not a model of that signature and shape that `check_model` lets pass, or LiteRT refuses it.
    """

    def __init__(
        self, model: Path | bytes, threads: int = 1, shape: ModelShape | None = None, xnnpack: bool = True
    ) -> None:
        self.shape = shape or ModelShape()
        self.source = "the model" if isinstance(model, bytes) else str(model)
        check_threads(threads)
        content = read_model(model)
        check_model(content, self.source)
        self._java_exception = java_exception()
        self._in_use = threading.Lock()
        try:
            self._runner = ours("ModelRunner")(content, SIGNATURE, threads, xnnpack)
        except self._java_exception as reason:
            raise InterpreterError(
                f"{self.source} is not a TFLite model that runs here ({_words(reason)})."
            ) from reason
        try:
            self._outputs = self._check(self._runner.description())
        except InterpreterError:
            self.close()
            raise

    @property
    def runtime(self) -> str:
        """The runtime's name and version."""
        return f"LiteRT {ours('ModelRunner').runtime()}"

    def run(self, waveform: np.ndarray) -> ModelOutputs:
        """Run the model on one clip of 16 kHz float32 samples in [-1, 1], shape (32000,)."""
        clip = checked_clip(waveform, self.shape).tobytes()
        with self._in_use:
            try:
                content = bytes_of(self._runner.run(clip))
            except self._java_exception as reason:
                raise InterpreterError(f"{self.source} failed on a clip ({_words(reason)}).") from reason
        outputs, start = {}, 0
        for name, (_, sizes) in self._outputs.items():
            count = int(np.prod(sizes))
            outputs[name] = np.frombuffer(content, np.float32, count, start).reshape(sizes)
            start += 4 * count
        return checked_outputs(outputs, self.shape, self.source)

    def time_runs(self, waveform: np.ndarray, runs: int) -> list[float]:
        """Milliseconds of each of `runs` runs: input copied, model invoked, all outputs read, without Python's part."""
        clip = checked_clip(waveform, self.shape).tobytes()
        with self._in_use:
            try:
                return [nanoseconds / 1e6 for nanoseconds in self._runner.time(clip, runs)]
            except self._java_exception as reason:
                raise InterpreterError(f"{self.source} failed on a clip ({_words(reason)}).") from reason

    def close(self) -> None:
        """Give the runtime's memory back; no run may follow."""
        self._runner.close()

    def _check(self, description: str) -> Tensors:
        """The outputs in the order of their bytes; InterpreterError for other tensors than ours."""
        names: list[str] = []
        tensors: dict[str, Tensors] = {"input": {}, "output": {}}
        try:
            for line in description.splitlines():
                kind, name, *rest = line.split(" ")
                if kind == "signature":
                    names.append(name)
                else:
                    tensor_type, sizes = rest
                    tensors[kind][name] = (tensor_type.lower(), tuple(int(size) for size in sizes.split(",") if size))
        except (ValueError, KeyError) as reason:
            raise InterpreterError(f"{self.source} has a damaged signature.") from reason
        check_signature(names, tensors, self.shape, self.source)
        return tensors["output"]


def _words(exception: Exception) -> str:
    """A Java exception's message, which `str` puts behind the words "JVM exception occurred"."""
    return one_line(Exception(getattr(exception, "innermessage", None) or str(exception)))
