"""Reads what a bundle is built from, checks by hash that it belongs together, and fills bundle.json with it."""

import hashlib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.audio import SAMPLE_RATE_HZ
from core.bundle import FORMAT_VERSION
from core.clips import CLIP_SAMPLES
from core.errors import DataError
from core.interpreter import EMBEDDING_SIZE, SIGNATURE
from core.json_fields import Fields, parse_object
from core.probes import Probe, parse_probes
from distill.checkpoints import Checkpoint, checkpoint_sha256, load_checkpoint, source_commit
from distill.corpus.labels import ACTIVITY_FRAME_STEP_S, EVENT_LABELS, N_ACTIVITY_FRAMES
from quantize.agreement import SCHEMA as AGREEMENT_SCHEMA
from quantize.agreement import Agreement
from quantize.tflite_graph import read_model
from quantize.validation import DEFAULT_SCREENING

UNCHOSEN_RULE = "not chosen on data: every probability is a default"
MODEL_FILE = "model.tflite"
UNKNOWN_TIME = "1970-01-01T00:00:00Z"
LATEST_S = 253_402_300_799  # the end of 9999, after which a date has no four digits for its year
AGREEMENT = ("n_clips", "embedding_cosine", "events", "activity", "composed", "reference", "fallback")
TOOLS = ("torch", "litert-torch", "litert-converter", "ai-edge-quantizer", "ai-edge-litert", "numpy")


@dataclass(frozen=True)
class PartPaths:
    """Where the parts lie; without `thresholds` the defaults are used, without `evaluation` the card says so."""

    float_model: Path
    int8_model: Path
    checkpoint: Path
    probes: Path
    agreement: Path
    export: Path
    thresholds: Path | None = None
    evaluation: Path | None = None


@dataclass(frozen=True)
class BundleParts:
    """The parts, read and checked against each other."""

    int8_model: bytes
    checkpoint: Checkpoint
    checkpoint_sha256: str
    probes: dict[str, bytes]
    parsed_probes: tuple[Probe, ...]
    agreement: Agreement
    export: dict[str, Any]
    thresholds: dict[str, Any]
    evaluation: dict[str, Any] | None


def read_parts(paths: PartPaths) -> BundleParts:
    """Read the parts of a bundle.

    Raises
    ------
    DataError
        If the int8 model was refused, or a report or probe is of another model or checkpoint; it says which.
    """
    int8_model = read_model(paths.int8_model)
    int8_sha256 = hashlib.sha256(int8_model).hexdigest()
    float_sha256 = hashlib.sha256(read_model(paths.float_model)).hexdigest()
    student_sha256 = checkpoint_sha256(paths.checkpoint)
    report, export = _report(paths.agreement, AGREEMENT_SCHEMA), _report(paths.export, "tussis.export/1")
    _check_same(paths.export, export, ("checkpoint_sha256",), student_sha256, paths.checkpoint)
    _check_same(paths.export, export, ("float_model", "sha256"), float_sha256, paths.float_model)
    _check_same(paths.agreement, report, ("checkpoint_sha256",), student_sha256, paths.checkpoint)
    _check_same(paths.agreement, report, ("float_model", "sha256"), float_sha256, paths.float_model)
    _check_same(paths.agreement, report, ("int8_model", "sha256"), int8_sha256, paths.int8_model)
    agreement = Agreement.from_json(report, str(paths.agreement))
    if agreement.beyond_limits:
        raise DataError(f"{paths.agreement} says that the int8 model drifted: {agreement.beyond_limits}")
    probes = read_probes(paths.probes, int8_sha256, paths.int8_model)
    return BundleParts(
        int8_model=int8_model,
        checkpoint=load_checkpoint(paths.checkpoint),
        checkpoint_sha256=student_sha256,
        probes=probes,
        parsed_probes=tuple(
            head for name, content in probes.items() for head in parse_probes(content, str(paths.probes / name))
        ),
        agreement=agreement,
        export=export,
        thresholds=_thresholds(paths, int8_sha256),
        evaluation=_evaluation(paths, int8_sha256),
    )


