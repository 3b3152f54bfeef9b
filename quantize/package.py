"""The only place where a bundle is written, whole or not at all, and shown (tussis-bundle)."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from core.audio import SAMPLE_RATE_HZ
from core.bundle import BUNDLE_FILE, FORMAT_VERSION, Bundle, load_bundle
from core.clips import CLIP_SAMPLES
from core.errors import DataError, OutputError, exit_on_error
from core.interpreter import SIGNATURE, LiteRtInterpreter
from distill.checkpoints import Checkpoint
from distill.provenance import source_commit
from distill.student import ACTIVITY_FRAME_STEP_S, EMBEDDING_SIZE, EVENT_LABELS, N_ACTIVITY_FRAMES
from quantize.bundle_parts import BundleParts, PartPaths, read_parts
from quantize.model_card import render_model_card
from quantize.operators import PHONE_RUNTIME_OPERATORS, check_operators
from quantize.synthesized_clips import synthesized_clips

MODEL_FILE = "model.tflite"
CARD_FILE = "model_card.md"
UNKNOWN_TIME = "1970-01-01T00:00:00Z"
TOOLS = ("torch", "litert-torch", "litert-converter", "ai-edge-quantizer", "ai-edge-litert", "numpy")


def build_bundle(parts: BundleParts, name: str, out: Path) -> Bundle:
    """Write a bundle folder: model, probes, model card and, last, bundle.json; the same parts give the same bytes.

    It is written and opened beside `out` and then renamed. A bundle that stands there is replaced.

    Raises
    ------
    OutputError
        If `out` is something else than a bundle, or cannot be written.
    """
    _check_replaceable(out)
    files = {MODEL_FILE: parts.int8_model, **{f"probes/{name}": its for name, its in parts.probes.items()}}
    fields = bundle_fields(parts, name)
    files[CARD_FILE] = render_model_card(fields, parts).encode()
    fields["files"] = {path: hashlib.sha256(content).hexdigest() for path, content in sorted(files.items())}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as beside:
            folder = Path(beside) / "new"
            _write_files(folder, {**files, BUNDLE_FILE: (json.dumps(fields, indent=1) + "\n").encode()})
            check_bundle(load_bundle(folder))
            _replace_folder(folder, out, Path(beside) / "old")
    except OSError as error:
        raise OutputError(f"the bundle {out} cannot be written: {error.strerror or error}") from error
    return load_bundle(out)


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
        "agreement": {key: parts.agreement[key] for key in ("n_clips", "embedding_cosine", "events", "activity")},
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


def check_bundle(bundle: Bundle) -> None:
    """Run an opened bundle's model once and check its operators; raises where a phone could not run it."""
    model = bundle.read_model()
    check_operators(model, PHONE_RUNTIME_OPERATORS, str(bundle.model_path))
    LiteRtInterpreter(model, 1, bundle.model_shape).run(synthesized_clips(2)[1])


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _version(tool: str) -> str:
    try:
        return version(tool)
    except PackageNotFoundError:
        return "not installed"


def _check_replaceable(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise OutputError(f"{out} is not a folder; a bundle folder to write or replace is expected")
    if out.is_dir() and any(out.iterdir()) and not (out / BUNDLE_FILE).is_file():
        raise OutputError(f"{out} holds something else than a bundle; it is left as it is")


def _write_files(folder: Path, files: dict[str, bytes]) -> None:
    for relative, content in files.items():
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _replace_folder(new: Path, out: Path, old: Path) -> None:
    if out.exists():
        out.rename(old)
    try:
        new.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


app = typer.Typer(add_completion=False, help="Write, show and verify bundles.")


@app.command()
def build(
    float_model: Annotated[Path, typer.Option("--float", help="student_float.tflite of tussis-export.")],
    int8: Annotated[Path, typer.Option(help="student_int8.tflite of tussis-quantize.")],
    checkpoint: Annotated[Path, typer.Option(help="final.pt of tussis-distill.")],
    probes: Annotated[Path, typer.Option(help="Folder of NAME.json, fitted on this int8 model.")],
    agreement: Annotated[Path, typer.Option(help="agreement.json of tussis-quantize.")],
    export: Annotated[Path, typer.Option(help="export.json of tussis-export.")],
    out: Annotated[Path, typer.Option(help="Bundle folder to write or replace.")],
    thresholds: Annotated[Path | None, typer.Option(help="thresholds.json; defaults of 0.5 if omitted.")] = None,
    evaluation: Annotated[Path | None, typer.Option(help="evaluation.json of tussis-evaluate, for the card.")] = None,
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "tussis-small",
) -> None:
    """Build a bundle from parts that belong together by their hashes.

    Example: tussis-bundle build --float runs/export/student_float.tflite --int8 runs/quantize/student_int8.tflite
    --checkpoint runs/student/final.pt --probes runs/probes --agreement runs/quantize/agreement.json
    --export runs/export/export.json --thresholds runs/quantize/thresholds.json --out runs/bundle
    """
    with exit_on_error("tussis-bundle"):
        paths = PartPaths(float_model, int8, checkpoint, probes, agreement, export, thresholds, evaluation)
        bundle = build_bundle(read_parts(paths), name, out)
        Console(soft_wrap=True).print(f"{out}: {bundle.name}, bundle.json {bundle.sha256[:12]}")


@app.command()
def show(path: Annotated[Path, typer.Argument(help="Bundle folder.")]) -> None:
    """Print what a bundle is and what it was made from, after checking its files."""
    with exit_on_error("tussis-bundle"):
        bundle = load_bundle(path)
        console = Console(soft_wrap=True)
        console.print(f"{bundle.name}, created {bundle.created_utc}, bundle.json {bundle.sha256}")
        console.print(f"model {bundle.model_sha256}, events {', '.join(bundle.event_labels)}")
        for probe in bundle.probes:
            console.print(f"probe {probe.name}: {probe.status}, {probe.title}")
        console.print_json(data=bundle.provenance)


@app.command()
def verify(path: Annotated[Path, typer.Argument(help="Bundle folder.")]) -> None:
    """Check a bundle's format and every file's hash, and run its model once."""
    with exit_on_error("tussis-bundle"):
        bundle = load_bundle(path)
        check_bundle(bundle)
        Console(soft_wrap=True).print(f"{path}: {bundle.name} is complete and unaltered, and its model runs")


def main() -> None:
    """Entry point of ``tussis-bundle``."""
    app()


if __name__ == "__main__":
    main()
