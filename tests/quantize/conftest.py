"""A small world of synthesized recordings, a random student, and what the commands make of it, once a session."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from click.testing import Result
from torch import nn
from typer.testing import CliRunner

from core.audio import write_wav
from core.demonstration import synthesize_demonstration, synthesized_clips
from distill.checkpoints import save_checkpoint
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.models.student import Student, StudentSettings
from quantize import export, quantize_command, quantize_model, thresholds
from quantize.bundle import app as bundle_app
from quantize.calibration_set import CalibrationId, write_ids
from quantize.conversion import FLOAT_FILE
from quantize.quantize_model import Quantized
from quantize.recipe import RECIPES

SMALL = StudentSettings(channels=(8, 8, 8, 16, 16), expanded_channels=(16, 16, 16, 24, 24), pooled_channels=32)
PACK = [{"name": "synthetic", "recordings": 16, "hours": 0.01, "licences": ["CC BY-NC 3.0"]}]


@dataclass(frozen=True)
class World:
    """Paths of a data folder, the store made of it, a calibration list, a checkpoint and a recipe without limits."""

    data: Path
    store: Path
    calibration_ids: Path
    checkpoint: Path
    recipe: Path


@dataclass(frozen=True)
class Made:
    """Paths of what the commands made of the world, and what tussis-quantize wrote from."""

    quantized: Quantized
    export: Path
    int8: Path
    agreement: Path
    thresholds: Path
    probes: Path


def run_command(app: typer.Typer, *arguments: object) -> Result:
    """Run a command in this process; its result has exit_code, stdout and stderr."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def random_student(seed: int = 0) -> Student:
    """A student with random weights whose batch norms have seen sound, so that its outputs vary."""
    torch.manual_seed(seed)
    student = Student(SMALL)
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        student.train()(torch.from_numpy(synthesized_clips(32, seed=seed + 1)))
        student.body.events.weight.mul_(20)
    return student.eval()


def save_student(student: Student, path: Path, **provenance: object) -> Path:
    """Write a checkpoint as tussis-distill does."""
    save_checkpoint(
        path,
        model_state={f"student.{name}": value for name, value in student.state_dict().items()},
        training_state={"step": 7},
        settings={"student": student.settings.model_dump(mode="json")},
        provenance={"commit": "unknown", "packs": PACK, "created_utc": "2025-01-02T03:04:05Z", **provenance},
    )
    return path


def manifest_row(number: int, label: str, role: str) -> ManifestRow:
    """The row of synthesized recording `number`."""
    return ManifestRow(
        path=f"synthetic/{role}_{label or 'unlabelled'}_{number}.wav",
        pack="synthetic",
        source_id=f"source:{number}",
        subject_id=f"subject:{role}:{number}",
        duration_s=6.0,
        labels=(label,) if label else (),
        fold=5 if role == "validation" else 1,
        licence="CC BY-NC 3.0",
        role=role,
        labelled=bool(label),
    )


def _recording(label: str, number: int) -> np.ndarray:
    if label == "cough":
        return np.roll(synthesize_demonstration(), 3000 * number)
    return synthesized_clips(number + 2, seed=number)[-1] + 0.01