def _report(path: Path, schema: str) -> dict[str, Any]:
    try:
        fields: Fields = parse_object(path.read_bytes(), str(path), DataError)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if fields.values.get("schema") != schema:
        raise DataError(f"{path} has the schema {fields.values.get('schema')!r}; expected {schema!r}")
    return fields.values


def _check_same(report: Path, values: dict[str, Any], key: tuple[str, ...], sha256: str, file: Path) -> None:
    named: Any = values
    for part in key:
        named = named.get(part) if isinstance(named, dict) else None
    if named != sha256:
        raise DataError(
            f"{report} is about another file than {file}: its {'.'.join(key)} is {str(named)[:12]}..., "
            f"expected {sha256[:12]}..."
        )


def read_probes(folder: Path, int8_sha256: str, int8_model: Path) -> dict[str, bytes]:
    """The content of each NAME.json by name; one fitted on another model's embeddings is refused."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of probes")
    try:
        contents = {path.name: path.read_bytes() for path in sorted(folder.glob("*.json"))}
    except OSError as error:
        raise DataError(f"a probe in {folder} cannot be read: {error.strerror}") from error
    for name, content in contents.items():
        training = json.loads(content).get("training", {}) if parse_probes(content, str(folder / name)) else {}
        if "model_sha256" in training:
            _check_same(folder / name, training, ("model_sha256",), int8_sha256, int8_model)
    return contents


def _thresholds(paths: PartPaths, int8_sha256: str) -> dict[str, Any]:
    if paths.thresholds is None:
        return {"screening": DEFAULT_SCREENING, "rule": UNCHOSEN_RULE, "events": {}}
    thresholds = _report(paths.thresholds, "tussis.thresholds/1")
    _check_same(paths.thresholds, thresholds, ("model_sha256",), int8_sha256, paths.int8_model)
    return thresholds


def _evaluation(paths: PartPaths, int8_sha256: str) -> dict[str, Any] | None:
    if paths.evaluation is None:
        return None
    evaluation = _report(paths.evaluation, "tussis.evaluation/1")
    _check_same(paths.evaluation, evaluation, ("model_sha256",), int8_sha256, paths.int8_model)
    return evaluation


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
    trained, agreement = parts.checkpoint.provenance, parts.agreement.to_json()
    return {
        "student": {
            "checkpoint_sha256": parts.checkpoint_sha256,
            "settings": parts.checkpoint.settings,
            "training": {key: value for key, value in trained.items() if key != "packs"},
            "steps": parts.checkpoint.training_state.get("step"),
        },
        "packs": trained.get("packs", []),
        "float_model_sha256": parts.export["float_model"]["sha256"],
        "quantization": {key: agreement[key] for key in ("recipe", "calibration")},
        "agreement": {key: agreement[key] for key in AGREEMENT if key in agreement},
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
        if not re.fullmatch(r"[0-9]{1,12}", epoch) or int(epoch) > LATEST_S:
            raise DataError(f"SOURCE_DATE_EPOCH is {epoch[:40]!r}; expected whole seconds from 1970 to 9999")
        return _iso(int(epoch))
    if recorded := checkpoint.provenance.get("created_utc"):
        return str(recorded)
    commit = str(checkpoint.provenance.get("commit", "")).partition("+")[0]
    if not re.fullmatch(r"[0-9a-f]{7,64}", commit):  # it came with the checkpoint, and git has options that write files
        return UNKNOWN_TIME
    root = str(Path(__file__).parents[1])
    command = ["git", "-C", root, "show", "--no-patch", "--format=%ct", "--end-of-options", f"{commit}^{{commit}}"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN_TIME
    return _iso(int(shown)) if shown.isascii() and shown.isdecimal() and int(shown) <= LATEST_S else UNKNOWN_TIME


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _version(tool: str) -> str:
    try:
        return version(tool)
    except PackageNotFoundError:
        return "not installed"
