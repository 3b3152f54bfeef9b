"""The only place that says what bundle.json holds: the model, the screening, and all that the bundle was made from."""

import hashlib
import os
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.audio import SAMPLE_RATE_HZ
from core.bundle import FORMAT_VERSION
from core.clips import CLIP_SAMPLES
from core.errors import DataError
from core.interpreter import EMBEDDING_SIZE, SIGNATURE
from distill.checkpoints import Checkpoint, source_commit
from distill.corpus.labels import ACTIVITY_FRAME_STEP_S, EVENT_LABELS, N_ACTIVITY_FRAMES
from quantize.bundle_parts import BundleParts

MODEL_FILE = "model.tflite"
UNKNOWN_TIME = "1970-01-01T00:00:00Z"
AGREEMENT = ("n_clips", "embedding_cosine", "events", "activity", "composed", "reference", "fallback")
TOOLS = ("torch", "litert-torch", "litert-converter", "ai-edge-quantizer", "ai-edge-litert", "numpy")


def bundle_fields(parts: BundleParts, name: str) -> dict[str, Any]:
    """Everything of bundle.json but the files' hashes."""
    return {
        "format_version": FORMAT_VERSION,
        "name": name,
        "created_utc": created_utc(parts.checkpoint),
        "model": {
            "file": MODEL_FILE,
            "sha256": hashlib.sha256(parts.int8_model).hexdigest(),
            "signature": SIGNATURE,
            "sample_rate_hz": SAMPLE_RATE_HZ,
            "clip_samples": CLIP_SAMPLES,
            "embedding_size": EMBEDDING_SIZE,
            "event_labels": list(EVENT_LABELS),
            "n_activity_frames": N_ACTIVITY_FRAMES,
            "activity_frame_step_s": ACTIVITY_FRAME_STEP_S,
        },
        "screening": parts.thresholds["screening"],
        "files": {},
        "provenance": provenance(parts),
    }


def provenance(parts: BundleParts) -> dict[str, Any]:
    """What the bundle was made from: hashes, resolved settings, packs and licences, commits, versions; no names."""
    trained = parts.checkpoint.provenance
    return {
        "student": {
            "checkpoint_sha256": parts.checkpoint_sha256,
            "settings": parts.checkpoint.settings,
            "training": {key: value for key, value in trained.items() if key != "packs"},
            "steps": parts.checkpoint.training_state.get("step"),
        },
        "packs": trained.get("packs", []),
        "float_model_sha256": parts.export["float_model"]["sha256"],
        "quantization": {key: parts.agreement[key] for key in ("recipe", "calibration")},
        "agreement": {key: parts.agreement[key] for key in AGREEMENT if key in parts.agreement},
        "thresholds": {key: value for key, value in parts.thresholds.items() if key not in ("schema", "screening")},
        "commit": source_commit(),
        "tools": {tool: _version(tool) for tool in TOOLS},
    }


def created_utc(checkpoint: Checkpoint) -> str:
    """When the model came to be, so that the same checkpoint always gives the same bundle.

    SOURCE_DATE_EPOCH where it is set (reproducible-builds.org); else the time in the checkpoint's provenance; else
    that of the commit it was trained at; else 1970, as "unknown".
    """
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        if not epoch.isdecimal():
            raise DataError(f"SOURCE_DATE_EPOCH is {epoch!r}; expected whole seconds since 1970")
        return _iso(int(epoch))
    if recorded := checkpoint.provenance.get("created_utc"):
        return str(recorded)
    commit = str(checkpoint.provenance.get("commit", "")).partition("+")[0]
    root = str(Path(__file__).parents[1])
    command = ["git", "-C", root, "show", "--no-patch", "--format=%ct", f"{commit or 'none'}^{{commit}}"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN_TIME
    return _iso(int(shown))


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _version(tool: str) -> str:
    try:
        return version(tool)
    except PackageNotFoundError:
        return "not installed"
