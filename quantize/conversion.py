"""Converts a torch module that takes one clip's waveform, a student above all, to TFLite and ONNX files."""

import contextlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.clips import CLIP_SAMPLES
from core.demonstration import synthesized_clips
from core.errors import OutputError
from core.files import ONNX_KIND, check_replaceable, make_folder, sha256_of_file, write_atomically
from core.interpreter import SIGNATURE
from core.model.operators import STUDENT_OPERATORS
from distill.checkpoints import checkpoint_sha256
from distill.models.student import Student, load_student
from quantize.outputs import OUTPUTS, check_parity, onnx_outputs, tflite_outputs, torch_outputs
from quantize.signature import PositionalSignature, ScreenSignature
from quantize.tflite_graph import check_operators, model_facts

SCHEMA = "tussis.export/1"
FLOAT_FILE = "student_float.tflite"
ONNX_FILE = "student.onnx"
N_PARITY_CLIPS = 32
INPUT = "waveform"
ONNX_OPSET = 17

# The converter names tensors by their classes' modules, so the names are part of a model's bytes. These classes keep
# the modules that the shipped model was exported from: their files may move, and the bytes stay.
EXPORTED_AS = {
    "distill.models.student": "distill.student",
    "distill.models.phone_front_end": "distill.phone_front_end",
}
TOOLS = ("torch", "litert-torch", "litert-converter", "ai-edge-litert", "onnx", "onnxruntime")


def export_student(checkpoint: Path, out: Path, report_file: str) -> dict[str, Any]:
    """Write float TFLite, ONNX and a report into the folder `out`; returns what the report holds.

    They are made and checked in a folder beside and moved when all of them are right, the report last.

    Raises
    ------
    DataError
        If the checkpoint holds no student, or a file's outputs differ from torch's.
    """
    student = load_student(checkpoint)
    make_folder(out)
    for name, kind in ((report_file, SCHEMA.partition("/")[0]), (FLOAT_FILE, "a TFLite model"), (ONNX_FILE, ONNX_KIND)):
        check_replaceable(out / name, kind)
    (out / report_file).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as folder:
        report = {"schema": SCHEMA, "checkpoint_sha256": checkpoint_sha256(checkpoint)}
        report |= {"student": student.settings.model_dump(mode="json")} | _export_checked(student, Path(folder))
        for name in (FLOAT_FILE, ONNX_FILE):
            (Path(folder) / name).replace(out / name)
    write_atomically(out / report_file, json.dumps(report, indent=1, allow_nan=False) + "\n")
    return report


def _export_checked(student: Student, folder: Path) -> dict[str, Any]:
    clips = synthesized_clips(N_PARITY_CLIPS)
    expected = torch_outputs(student, clips)
    float_model = export_float_tflite(student, folder / FLOAT_FILE)
    onnx_model = export_onnx(student, folder / ONNX_FILE)
    return {
        "float_model": {"file": FLOAT_FILE, **asdict(model_facts(float_model.read_bytes(), FLOAT_FILE))},
        "onnx": file_facts(onnx_model),
        "parity": {
            "clips": f"{N_PARITY_CLIPS} synthesized",
            "torch_to_tflite": check_parity(expected, tflite_outputs(float_model, clips), FLOAT_FILE),
            "torch_to_onnx": check_parity(expected, onnx_outputs(onnx_model, clips), ONNX_FILE),
        },
        "tools": {tool: version(tool) for tool in TOOLS},
    }


def export_float_tflite(student: Student, out: Path) -> Path:
    """Write the student as a float32 TFLite file with the signature ``screen``.

    The same weights give the same bytes. Raises InterpreterError where the graph needs an operator that a phone's
    runtime may lack.
    """
    return write_tflite(ScreenSignature(student), SIGNATURE, STUDENT_OPERATORS, out)


def export_onnx(student: Student, out: Path) -> Path:
    """Write the student as float32 ONNX with the same names; an extra for engineers, no step of the pipeline."""
    return write_onnx(PositionalSignature(student), OUTPUTS, out)


def write_tflite(module: nn.Module, signature: str, operators: frozenset[str], out: Path) -> Path:
    """Write a module, whose outputs are a dict, as a float32 TFLite file with one signature.

    The same weights give the same bytes. Raises InterpreterError where the graph needs an operator that is not in
    `operators`.
    """
    sample = {INPUT: torch.zeros(1, CLIP_SAMPLES)}
    with unfinished(out) as path:
        with quiet(), exported_names(module):
            import litert_torch

            model = litert_torch.signature(signature, module.eval(), sample_kwargs=sample).convert()
            content = model.model_content()  # its own `export` ends the whole process where a disk is full
        check_operators(content, operators, str(out))
        path.write_bytes(content)
    return out


def write_onnx(module: nn.Module, outputs: tuple[str, ...], out: Path) -> Path:
    """Write a module, whose outputs are a tensor or a tuple in the order of `outputs`, as float32 ONNX.

    The exporter through TorchScript is used: the other one writes stack traces with local paths into the file.
    """
    with unfinished(out) as path, quiet():
        torch.onnx.export(
            module.eval(),
            (torch.zeros(1, CLIP_SAMPLES),),
            str(path),
            input_names=[INPUT],
            output_names=list(outputs),
            opset_version=ONNX_OPSET,
            dynamo=False,
        )
    return out


@contextlib.contextmanager
def exported_names(module: nn.Module) -> Iterator[None]:
    """Give the classes of a module and of its parts the modules of `EXPORTED_AS` while it is converted."""
    moved = {type(part): type(part).__module__ for part in module.modules() if type(part).__module__ in EXPORTED_AS}
    try:
        for kind, path in moved.items():
            kind.__module__ = EXPORTED_AS[path]
        yield
    finally:
        for kind, path in moved.items():
            kind.__module__ = path


@contextlib.contextmanager
def unfinished(out: Path) -> Iterator[Path]:
    """Give a path beside `out` to write to, which becomes `out` where all goes well and is removed otherwise."""
    path = out.with_name(f".{out.name}.unfinished")
    try:
        yield path
        path.replace(out)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        path.unlink(missing_ok=True)


def file_facts(path: Path) -> dict[str, Any]:
    """Name, size and SHA-256 of a file, for reports."""
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of_file(path)}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the converters' output, warnings and logging; errors are raised as ever."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            open(os.devnull, "w", encoding="utf-8") as nowhere,  # noqa: PTH123  (a device, not a path of ours)
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
