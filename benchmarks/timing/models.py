"""Loads our models and their parts to be timed, and opens the one that a command is about."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.results.names import MODEL, OURS, PEER, XNNPACK
from benchmarks.timing.interleaved import Contender
from benchmarks.timing.runtime import DelegateInterpreter, open_file, open_runtime
from core.audio import SAMPLE_RATE_HZ
from core.bundle import load_bundle
from core.clips import CLIP_S
from core.demonstration import synthesized_clips
from core.errors import InterpreterError, SettingsError
from core.interpreter import LiteRtInterpreter, ModelShape
from quantize.tflite_graph import list_operators, read_model
from quantize.tflite_parts import three_parts


@dataclass(frozen=True)
class ChosenModel:
    """A model's name for tables, and the content of its file."""

    name: str
    content: bytes


def choose_model(bundle: Path | None, model: Path | None) -> ChosenModel:
    """The bundle's model, the shipped bundle's where both are None, or the file `model`; a TussisError where neither.

    A file must have the signature ``screen`` and its shapes.
    """
    if bundle is not None and model is not None:
        raise SettingsError(f"--bundle is {bundle} and --model is {model}; expected one of them.")
    if model is None:
        opened = load_bundle(bundle)
        return ChosenModel(opened.name, opened.read_model())
    content = read_model(model)
    list_operators(content, str(model))
    LiteRtInterpreter(model)
    return ChosenModel(model.stem, content)


def load_student_model(
    path: Path, threads: int, name: str, delegate: str = XNNPACK, shape: ModelShape | None = None
) -> Contender:
    """A model with the signature ``screen``: 2 s of samples to embedding, events and activity, through core."""
    opened, clip = open_file(path, threads, delegate), synthesized_clips(2)[1]
    interpreter = DelegateInterpreter(opened, shape or ModelShape())
    return opened.contender(name, lambda: interpreter.run(clip), CLIP_S, OURS)


def load_parts(path: Path, threads: int, name: str, delegate: str = XNNPACK) -> list[Contender]:
    """Front end, body and heads of a student's file, each a model of its own; InterpreterError if it cannot be cut."""
    content = read_model(path)
    parts = three_parts(content, str(path)).items()
    return [load_plain(part, name, threads, None, delegate, stage, CLIP_S, OURS) for stage, part in parts]


def load_plain(
    content: bytes,
    name: str,
    threads: int,
    n_samples: int | None = None,
    delegate: str = XNNPACK,
    stage: str = MODEL,
    audio_s: float | None = None,
    role: str = PEER,
) -> Contender:
    """A model of one input; all its outputs are read.

    `n_samples` is what it must take, None where it is no sound; `audio_s` what a run stands for, None for one value a
    sample at 16 kHz.
    """
    opened = open_runtime(content, threads, delegate, name)
    inputs = opened.runtime.get_input_details()
    shape, dtype = inputs[0]["shape"], inputs[0]["dtype"]
    n_values = int(np.prod(shape))
    if len(inputs) != 1 or n_samples not in (None, n_values):
        shapes = " and ".join(str(tensor["shape"].tolist()) for tensor in inputs)
        raise InterpreterError(f"{name} takes {shapes} values; expected one input of {n_samples or 'any number'}.")
    values = (127 if dtype == np.int8 else 1) * np.resize(synthesized_clips(2)[1], shape)
    seconds = n_values / SAMPLE_RATE_HZ if audio_s is None else audio_s
    return opened.contender(name, opened.invocation(values.astype(dtype)), seconds, role, stage)
