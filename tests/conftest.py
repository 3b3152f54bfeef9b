"""Gives the tests a bundle in a temporary folder, a small real model and a stand-in for one."""

import hashlib
import json
import logging
import signal
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from core.bundle import DEFAULT_BUNDLE, Bundle, load_bundle
from core.interpreter import ModelOutputs

EVENT_LABELS = ("cough", "snore", "breathing", "sneeze", "throat_clear", "laugh", "speech", "cry")
NOT_A_MODEL = b"not a model"
TINY_MODEL = Path(__file__).parent / "data" / "tiny_model.tflite"

# A busy machine must not fail a property: only what a test asserts counts, not how long an example takes.
hypothesis.settings.register_profile("tussis", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tussis")

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a run under nohup ignores it, and so would what the tests start


def pytest_unconfigure() -> None:
    """Libraries that log at exit, jax for one, still hold the stream that pytest has closed by then."""
    logging.raiseExceptions = False


def probe_fields(name: str = "tb", **changes: object) -> dict:
    """The content of a probe file whose score is the sigmoid of the embedding's first value."""
    return {
        "format_version": 1,
        "name": name,
        "title": "A probe for tests",
        "status": "research",
        "kind": "classification",
        "unit": "probability",
        "intended_use": "Tests only.",
        "clips": {"event": "cough", "min_probability": 0.5, "min_clips": 1, "pooling": "mean"},
        "mean": [0.0] * 512,
        "scale": [1.0] * 512,
        "weights": [1.0] + [0.0] * 511,
        "intercept": 0.0,
        "temperature": 1.0,
        "operating_point": 0.5,
        "abstention_band": None,
        "training": {"n_subjects": 0, "n_clips": 0, "synthetic": True},
        "metrics": {},
    } | changes


def lung_heads() -> list[dict]:
    """The heads of `lung_probe_fields`: FEV1 in litres, and COPD with an operating point."""
    point = {"threshold": 0.5, "lower": 0.4, "upper": 0.6, "target_sensitivity": 0.9, "method": "made up", "n": 40}
    value = {"weights": [1.0] + [0.0] * 511, "column_weights": [0.0, 2.0], "intercept": 3.0, "temperature": 1.0}
    answer = value | {"column_weights": [0.0, 0.0], "intercept": 0.0}
    return [
        {
            "name": "fev1",
            "title": "FEV1",
            "kind": "regression",
            "unit": "L",
            **value,
            "operating_point": None,
            "metrics": {},
        },
        {
            "name": "copd",
            "title": "COPD",
            "kind": "classification",
            "unit": "probability",
            **answer,
            "operating_point": point,
            "metrics": {},
        },
    ]


def lung_probe_fields(model_sha256: str = "0" * 64, **changes: object) -> dict:
    """A valid probe file of format 2 with the changes made: FEV1 and a yes-or-no head, two columns, and a domain."""
    return {
        "format_version": 2,
        "name": "lungs",
        "status": "research",
        "intended_use": "Tests only.",
        "clips": {"event": None, "min_probability": 0.0, "min_clips": 1, "pooling": "mean"},
        "mean": [0.0] * 512,
        "scale": [1.0] * 512,
        "columns": [
            {"name": "age_years", "codes": None, "lowest": 18, "highest": 90, "mean": 50.0, "scale": 10.0},
            {"name": "sex", "codes": {"f": 0, "m": 1}, "lowest": 0, "highest": 1, "mean": 0.5, "scale": 0.5},
        ],
        "domain": {
            "n_directions": 1,
            "directions": [1.0] + [0.0] * 511,
            "variances": [4.0],
            "rest_variance": 1.0,
            "threshold": 2.0,
            "measured": {},
        },
        "heads": lung_heads(),
        "training": {"model_sha256": model_sha256},
    } | changes


def bundle_fields(files: dict[str, str]) -> dict:
    """The content of a bundle.json for files by their SHA-256; model.tflite is among them."""
    return {
        "format_version": 1,
        "name": "test bundle",
        "created_utc": "2025-01-01T00:00:00Z",
        "model": {
            "file": "model.tflite",
            "sha256": files["model.tflite"],
            "signature": "screen",
            "sample_rate_hz": 16000,
            "clip_samples": 32000,
            "embedding_size": 512,
            "event_labels": list(EVENT_LABELS),
            "n_activity_frames": 50,
            "activity_frame_step_s": 0.04,
        },
        "screening": {
            "hop_s": 1.0,
            "event_pooling": "max",
            "event_thresholds": dict.fromkeys(EVENT_LABELS, 0.5),
            "cough_on_probability": 0.5,
            "cough_off_probability": 0.3,
            "min_event_s": 0.08,
            "max_event_s": 0.6,
            "merge_gap_s": 0.0,
        },
        "files": files,
        "provenance": {"student": "none"},
    }


def make_bundle(
    folder: Path,
    model: bytes = NOT_A_MODEL,
    probes: tuple[dict, ...] = (),
    edit: Callable[[dict], None] = lambda fields: None,
) -> Path:
    """Write a bundle folder; `edit` changes bundle.json's fields in place before they are written."""
    contents = {"model.tflite": model}
    contents |= {f"probes/{probe['name']}.json": json.dumps(probe).encode() for probe in probes}
    for relative, content in contents.items():
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        (folder / relative).write_bytes(content)
    fields = bundle_fields({name: hashlib.sha256(content).hexdigest() for name, content in contents.items()})
    edit(fields)
    (folder / "bundle.json").write_text(json.dumps(fields))
    return folder


@pytest.fixture(scope="session")
def tiny_model() -> bytes:
    """A real, untrained model of the shipped signature; tests/tiny_model.py makes it."""
    return TINY_MODEL.read_bytes()


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_model: bytes) -> Path:
    """A bundle folder with a real, untrained model, a research probe and a demonstration probe; do not change it."""
    probes = (
        probe_fields("lungs", clips={"event": None, "min_probability": 0, "min_clips": 1, "pooling": "mean"}),
        probe_fields("tb", status="demonstration"),
    )
    return make_bundle(tmp_path_factory.mktemp("tiny_bundle"), tiny_model, probes)


