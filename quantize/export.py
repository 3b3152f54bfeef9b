"""The only place where a trained model becomes files that run without torch (tussis-export)."""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from core.errors import OutputError, SettingsError, exit_on_error
from core.files import check_writable, write_atomically
from core.interpreter import SIGNATURE
from distill.checkpoints import checkpoint_sha256
from distill.models.student import Student, load_student
from quantize.conversion import TOOLS, file_facts, write_onnx, write_tflite
from quantize.encoder_recipe import Format
from quantize.export_encoder import FILES, export_encoder, is_encoder
from quantize.operators import PHONE_RUNTIME_OPERATORS, model_facts
from quantize.outputs import check_parity, onnx_outputs, tflite_outputs, torch_outputs
from quantize.signature import OUTPUTS, PositionalSignature, ScreenSignature
from quantize.synthesized_clips import synthesized_clips

SCHEMA = "tussis.export/1"
FLOAT_FILE = "student_float.tflite"
ONNX_FILE = "student.onnx"
REPORT_FILE = "export.json"
N_PARITY_CLIPS = 32


def export_float_tflite(student: Student, out: Path) -> Path:
    """Write the student as a float32 TFLite file with the signature ``screen``.

    The same weights give the same bytes. Raises InterpreterError where the graph needs an operator that a phone's
    runtime may lack.
    """
    return write_tflite(ScreenSignature(student), SIGNATURE, PHONE_RUNTIME_OPERATORS, out)


def export_onnx(student: Student, out: Path) -> Path:
    """Write the student as float32 ONNX with the same names; an extra for engineers, no step of the pipeline."""
    return write_onnx(PositionalSignature(student), OUTPUTS, out)


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
        "onnx": file_facts(onnx_model),
        "parity": {
            "clips": f"{N_PARITY_CLIPS} synthesized",
            "torch_to_tflite": check_parity(expected, tflite_outputs(float_model, clips), FLOAT_FILE),
            "torch_to_onnx": check_parity(expected, onnx_outputs(onnx_model, clips), ONNX_FILE),
        },
        "tools": {tool: version(tool) for tool in TOOLS},
    }


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
    model: Annotated[
        str,
        typer.Argument(
            help="final.pt of a tussis-distill run; or an encoder: final.pt of a tussis-pretrain run, a folder in "
            "google/hear-pytorch's layout, or hear:HUB_ID."
        ),
    ],
    out: Annotated[Path, typer.Option(help=f"Folder for the files and {REPORT_FILE}.")],
    formats: Annotated[
        list[Format] | None,
        typer.Option("--format", help="What an encoder is written as; repeatable. int8 if omitted."),
    ] = None,
) -> None:
    """Export a model to files that take 2 s of raw samples, each checked against torch on synthesized clips.

    A student becomes float32 TFLite and ONNX. An encoder becomes TFLite with HeAR's front end inside and its weights
    as int8, float16 or float32, ONNX, or vit: a folder that transformers reads as ViTModel.

    Examples: tussis-export runs/student/final.pt --out runs/export

    tussis-export runs/pretrain/final.pt --format int8 --format onnx --out runs/encoder
    """
    with exit_on_error("tussis-export"):
        console = Console(soft_wrap=True)
        if is_encoder(model):
            make_folder(out)
            show_encoder(export_encoder(model, formats or [Format.INT8], out, REPORT_FILE), out, console)
        elif formats:
            raise SettingsError(f"{model} is a student's checkpoint; --format is for encoders")
        else:
            show_student(export_student(Path(model), out), out, console)


def show_student(report: dict[str, Any], out: Path, console: Console) -> None:
    """Print what matters of a student's report."""
    worst = max(its["max_relative"] for its in report["parity"]["torch_to_tflite"].values())
    console.print(
        f"{out / FLOAT_FILE}: {report['float_model']['bytes'] / 1e6:.2f} MB, differs from torch by at most "
        f"{worst:.1e} of the largest value"
    )


def show_encoder(report: dict[str, Any], out: Path, console: Console) -> None:
    """Print what matters of an encoder's report: each file's size and its distance to torch."""
    for its, facts in report["files"].items():
        n_bytes = facts.get("bytes") or sum(file["bytes"] for file in facts["files"])
        says = f"{out / FILES[its]}: {n_bytes / 1e6:.1f} MB"
        if parity := facts.get("parity"):
            says += f", embedding cosine to torch at least {parity['cosine_min']:.6f}"
        console.print(says + (f", {facts['n_partitions']} XNNPACK partition(s)" if "n_partitions" in facts else ""))


def main() -> None:
    """Entry point of ``tussis-export``."""
    app()


if __name__ == "__main__":
    main()
