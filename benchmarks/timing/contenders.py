"""The only place that loads what is timed: our models and their parts, and peers whose input and make are known."""

from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.results.names import DETECTOR_NAME, MODEL, OURS, PEER, XNNPACK, YAMNET_NAME
from benchmarks.timing.delegates import DelegateInterpreter, open_runtime
from benchmarks.timing.interleaved import Contender
from benchmarks.timing.model_costs import model_costs
from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_S, CLIP_SAMPLES
from core.errors import InterpreterError
from core.interpreter import ModelShape
from quantize.synthesized_clips import synthesized_clips
from quantize.tflite_graph import list_operators, read_model
from quantize.tflite_parts import three_parts

YAMNET_SAMPLES = 15_600
N_CALIBRATION_CLIPS = 8
_DETECTOR_BODY = "Sequential_body|Linear_events"


def load_student_model(
    path: Path, threads: int, name: str, delegate: str = XNNPACK, shape: ModelShape | None = None
) -> Contender:
    """A model with the signature ``screen``: 2 s of samples to embedding, events and activity, through core."""
    content = read_model(path)
    list_operators(content, str(path))
    clip = synthesized_clips(2)[1]
    opened = open_runtime(content, threads, delegate, str(path))
    interpreter = DelegateInterpreter(opened, shape or ModelShape(), str(path))
    return Contender(
        name=name,
        run=lambda: interpreter.run(clip),
        audio_s=CLIP_S,
        load_s=opened.load_s,
        facts={"role": OURS, **model_costs(content, delegate, str(path))},
        allocate_s=opened.allocate_s,
        delegate=delegate,
        content=content,
    )


def load_parts(path: Path, threads: int, name: str, delegate: str = XNNPACK) -> list[Contender]:
    """Front end, body and heads of a student's file, each a model of its own; InterpreterError if it cannot be cut."""
    content = read_model(path)
    parts = three_parts(content, str(path)).items()
    return [load_plain(its, name, threads, None, delegate, stage, CLIP_S, OURS) for stage, its in parts]


def load_yamnet(path: Path, threads: int, delegate: str = XNNPACK) -> Contender:
    """YAMNet as TFLite: one frame of 0.975 s to 521 scores, frames not overlapping; no embedding output."""
    content = read_model(path)
    list_operators(content, str(path))
    return load_plain(content, YAMNET_NAME, threads, YAMNET_SAMPLES, delegate)


def load_detectors(threads: int, delegate: str = XNNPACK) -> list[Contender]:
    """MobileNetV3-Small with PCEN, 2 s to 8 scores: float32, and its body in dynamic and static int8."""
    return [load_plain(its, name, threads, CLIP_SAMPLES, delegate) for name, its in _build_detectors().items()]


@cache
def _build_detectors() -> dict[str, bytes]:
    """The three files by name, converted once however often they are loaded."""
    import torch

    from benchmarks.timing.conversions import to_float, to_int8
    from benchmarks.timing.pcen_detector import MobileNetV3Detector

    torch.manual_seed(0)
    float_model = to_float(MobileNetV3Detector(), (1, CLIP_SAMPLES))
    return {
        f"{DETECTOR_NAME}, float32": float_model,
        f"{DETECTOR_NAME}, dynamic int8": to_int8(float_model, None, _DETECTOR_BODY),
        f"{DETECTOR_NAME}, static int8": to_int8(float_model, synthesized_clips(N_CALIBRATION_CLIPS), _DETECTOR_BODY),
    }


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
    runtime, details = opened.runtime, opened.runtime.get_input_details()
    its_input, outputs = details[0], [its["index"] for its in opened.runtime.get_output_details()]
    n_values = int(np.prod(its_input["shape"]))
    if len(details) != 1 or n_samples not in (None, n_values):
        shapes = " and ".join(str(its["shape"].tolist()) for its in details)
        raise InterpreterError(f"{name} takes {shapes} values; expected one input of {n_samples or 'any number'}.")
    scale = 127 if its_input["dtype"] == np.int8 else 1
    clip = (scale * np.resize(synthesized_clips(2)[1], its_input["shape"])).astype(its_input["dtype"])

    def run() -> None:
        runtime.set_tensor(its_input["index"], clip)
        runtime.invoke()
        for output in outputs:
            runtime.get_tensor(output)

    return Contender(
        name=name,
        run=run,
        audio_s=n_values / SAMPLE_RATE_HZ if audio_s is None else audio_s,
        load_s=opened.load_s,
        facts={"role": role, **model_costs(content, delegate, name)},
        stage=stage,
        allocate_s=opened.allocate_s,
        delegate=delegate,
        content=content,
    )