@pytest.fixture(scope="session")
def default_bundle() -> Bundle:
    """The bundle that comes with Tussis."""
    if not DEFAULT_BUNDLE.exists():
        pytest.skip("the default bundle, core/bundles/default, is not there")
    return load_bundle()


@pytest.fixture
def write_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle into the test's folder; takes what `make_bundle` takes after the folder."""
    return lambda **options: make_bundle(tmp_path / "bundle", **options)


class EnergyInterpreter:
    """A stand-in for the model: a frame is a cough if it is loud, a clip if it has two loud frames; deterministic."""

    def run(self, waveform: np.ndarray) -> ModelOutputs:
        """Logits from the level of each 40 ms frame; the embedding's first value is that level over the clip."""
        level_db = 10 * np.log10(np.mean(np.square(waveform.astype(np.float64).reshape(50, 640)), axis=1) + 1e-12)
        activity = np.clip(level_db + 30, -8, 8)
        events = np.full(8, -8.0)
        events[0] = np.sort(activity)[-2]
        return ModelOutputs(np.repeat(level_db.mean(), 512).astype(np.float32), events, activity)


@pytest.fixture
def energy_interpreter() -> EnergyInterpreter:
    """A stand-in for the model that hears a cough wherever it is loud."""
    return EnergyInterpreter()


@pytest.fixture
def probe_content() -> Callable[..., dict]:
    """Makes the fields of a probe; takes what `probe_fields` takes."""
    return probe_fields


@pytest.fixture
def lung_probe_content() -> Callable[..., dict]:
    """Makes the fields of a probe file with two heads; takes what `lung_probe_fields` takes."""
    return lung_probe_fields


@pytest.fixture
def coughs_in_noise() -> np.ndarray:
    """Six seconds at 16 kHz: faint noise with bursts of 0.24 s at 1.0, 2.6 and 4.2 s, each within one or two clips."""
    noise = np.random.default_rng(0).normal(size=6 * 16000)
    waveform = 0.002 * noise
    for start_s in (1.0, 2.6, 4.2):
        burst = slice(int(start_s * 16000), int((start_s + 0.24) * 16000))
        waveform[burst] = np.clip(0.2 * noise[burst], -0.9, 0.9)
    return waveform.astype(np.float32)
