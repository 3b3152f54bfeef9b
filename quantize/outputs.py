"""Runs one set of clips through torch, TFLite or ONNX, and measures how far the outputs differ."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import DataError
from core.interpreter import LiteRtInterpreter, ModelOutputs

if TYPE_CHECKING:
    from distill.models.student import Student

OUTPUTS = tuple(field.name for field in fields(ModelOutputs))
MAX_RELATIVE_DIFFERENCE = 1e-3
BATCH_SIZE = 64

Outputs = dict[str, np.ndarray]
"""One array a name of the signature, each (n_clips, size), float32."""


@dataclass(frozen=True)
class CosineSummary:
    """Smallest, 1st percentile and median of a cosine over clips."""

    min: float
    p1: float
    median: float


def torch_outputs(student: "Student", clips: np.ndarray) -> Outputs:
    """Run the student in torch on clips (n, 32000)."""
    import torch

    with torch.inference_mode():
        batches = [student(torch.from_numpy(clips[at : at + BATCH_SIZE])) for at in range(0, len(clips), BATCH_SIZE)]
    return {name: torch.cat([getattr(batch, name) for batch in batches]).numpy() for name in OUTPUTS}


class TorchInterpreter:
    """A student in torch behind the protocol of core's interpreter."""

    def __init__(self, student: "Student"):
        self._student = student

    def run(self, waveform: np.ndarray) -> ModelOutputs:
        """Run one clip (32000,)."""
        outputs = torch_outputs(self._student, waveform[None])
        return ModelOutputs(**{name: values[0] for name, values in outputs.items()})


def tflite_outputs(model: Path | bytes, clips: np.ndarray) -> Outputs:
    """Run a TFLite model on clips (n, 32000) through core's interpreter, as a phone would."""
    interpreter = LiteRtInterpreter(model)
    outputs = [interpreter.run(clip) for clip in clips]
    return {name: np.stack([getattr(output, name) for output in outputs]) for name in OUTPUTS}


def onnx_outputs(model: Path, clips: np.ndarray, names: Sequence[str] = OUTPUTS) -> Outputs:
    """Run an ONNX file with the outputs `names` on clips (n, 32000) in onnxruntime, on one thread of the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    outputs = [session.run(list(names), {"waveform": clip[np.newaxis]}) for clip in clips]
    return {name: np.concatenate(column) for name, column in zip(names, zip(*outputs, strict=True), strict=True)}


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Cosine between the rows of two arrays (n, size); shape (n,), float64."""
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return (ours * theirs).sum(axis=1) / np.maximum(norms, 1e-12)


def cosine_summary(ours: np.ndarray, theirs: np.ndarray) -> CosineSummary:
    """Summarize the cosines between the rows of two arrays (n, size)."""
    cosine = cosines(ours, theirs)
    return CosineSummary(float(cosine.min()), float(np.percentile(cosine, 1)), float(np.median(cosine)))


def check_parity(expected: Outputs, outputs: Outputs, source: str) -> dict[str, Any]:
    """Largest difference of each output, absolute and relative to the largest expected value.

    Raises
    ------
    DataError
        If a relative difference is above `MAX_RELATIVE_DIFFERENCE` or not a number; `source` names the file.
    """
    report = {}
    for name, values in expected.items():
        difference = float(np.abs(outputs[name].astype(np.float64) - values).max())
        relative = difference / max(float(np.abs(values).max()), 1e-9)
        if not relative <= MAX_RELATIVE_DIFFERENCE:
            raise DataError(
                f"{source} does not say what the checkpoint says: {name} differs by {relative:.2g} of its largest "
                f"value; expected at most {MAX_RELATIVE_DIFFERENCE:g}"
            )
        report[name] = {"max_abs": difference, "max_relative": relative}
    return report
