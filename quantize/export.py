"""The only place where a trained student becomes files that run without torch (tussis-export)."""

import io
import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from core.clips import CLIP_SAMPLES
from core.errors import OutputError, exit_on_error
from core.files import check_writable, sha256_of_file, write_atomically
from core.interpreter import SIGNATURE
from distill.checkpoints import checkpoint_sha256
from distill.distill_student import load_student
from distill.student import Student
from quantize.operators import PHONE_RUNTIME_OPERATORS, check_operators, model_facts
from quantize.outputs import check_parity, onnx_outputs, tflite_outputs, torch_outputs
from quantize.quiet import quiet
from quantize.signature import OUTPUTS, PositionalSignature, ScreenSignature
from quantize.synthesized_clips import synthesized_clips

SCHEMA = "tussis.export/1"
FLOAT_FILE = "student_float.tflite"
ONNX_FILE = "student.onnx"
REPORT_FILE = "export.json"
N_PARITY_CLIPS = 32
ONNX_OPSET = 17
TOOLS = ("torch", "litert-torch", "litert-converter", "ai-edge-litert", "onnx", "onnxruntime")


def export_float_tflite(student: Student, out: Path) -> Path:
    """Write the student as a float32 TFLite file with the signature ``screen``.

    The same weights give the same bytes. Raises InterpreterError where the graph needs an operator that a phone's
    runtime may lack.
    """
    with quiet():
        import litert_torch

        sample = {"waveform": torch.zeros(1, CLIP_SAMPLES)}
        converted = litert_torch.signature(SIGNATURE, ScreenSignature(student).eval(), sample_kwargs=sample).convert()
        unfinished = out.with_name(f".{out.name}.unfinished")
        try:
            converted.export(str(unfinished))
            content = unfinished.read_bytes()
        finally:
            unfinished.unlink(missing_ok=True)
    check_operators(content, PHONE_RUNTIME_OPERATORS, str(out))
    write_atomically(out, content)
    return out


def export_onnx(student: Student, out: Path) -> Path:
    """Write the student as float32 ONNX with the same names; an extra for engineers, no step of the pipeline.

    The exporter through TorchScript is used: the other one writes stack traces with local paths into the file.
    """
    content = io.BytesIO()
    with quiet():
        torch.onnx.export(
            PositionalSignature(student).eval(),
            (torch.zeros(1, CLIP_SAMPLES),),
            content,
            input_names=["waveform"],
            output_names=list(OUTPUTS),
            opset_version=ONNX_OPSET,
            dynamo=False,
        )
    write_atomically(out, content.getvalue())
    return out


def export_student(checkpoint: Path, out: Path) -> dict[str, Any]:
    """Write float TFLite, ONNX and export.json; returns what export.json holds.

    They are made and checked in a folder beside and moved when all of them are right, export.json last.

    Raises
    ------
    DataError
        If the checkpoint holds no student, or a file's outputs differ from torch's.
    """
    student = load_student(checkpoint)
    make_folder(out)
    (out / REPORT_FILE).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as folder:
        report = {"schema": SCHEMA, "checkpoint_sha256": checkpoint_sha256(checkpoint)}
        report |= {"student": student.settings.model_dump(mode="json")} | _export_checked(student, Path(folder))
        for name in (FLOAT_FILE, ONNX_FILE):
            (Path(folder) / name).replace(out / name)
    write_atomically(out / REPORT_FILE, json.dumps(report, indent=1, allow_nan=False) + "\n")
    return report


def _export_checked(student: Student, folder: Path) -> dict[str, Any]:
    clips = synthesized_clips(N_PARITY_CLIPS)
    expected = torch_outputs(student, clips)
    float_model = export_float_tflite(student, folder / FLOAT_FILE)
    onnx_model = export_onnx(student, folder / ONNX_FILE)
    return {
        "float_model": {"file": FLOAT_FILE, **model_facts(float_model.read_bytes(), FLOAT_FILE)},
        "onnx": _file_facts(onnx_model),
        "parity": {
            "clips": f"{N_PARITY_CLIPS} synthesized",
            "torch_to_tflite": check_parity(expected, tflite_outputs(float_model, clips), FLOAT_FILE),
            "torch_to_onnx": check_parity(expected, onnx_outputs(onnx_model, clips), ONNX_FILE),
        },
        "tools": {tool: version(tool) for tool in TOOLS},
    }


def _file_facts(path: Path) -> dict[str, Any]:
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of_file(path)}


def make_folder(folder: Path) -> None:
    """Make an output folder and check that it can be written to; OutputError otherwise."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {error.strerror}") from error
    check_writable(folder)


app = typer.Typer(add_completion=False)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="final.pt of a tussis-distill run.")],
    out: Annotated[Path, typer.Option(help=f"Folder for {FLOAT_FILE}, {ONNX_FILE} and {REPORT_FILE}.")],
) -> None:
    """Export a student as float32 TFLite and ONNX, each checked against torch on synthesized clips.

    Example: tussis-export runs/student/final.pt --out runs/export
    """
    with exit_on_error("tussis-export"):
        report = export_student(checkpoint, out)
        worst = max(its["max_relative"] for its in report["parity"]["torch_to_tflite"].values())
        Console(soft_wrap=True).print(
            f"{out / FLOAT_FILE}: {report['float_model']['bytes'] / 1e6:.2f} MB, differs from torch by at most "
            f"{worst:.1e} of the largest value"
        )


def main() -> None:
    """Entry point of ``tussis-export``."""
    app()


if __name__ == "__main__":
    main()
