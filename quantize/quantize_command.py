"""Quantizes a float model, shows how far the two agree, and writes the int8 model or refuses it (tussis-quantize)."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import DataError, exit_on_error
from core.files import check_writable, make_folder, write_atomically
from distill.shown_text import PlainConsole
from quantize.calibration_set import CALIBRATION_IDS

if TYPE_CHECKING:
    from quantize.agreement import Agreement
    from quantize.quantize_model import Quantized

DEFAULT_RECIPE = Path("small_int8")

app = typer.Typer(add_completion=False)


@app.command()
def quantize(
    float_model: Annotated[Path, typer.Argument(help="student_float.tflite of tussis-export.")],
    checkpoint: Annotated[Path, typer.Option(help="The student it was exported from, to compare with.")],
    data: Annotated[Path, typer.Option(help="Folder of packs that the calibration clips are read from.")],
    store: Annotated[Path, typer.Option(help="Waveform store whose validation recordings the models are compared on.")],
    out: Annotated[Path, typer.Option(help="The int8 .tflite to write; nothing is written past the recipe's limits.")],
    recipe: Annotated[Path, typer.Option(help="Recipe JSON, or the name of one in quantize/recipes.")] = DEFAULT_RECIPE,
    calibration_ids: Annotated[Path, typer.Option(help="List of calibration clips.")] = CALIBRATION_IDS,
    report: Annotated[
        Path | None, typer.Option(help="Agreement report; agreement.json beside --out if omitted. Its page is .html.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Student before tussis-distill --qat, to compare the int8 model with as well.")
    ] = None,
) -> None:
    """Quantize the float model by a recipe, compare torch, float and int8 on validation clips, and write or refuse it.

    Example: tussis-quantize runs/export/student_float.tflite --checkpoint runs/student/final.pt
    --data ../shared/data --store cache/store --out runs/quantize/student_int8.tflite
    """
    from quantize.quantize_model import QuantizeSettings, quantize_model

    with exit_on_error("tussis-quantize"):
        report = report or out.with_name("agreement.json")
        for path in (out, report, report.with_suffix(".html")):
            make_folder(path.parent)
            check_writable(path)
        settings = QuantizeSettings(float_model, checkpoint, recipe, calibration_ids, data, store, reference)
        quantized = quantize_model(settings)
        write_accepted(quantized, out, report)
        show(quantized.agreement, PlainConsole(soft_wrap=True))


def write_accepted(quantized: "Quantized", out: Path, report: Path) -> None:
    """Write report and page, and the model where it is within the limits; one that stood there before is removed first.

    Raises
    ------
    DataError
        If the model is past a limit: the report says so and there is no model.
    """
    from quantize.agreement_page import render_page

    agreement = quantized.agreement
    content, page = agreement.to_json(), render_page(agreement, quantized.outputs)
    out.unlink(missing_ok=True)
    write_atomically(report, json.dumps(content, indent=1, allow_nan=False) + "\n")
    write_atomically(report.with_suffix(".html"), page)
    if past := agreement.beyond_limits:
        raise DataError(f"the int8 model drifted from the float model and is refused: {past[0]}")
    write_atomically(out, quantized.model)


def show(agreement: "Agreement", console: PlainConsole) -> None:
    """Print what matters of an agreement report."""
    int8, float_model, cosine = agreement.int8_model, agreement.float_model, agreement.embedding_cosine
    console.print(
        f"int8 {int8.bytes / 1e6:.2f} MB, float {float_model.bytes / 1e6:.2f} MB"
        f"; on {agreement.n_clips} clips of {agreement.n_recordings} validation recordings:"
    )
    console.print(f"  embedding cosine: median {cosine.median:.5f}, 1st percentile {cosine.p1:.5f}")
    cough = agreement.events["cough"]
    console.print(
        f"  cough AUROC: torch {cough.auroc['torch']:.4f}, float {cough.auroc['float']:.4f}, "
        f"int8 {cough.auroc['int8']:.4f}; {100 * cough.decision_flips:.2f} % of cough decisions flip"
    )
    frames, coughs = agreement.composed.frame_f1, agreement.composed.event_f1
    console.print(
        f"  F1 of cough frames: float {frames['float']:.3f}, int8 {frames['int8']:.3f};"
        f" of counted coughs: float {coughs['float']:.3f}, int8 {coughs['int8']:.3f}"
    )
    worst = agreement.layers[0]
    console.print(
        f"  layer that costs most: {worst.layer}, alone 1st percentile {worst.alone.embedding_cosine_p1:.5f};"
        f" left in float: {', '.join(agreement.fallback.layers) or 'none'}"
    )


def main() -> None:
    """Entry point of ``tussis-quantize``."""
    app()


if __name__ == "__main__":
    main()
