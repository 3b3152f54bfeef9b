"""Loads the models that are timed on a phone: the bundle's and its peers."""

import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from benchmarks.phone.adb import Phone
from benchmarks.results.names import BUILTIN, XNNPACK
from core.audio import SAMPLE_RATE_HZ
from core.bundle import load_bundle
from core.clips import CLIP_S
from core.errors import SettingsError
from quantize.tflite_graph import list_operators, read_model

GPU, NNAPI = "gpu", "nnapi"
DELEGATES = (XNNPACK, BUILTIN, GPU, NNAPI)
ON_PROCESSOR = (XNNPACK, BUILTIN)
# Androids that have NNAPI: from 8.1 on. Since 15 it is deprecated and may be one that runs all on the processor.
NNAPI_FIRST_SDK = 27


@dataclass(frozen=True)
class PhoneModel:
    """A model to be timed; ``audio_s`` are the seconds of sound of one run, None where its input is no waveform."""

    name: str
    content: bytes
    audio_s: float | None
    is_peer: bool = False

    @property
    def sha256(self) -> str:
        """SHA-256 of the file's content."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def file_name(self) -> str:
        """Its name on the phone: of its content, so that no name of a user's file reaches the phone's shell."""
        return f"{self.sha256[:16]}.tflite"

    def push(self, phone: Phone, folder: str) -> str:
        """Copy the model into a folder of the phone; its path there."""
        remote = f"{folder}/{self.file_name}"
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / self.file_name
            path.write_bytes(self.content)
            phone.push(path, remote)
        return remote


@dataclass(frozen=True)
class Setting:
    """How a model is run."""

    threads: int
    delegate: str


@dataclass(frozen=True)
class Measured:
    """What one round gave: numbers as `make_row` takes them, and each run's time where the runner tells."""

    n_runs: int
    metrics: dict[str, float]
    runtime: str
    samples_ms: tuple[float, ...] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def load_models(bundle: Path | None, peers: list[Path]) -> list[PhoneModel]:
    """The bundle's model, then the peers in order, by their files' names; SettingsError where two share one."""
    opened = load_bundle(bundle)
    models = [PhoneModel(opened.name, opened.read_model(), CLIP_S)]
    for path in peers:
        content = read_model(path)
        list_operators(content, str(path))
        models.append(PhoneModel(path.name, content, waveform_s(content), is_peer=True))
    names = [model.name for model in models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(f"two models are called {twice[0]}; give one of the files another name.")
    return models


def waveform_s(content: bytes) -> float | None:
    """Seconds of 16 kHz sound that a model takes in a run: of its only input, if that is a row of samples."""
    graph = schema.Model.GetRootAsModel(content, 0).Subgraphs(0)
    if graph.InputsLength() != 1:
        return None
    tensor = graph.Tensors(graph.Inputs(0))
    shape = [int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength())]
    is_row = shape and all(size == 1 for size in shape[:-1]) and shape[-1] >= SAMPLE_RATE_HZ // 10
    return shape[-1] / SAMPLE_RATE_HZ if is_row else None