@pytest.fixture(scope="session")
def rows() -> list[ManifestRow]:
    """Eight coughs and eight of noise in validation, and training recordings of three strata."""
    labels = [("validation", "cough"), ("validation", "noise"), ("train", "cough"), ("train", "noise"), ("train", "")]
    return [manifest_row(n, label, role) for role, label in labels for n in range(8)]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, rows: list[ManifestRow]) -> World:
    """The recordings, written and decoded as the pipeline does."""
    folder = tmp_path_factory.mktemp("world")
    for row in rows:
        (folder / "data" / row.path).parent.mkdir(parents=True, exist_ok=True)
        number = int(row.subject_id.rpartition(":")[2])
        write_wav(folder / "data" / row.path, _recording(row.labels[0] if row.labels else "", number))
    WaveformStore.build(rows, folder / "data", folder / "store")
    ids = [CalibrationId(row.path, 0, "any") for row in rows if row.role == "train"]
    write_ids(ids, folder / "ids.csv")
    recipe = json.loads((RECIPES / "small_int8.json").read_text(encoding="utf-8"))
    for name in recipe["limits"]:  # a random student is no trained one; the limits have tests of their own
        recipe["limits"][name] = 10**9 if name == "max_model_bytes" else 1 if name.startswith("max_") else 0
    recipe["fallback"] |= {"max_layers": 0}
    recipe |= {"n_error_clips": 8, "n_composed": 16}
    (folder / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    checkpoint = save_student(random_student(), folder / "final.pt")
    return World(folder / "data", folder / "store", folder / "ids.csv", checkpoint, folder / "recipe.json")


@pytest.fixture(scope="session")
def float_model(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What tussis-export makes of the checkpoint; the other files lie beside it."""
    out = tmp_path_factory.mktemp("export")
    result = run_command(export.app, world.checkpoint, "--out", out)
    assert result.exit_code == 0, result.stderr
    return out / FLOAT_FILE


def run_quantize(world: World, float_model: Path, out: Path, **changes: object) -> Result:
    """Run tussis-quantize on the world, some of its options changed."""
    options = {"checkpoint": world.checkpoint, "data": world.data, "store": world.store, "out": out}
    options |= {"recipe": world.recipe, "calibration-ids": world.calibration_ids, **changes}
    return run_command(quantize_command.app, float_model, *as_arguments(options))


def as_arguments(options: dict[str, object]) -> list[object]:
    """The options as a command line has them."""
    return [part for key, value in options.items() for part in (f"--{key}", value)]


@pytest.fixture(scope="session")
def made(world: World, float_model: Path, tmp_path_factory: pytest.TempPathFactory, probe_file: bytes) -> Made:
    """What the commands make: float and int8 model, reports, thresholds, and a folder with one probe."""
    out = tmp_path_factory.mktemp("made")
    quantized: list[Quantized] = []

    def kept(settings: quantize_model.QuantizeSettings) -> Quantized:
        quantized.append(quantize(settings))
        return quantized[-1]

    quantize = quantize_model.quantize_model
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantize_model, "quantize_model", kept)
        result = run_quantize(world, float_model, out / "int8.tflite", reference=world.checkpoint)
    assert result.exit_code == 0, result.stderr
    arguments = ("--model", out / "int8.tflite", "--store", world.store, "--out", out / "thresholds.json")
    result = run_command(thresholds.app, *arguments, "--n-composed", 6, "--hours", 0.1)
    assert result.exit_code == 0, result.stderr
    (out / "probes").mkdir()
    (out / "probes" / "tb.json").write_bytes(probe_file)
    return Made(
        quantized[0],
        float_model.parent,
        out / "int8.tflite",
        out / "agreement.json",
        out / "thresholds.json",
        out / "probes",
    )


@pytest.fixture(scope="session")
def probe_file() -> bytes:
    """A demonstration probe."""
    zeros = [0.0] * 512
    content = {
        **{"format_version": 1, "name": "tb", "title": "Demonstration", "status": "demonstration"},
        **{"kind": "classification", "unit": "probability", "intended_use": "None."},
        "clips": {"event": None, "min_probability": 0.0, "min_clips": 1, "pooling": "mean"},
        **{"mean": zeros, "scale": [1.0] * 512, "weights": zeros, "intercept": 0.0, "temperature": 1.0},
        **{"operating_point": 0.5, "abstention_band": None, "training": {}, "metrics": {}},
    }
    return json.dumps(content).encode()


def run_build(world: World, made: Made, out: Path, **changes: object) -> Result:
    """Run tussis-bundle build on what was made, some of its options changed."""
    options = {"float": made.export / FLOAT_FILE, "int8": made.int8, "checkpoint": world.checkpoint}
    options |= {"probes": made.probes, "agreement": made.agreement, "export": made.export / export.REPORT_FILE}
    options |= {"thresholds": made.thresholds, "out": out, **changes}
    return run_command(bundle_app, "build", *as_arguments(options))


@pytest.fixture(scope="session")
def run() -> Callable[..., Result]:
    """Runs a typer app in this process."""
    return run_command


@pytest.fixture(scope="session")
def quantize() -> Callable[..., Result]:
    """Runs tussis-quantize; see `run_quantize`."""
    return run_quantize


@pytest.fixture(scope="session")
def build() -> Callable[..., Result]:
    """Runs tussis-bundle build; see `run_build`."""
    return run_build


@pytest.fixture(scope="session")
def student() -> Callable[..., Student]:
    """Makes a random student; see `random_student`."""
    return random_student


@pytest.fixture(scope="session")
def checkpoint_of() -> Callable[..., Path]:
    """Writes a student's checkpoint; see `save_student`."""
    return save_student


@pytest.fixture(scope="session")
def row_of() -> Callable[..., ManifestRow]:
    """Makes a manifest row; see `manifest_row`."""
    return manifest_row
