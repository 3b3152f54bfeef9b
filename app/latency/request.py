"""Answers one round of `tussis-benchmark phone`: what is asked is hostile until it is checked."""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.demonstration import synthesize_demonstration
from core.errors import TussisError
from core.files import write_atomically
from core.interpreter import MAX_THREADS, ModelOutputs, ModelShape

APP_FORMAT = "tussis.app-benchmark/1"
APP_FOLDER = "benchmark"  # in the application's own files
XNNPACK, BUILTIN = "xnnpack", "builtin"
MAX_RUNS = 100_000
WARM_UP_RUNS = 5
MAX_MODEL_BYTES = 256 * 1024 * 1024
_REQUEST = re.compile(r"[0-9a-f]{8,64}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.tflite")


class RequestError(TussisError):
    """A round that is not run; its message is the answer."""


class TimedModel(Protocol):
    """A model that tells the time of each run."""

    runtime: str

    def run(self, waveform: np.ndarray) -> ModelOutputs:
        """Run once; see `core.interpreter.Interpreter`."""
        ...

    def time_runs(self, waveform: np.ndarray, runs: int) -> list[float]:
        """Milliseconds of each run: input copied, model invoked, all outputs read."""
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


OpenModel = Callable[[Path, int, bool], TimedModel]
"""Opens a model file with a number of threads, and XNNPACK or the built-in kernels; raises `TussisError`."""


@dataclass(frozen=True)
class Request:
    """One model in one setting, ``runs`` times."""

    model: str
    delegate: str
    threads: int
    runs: int


def answer_request(extras: Mapping[str, Any], folder: Path, open_model: OpenModel) -> None:
    """Write the answer to what the extras ask, whole or not at all; nothing where they do not name the answer rightly.

    `folder` holds the models and gets the answer. Raises `OutputError` where it cannot be written.
    """
    name = extras.get("request")
    if not isinstance(name, str) or not _REQUEST.fullmatch(name):
        return
    answer: dict[str, Any] = {"format": APP_FORMAT, "request": name}
    try:
        answer |= measure(read_request(extras), folder, open_model)
    except TussisError as error:
        answer["error"] = str(error)
    except MemoryError:
        answer["error"] = "This phone has too little memory for the model."
    write_atomically(folder / f"{name}.json", json.dumps(answer), replaces_any=True)


def read_request(extras: Mapping[str, Any]) -> Request:
    """What is asked for; RequestError with the value that cannot be."""
    model, delegate = extras.get("model"), extras.get("delegate")
    if not isinstance(model, str) or not _MODEL.fullmatch(model):
        raise RequestError(f"The model is called {_shown(model)}; expected a file name such as 0123abcd.tflite.")
    if delegate not in (XNNPACK, BUILTIN):
        raise RequestError(f"The app runs models on the processor: {XNNPACK} or {BUILTIN}, not {_shown(delegate)}.")
    threads = _whole(extras, "threads", MAX_THREADS)
    return Request(model, delegate, threads, _whole(extras, "runs", MAX_RUNS))


def measure(request: Request, folder: Path, open_model: OpenModel) -> dict[str, Any]:
    """Load, run for the first time, warm up, and time each run; the fields of the answer."""
    path = folder / request.model
    if not path.is_file() or path.is_symlink():
        raise RequestError(f"There is no model {request.model} in the app's folder.")
    if path.stat().st_size > MAX_MODEL_BYTES:
        raise RequestError(f"The model {request.model} has more than {MAX_MODEL_BYTES} bytes.")
    clip = synthesize_demonstration()[: ModelShape().clip_samples]
    began_s = time.perf_counter()
    model = open_model(path, request.threads, request.delegate == XNNPACK)
    loaded_s = time.perf_counter()
    try:
        model.run(clip)
        first_s = time.perf_counter()
        model.time_runs(clip, WARM_UP_RUNS)
        runs_ms = model.time_runs(clip, request.runs)
        runtime = model.runtime
    finally:
        model.close()
    return {
        "runtime": runtime,
        "load_ms": 1000 * (loaded_s - began_s),
        "first_run_ms": 1000 * (first_s - loaded_s),
        "n_runs": len(runs_ms),
        "runs_ms": [round(run_ms, 6) for run_ms in runs_ms],
    }


def _whole(extras: Mapping[str, Any], key: str, at_most: int) -> int:
    value = extras.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= at_most:
        raise RequestError(f"{key} is {_shown(value)}; expected 1 to {at_most}.")
    return value


def _shown(value: Any) -> str:
    return ascii(value)[:60]
