"""Loads models of others to stand beside ours: by file, YAMNet, and a MobileNetV3-Small that is built here."""

import math
import time
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results.names import DETECTOR_NAME, PEER, XNNPACK, YAMNET_NAME
from benchmarks.timing.interleaved import Contender
from benchmarks.timing.models import load_plain
from benchmarks.timing.runtime import open_file
from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_SAMPLES
from core.demonstration import synthesized_clips
from core.errors import InterpreterError, one_line
from quantize.tflite_graph import list_operators, read_model

YAMNET_SAMPLES = 15_600
N_CALIBRATION_CLIPS = 8
_DETECTOR_BODY = "Sequential_body|Linear_events"
MIN_WAVEFORM_SAMPLES = 400  # 25 ms; a shorter row of numbers is no waveform
ONNX_DELEGATE = "onnxruntime CPU"


@dataclass(frozen=True)
class PeerInput:
    """What a peer takes: the shape, None for a size that is left open, and whether it is float32."""

    shape: tuple[int | None, ...]
    is_float32: bool

    @property
    def words(self) -> str:
        """For a sentence: ``float32 [1, ?]``."""
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{'float32' if self.is_float32 else 'not float32'} [{sizes}]"


def load_peer(path: Path, threads: int, seconds: float | None = None, delegate: str = XNNPACK) -> Contender:
    """Load a .tflite or .onnx file with one float32 input; InterpreterError where it is neither, or cannot be fed.

    `seconds` of audio that a run stands for are wanted where the input is no waveform at 16 kHz, or one of open length.
    `delegate` is for .tflite.
    """
    if path.suffix == ".onnx":
        return _load_onnx(path, threads, seconds)
    if path.suffix == ".tflite":
        return _load_tflite(path, threads, seconds, delegate)
    raise InterpreterError(f"{path} is neither .tflite nor .onnx; expected a peer's model file.")


def resolve_shape(inputs: list[PeerInput], seconds: float | None, source: str) -> tuple[tuple[int, ...], float]:
    """Shape to feed, and the seconds of audio that it stands for; InterpreterError where that cannot be known."""
    if len(inputs) != 1 or not inputs[0].is_float32:
        taken = " and ".join(peer_input.words for peer_input in inputs) or "nothing"
        raise InterpreterError(f"{source} takes {taken}; expected one float32 input.")
    shape = inputs[0].shape
    n_open = sum(size is None for size in shape[1:]) if len(shape) > 1 else sum(size is None for size in shape)
    if seconds is None:
        fed = tuple(1 if size is None else size for size in shape)
        is_waveform = n_open == 0 and max(fed, default=0) == math.prod(fed) >= MIN_WAVEFORM_SAMPLES
        if not is_waveform:
            ask = "say with --peer-seconds how much audio a run stands for"
            raise InterpreterError(f"{source} takes {inputs[0].words}, which is no waveform of one length; {ask}.")
        return fed, math.prod(fed) / SAMPLE_RATE_HZ
    if n_open > 1:
        raise InterpreterError(f"{source} takes {inputs[0].words}; expected at most one size left open.")
    last_open = max((place for place, size in enumerate(shape) if size is None), default=None)
    fed = [1 if size is None else size for size in shape]
    if n_open:
        fed[last_open] = round(seconds * SAMPLE_RATE_HZ)
    return tuple(fed), seconds


def _load_tflite(path: Path, threads: int, seconds: float | None, delegate: str) -> Contender:
    opened = open_file(path, threads, delegate)
    details = opened.runtime.get_input_details()
    sizes = [tensor["shape_signature"] if len(tensor["shape_signature"]) else tensor["shape"] for tensor in details]
    shapes = [tuple(None if size < 0 else int(size) for size in some) for some in sizes]
    inputs = [PeerInput(some, tensor["dtype"] == np.float32) for some, tensor in zip(shapes, details, strict=True)]
    shape, audio_s = resolve_shape(inputs, seconds, str(path))
    try:
        opened.runtime.resize_tensor_input(details[0]["index"], shape)
        opened.runtime.allocate_tensors()
        run = opened.invocation(np.resize(synthesized_clips(2)[1], shape))
    except (ValueError, RuntimeError) as reason:
        raise InterpreterError(f"{path} cannot take an input of {list(shape)} ({one_line(reason)}).") from reason
    return opened.contender(path.name, run, audio_s, PEER)


def _load_onnx(path: Path, threads: int, seconds: float | None) -> Contender:
    content = read_model(path)
    start_s = time.perf_counter()
    session = _open_onnx(content, threads, path)
    load_s = time.perf_counter() - start_s
    nodes = session.get_inputs()
    shapes = [tuple(size if isinstance(size, int) else None for size in node.shape) for node in nodes]
    inputs = [PeerInput(some, node.type == "tensor(float)") for some, node in zip(shapes, nodes, strict=True)]
    shape, audio_s = resolve_shape(inputs, seconds, str(path))
    feed = {nodes[0].name: np.resize(synthesized_clips(2)[1], shape)}
    try:
        session.run(None, feed)
    except Exception as reason:  # onnxruntime raises kinds of its own, directly under Exception
        raise InterpreterError(f"{path} cannot take an input of {list(shape)} ({one_line(reason)}).") from reason
    facts = {"role": PEER, "model_bytes": len(content)}
    by = {"delegate": ONNX_DELEGATE, "runtime": f"onnxruntime {version('onnxruntime')}"}
    return Contender(path.name, lambda: session.run(None, feed), audio_s, load_s, facts, **by, content=content)


def _open_onnx(content: bytes, threads: int, path: Path) -> Any:
    """A session whose idle threads sleep: waiting in a loop, they would take the processor from what runs next."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as reason:  # as above
        raise InterpreterError(f"{path} is not an ONNX model that runs here ({one_line(reason)}).") from reason


def load_yamnet(path: Path, threads: int, delegate: str = XNNPACK) -> Contender:
    """YAMNet as TFLite: one frame of 0.975 s to 521 scores, frames not overlapping; no embedding output."""
    content = read_model(path)
    list_operators(content, str(path))
    return load_plain(content, YAMNET_NAME, threads, YAMNET_SAMPLES, delegate)


def load_detectors(threads: int, delegate: str = XNNPACK) -> list[Contender]:
    """MobileNetV3-Small with PCEN, 2 s to 8 scores: float32, and its body in dynamic and static int8."""
    return [load_plain(content, name, threads, CLIP_SAMPLES, delegate) for name, content in _build_detectors().items()]


@cache
def _build_detectors() -> dict[str, bytes]:
    """The three files by name, converted once however often they are loaded."""
    import torch

    from benchmarks.timing.pcen_detector import MobileNetV3Detector, to_float, to_int8

    torch.manual_seed(0)
    float_model = to_float(MobileNetV3Detector(), (1, CLIP_SAMPLES))
    return {
        f"{DETECTOR_NAME}, float32": float_model,
        f"{DETECTOR_NAME}, dynamic int8": to_int8(float_model, None, _DETECTOR_BODY),
        f"{DETECTOR_NAME}, static int8": to_int8(float_model, synthesized_clips(N_CALIBRATION_CLIPS), _DETECTOR_BODY),
    }
