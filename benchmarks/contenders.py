"""The only place that loads what is timed: our models, and peers by file or built from their description."""

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.interleaved import Contender
from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_SAMPLES
from core.errors import InterpreterError
from core.interpreter import LiteRtInterpreter
from quantize.operators import count_partitions, list_operators, read_model
from quantize.synthesized_clips import synthesized_clips

YAMNET_SAMPLES = 15_600
YAMNET, DETECTOR = "YAMNet", "MobileNetV3-Small + PCEN"
N_CALIBRATION_CLIPS = 8
_DETECTOR_BODY = "Sequential_body|Linear_events"


def load_student_model(path: Path, threads: int, name: str) -> Contender:
    """A model with the signature ``screen``: 2 s of samples to embedding, events and activity, through core."""
    content = read_model(path)
    clip = synthesized_clips(2)[1]
    start = time.perf_counter()
    interpreter = LiteRtInterpreter(content, threads)
    load_s = time.perf_counter() - start
    audio_s = len(clip) / SAMPLE_RATE_HZ
    return Contender(name, lambda: interpreter.run(clip), audio_s, load_s, _facts(content, name))


def load_yamnet(path: Path, threads: int) -> Contender:
    """YAMNet as TFLite: one frame of 0.975 s to 521 scores, frames not overlapping; no embedding output."""
    content = read_model(path)
    list_operators(content, str(path))
    return load_plain(content, YAMNET, threads, YAMNET_SAMPLES)


def load_detectors(threads: int) -> list[Contender]:
    """MobileNetV3-Small with PCEN, built here, 2 s to 8 scores: float32, and its body in dynamic and static int8."""
    import torch

    from benchmarks.conversions import to_float, to_int8
    from benchmarks.peers import MobileNetV3Detector

    torch.manual_seed(0)
    float_model = to_float(MobileNetV3Detector(), (1, CLIP_SAMPLES))
    contents = {
        "float32": float_model,
        "dynamic int8": to_int8(float_model, None, _DETECTOR_BODY),
        "static int8": to_int8(float_model, synthesized_clips(N_CALIBRATION_CLIPS), _DETECTOR_BODY),
    }
    return [load_plain(its, f"{DETECTOR}, {name}", threads, CLIP_SAMPLES) for name, its in contents.items()]


def load_plain(content: bytes, name: str, threads: int, n_samples: int | None = None) -> Contender:
    """A model of one input; its first output is read. `n_samples` is what it must take, None where it is no sound."""
    from ai_edge_litert.interpreter import Interpreter

    start = time.perf_counter()
    runtime = Interpreter(model_content=content, num_threads=threads)
    runtime.allocate_tensors()
    load_s = time.perf_counter() - start
    its_input, output = runtime.get_input_details()[0], runtime.get_output_details()[0]["index"]
    n_values = int(np.prod(its_input["shape"]))
    if n_samples not in (None, n_values):
        raise InterpreterError(f"{name} takes {its_input['shape'].tolist()} values; expected {n_samples}.")
    scale = 127 if its_input["dtype"] == np.int8 else 1
    clip = (scale * np.resize(synthesized_clips(2)[1], its_input["shape"])).astype(its_input["dtype"])

    def run() -> None:
        runtime.set_tensor(its_input["index"], clip)
        runtime.invoke()
        runtime.get_tensor(output)

    return Contender(name, run, n_values / SAMPLE_RATE_HZ, load_s, _facts(content, name))


def _facts(content: bytes, source: str) -> dict[str, Any]:
    partitions = count_partitions(content)
    whole = "all operators in one" if partitions.is_whole else "not all operators in one"
    return {
        "model_sha256": hashlib.sha256(content).hexdigest(),
        "model_bytes": len(content),
        "n_operators": len(list_operators(content, source)),
        "delegate": f"XNNPACK, {partitions.n_partitions} partition(s), {whole}",
        "n_partitions": partitions.n_partitions,
    }
