"""Exports a student or an encoder to files that run without torch (tussis-export)."""

from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import SettingsError, exit_on_error
from core.files import make_folder
from distill.shown_text import PlainConsole
from quantize.recipe import Format

REPORT_FILE = "export.json"

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
    from quantize.conversion import export_student
    from quantize.export_encoder import export_encoder, is_encoder

    with exit_on_error("tussis-export"):
        if is_encoder(model):
            make_folder(out)
            show_encoder(export_encoder(model, formats or [Format.INT8], out, REPORT_FILE), out)
        elif formats:
            raise SettingsError(f"{model} is a student's checkpoint; --format is for encoders")
        else:
            show_student(export_student(Path(model), out, REPORT_FILE), out)


def show_student(report: dict[str, Any], out: Path) -> None:
    """Print what matters of a student's report."""
    facts = report["float_model"]
    worst = max(difference["max_relative"] for difference in report["parity"]["torch_to_tflite"].values())
    PlainConsole(soft_wrap=True).print(
        f"{out / facts['file']}: {facts['bytes'] / 1e6:.2f} MB, differs from torch by at most "
        f"{worst:.1e} of the largest value"
    )


def show_encoder(report: dict[str, Any], out: Path) -> None:
    """Print what matters of an encoder's report: each file's size and its distance to torch."""
    console = PlainConsole(soft_wrap=True)
    for facts in report["files"].values():
        n_bytes = facts.get("bytes") or sum(file["bytes"] for file in facts["files"])
        line = f"{out / (facts.get('file') or facts['folder'])}: {n_bytes / 1e6:.1f} MB"
        if parity := facts.get("parity"):
            line += f", embedding cosine to torch at least {parity['cosine_min']:.6f}"
        console.print(line + (f", {facts['n_partitions']} XNNPACK partition(s)" if "n_partitions" in facts else ""))


def main() -> None:
    """Entry point of ``tussis-export``."""
    app()


if __name__ == "__main__":
    main()
