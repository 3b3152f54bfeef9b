"""The only place that reads what a bundle is built from and checks, by hash, that all of it belongs together."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.json_fields import Fields, parse_object
from core.probes import Probe, parse_probe
from distill.checkpoints import Checkpoint, checkpoint_sha256, load_checkpoint
from distill.corpus.labels import EVENT_LABELS
from quantize.operators import read_model

UNCHOSEN_SCREENING = {
    "hop_s": 1.0,
    "event_pooling": "max",
    "event_thresholds": dict.fromkeys(EVENT_LABELS, 0.5),
    "cough_on_probability": 0.5,
    "cough_off_probability": 0.3,
    "min_event_s": 0.08,
    "max_event_s": 0.6,
    "merge_gap_s": 0.0,
}
UNCHOSEN_RULE = "not chosen on data: every probability is a default"


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
    agreement: dict[str, Any]
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
    agreement, export = _report(paths.agreement, "tussis.agreement/1"), _report(paths.export, "tussis.export/1")
    _check_same(paths.export, export, ("checkpoint_sha256",), student_sha256, paths.checkpoint)
    _check_same(paths.export, export, ("float_model", "sha256"), float_sha256, paths.float_model)
    _check_same(paths.agreement, agreement, ("checkpoint_sha256",), student_sha256, paths.checkpoint)
    _check_same(paths.agreement, agreement, ("float_model", "sha256"), float_sha256, paths.float_model)
    _check_same(paths.agreement, agreement, ("int8_model", "sha256"), int8_sha256, paths.int8_model)
    if agreement.get("beyond_limits") != []:
        raise DataError(f"{paths.agreement} says that the int8 model drifted: {agreement.get('beyond_limits')}")
    probes = _read_probes(paths.probes, int8_sha256, paths.int8_model)
    return BundleParts(
        int8_model=int8_model,
        checkpoint=load_checkpoint(paths.checkpoint),
        checkpoint_sha256=student_sha256,
        probes=probes,
        parsed_probes=tuple(parse_probe(content, str(paths.probes / name)) for name, content in probes.items()),
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
    found: Any = values
    for part in key:
        found = found.get(part) if isinstance(found, dict) else None
    if found != sha256:
        raise DataError(
            f"{report} is about another file than {file}: its {'.'.join(key)} is {str(found)[:12]}..., "
            f"expected {sha256[:12]}..."
        )


def _read_probes(folder: Path, int8_sha256: str, int8_model: Path) -> dict[str, bytes]:
    """The content of each NAME.json by name; one fitted on another model's embeddings is refused."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of probes")
    contents = {path.name: path.read_bytes() for path in sorted(folder.glob("*.json"))}
    for name, content in contents.items():
        training = json.loads(content).get("training", {}) if parse_probe(content, str(folder / name)) else {}
        if "model_sha256" in training:
            _check_same(folder / name, training, ("model_sha256",), int8_sha256, int8_model)
    return contents


def _thresholds(paths: PartPaths, int8_sha256: str) -> dict[str, Any]:
    if paths.thresholds is None:
        return {"screening": UNCHOSEN_SCREENING, "rule": UNCHOSEN_RULE, "events": {}}
    thresholds = _report(paths.thresholds, "tussis.thresholds/1")
    _check_same(paths.thresholds, thresholds, ("model_sha256",), int8_sha256, paths.int8_model)
    return thresholds


def _evaluation(paths: PartPaths, int8_sha256: str) -> dict[str, Any] | None:
    if paths.evaluation is None:
        return None
    evaluation = _report(paths.evaluation, "tussis.evaluation/1")
    _check_same(paths.evaluation, evaluation, ("model_sha256",), int8_sha256, paths.int8_model)
    return evaluation
