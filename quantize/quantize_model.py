"""The only place where the float model becomes the int8 model, or is refused (tussis-quantize)."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from core.errors import DataError, SettingsError, exit_on_error
from core.files import check_writable, write_atomically
from core.interpreter import SIGNATURE
from distill.checkpoints import checkpoint_sha256
from distill.distill_student import load_student
from distill.waveform_store import WaveformStore
from quantize.calibration_set import CALIBRATION_IDS, CalibrationSet, read_calibration_set
from quantize.compare import beyond_limits, compare
from quantize.export import make_folder
from quantize.operators import check_operators, model_facts, read_model
from quantize.outputs import tflite_outputs, torch_outputs
from quantize.quiet import quiet
from quantize.recipe import Recipe, read_recipe
from quantize.validation import read_validation_clips

SCHEMA = "tussis.agreement/1"
SIGNATURE_INPUT = "waveform"
DEFAULT_RECIPE = Path("small_int8")
TOOLS = ("ai-edge-quantizer", "ai-edge-litert", "numpy")


@dataclass(frozen=True)
class QuantizeSettings:
    """What one quantization depends on, all by path."""

    float_model: Path
    checkpoint: Path
    recipe: Path
    calibration_ids: Path
    data: Path
    store: Path


def apply_recipe(float_model: bytes, recipe: Recipe, calibration: CalibrationSet) -> bytes:
    """Quantize a float model; raises SettingsError where the quantizer refuses the recipe."""
    from ai_edge_quantizer.quantizer import Quantizer

    clips = [{SIGNATURE_INPUT: clip[None]} for clip in calibration.clips]
    with quiet():
        try:
            quantizer = Quantizer(bytearray(float_model), recipe.quantizer_entries())
            ranges = quantizer.calibrate({SIGNATURE: clips}, num_threads=1)
            return bytes(quantizer.quantize(ranges).quantized_model)
        except (ValueError, RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise SettingsError(f"the quantizer refuses the recipe {recipe.name}: {reason}") from error


def quantize_model(settings: QuantizeSettings) -> tuple[bytes, dict[str, Any]]:
    """Make the int8 model and its agreement report, whose ``beyond_limits`` is empty where the model may be shipped."""
    recipe = read_recipe(settings.recipe)
    student = load_student(settings.checkpoint)
    float_model = read_model(settings.float_model)
    calibration = read_calibration_set(settings.calibration_ids, settings.data)
    int8_model = apply_recipe(float_model, recipe, calibration)
    check_operators(int8_model, frozenset(recipe.operators), "the int8 model")
    validation = read_validation_clips(WaveformStore.open(settings.store))
    float_outputs = tflite_outputs(float_model, validation.clips)
    int8_outputs = tflite_outputs(int8_model, validation.clips)
    agreement = compare(torch_outputs(student, validation.clips), float_outputs, int8_outputs, validation)
    agreement |= provenance(settings, recipe, calibration, float_model, int8_model)
    return int8_model, agreement | {"beyond_limits": beyond_limits(agreement, recipe.limits)}


def provenance(
    settings: QuantizeSettings, recipe: Recipe, calibration: CalibrationSet, float_model: bytes, int8_model: bytes
) -> dict[str, Any]:
    """What the int8 model was made from, by hash."""
    return {
        "schema": SCHEMA,
        "checkpoint_sha256": checkpoint_sha256(settings.checkpoint),
        "float_model": model_facts(float_model, "the float model"),
        "int8_model": model_facts(int8_model, "the int8 model"),
        "recipe": recipe.model_dump(mode="json", exclude_none=True),
        "calibration": {"n_clips": len(calibration.clips), "ids_sha256": calibration.ids_sha256},
        "tools": {tool: version(tool) for tool in TOOLS},
    }


def write_accepted(int8_model: bytes, agreement: dict[str, Any], out: Path, report: Path) -> None:
    """Write the report, and the model where it is within the limits; a model that stood there before is removed first.

    Raises
    ------
    DataError
        If the model is past a limit: the report says so and there is no model.
    """
    out.unlink(missing_ok=True)
    write_atomically(report, json.dumps(agreement, indent=1, allow_nan=False) + "\n")
    if agreement["beyond_limits"]:
        raise DataError(f"the int8 model drifted from the float model and is refused: {agreement['beyond_limits'][0]}")
    write_atomically(out, int8_model)


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
        Path | None, typer.Option(help="Agreement report; agreement.json beside --out if omitted.")
    ] = None,
) -> None:
    """Quantize the float model by a recipe, compare torch, float and int8 on validation clips, and write or refuse it.

    Example: tussis-quantize runs/export/student_float.tflite --checkpoint runs/student/final.pt
    --data ../shared/data --store cache/store --out runs/quantize/student_int8.tflite
    """
    with exit_on_error("tussis-quantize"):
        report = report or out.with_name("agreement.json")
        for path in (out, report):
            make_folder(path.parent)
            check_writable(path)
        settings = QuantizeSettings(float_model, checkpoint, recipe, calibration_ids, data, store)
        int8_model, agreement = quantize_model(settings)
        write_accepted(int8_model, agreement, out, report)
        show(agreement, Console(soft_wrap=True))


def show(agreement: dict[str, Any], console: Console) -> None:
    """Print what matters of an agreement report."""
    cosine, cough = agreement["embedding_cosine"], agreement["events"]["cough"]
    console.print(
        f"int8 {agreement['int8_model']['bytes'] / 1e6:.2f} MB, float {agreement['float_model']['bytes'] / 1e6:.2f} MB"
        f"; on {agreement['n_clips']} clips of {agreement['n_recordings']} validation recordings:"
    )
    console.print(f"  embedding cosine: median {cosine['median']:.5f}, 1st percentile {cosine['p1']:.5f}")
    console.print(
        f"  cough AUROC: torch {cough['auroc']['torch']:.4f}, float {cough['auroc']['float']:.4f}, "
        f"int8 {cough['auroc']['int8']:.4f}; {100 * cough['decision_flips']:.2f} % of cough decisions flip"
    )


def main() -> None:
    """Entry point of ``tussis-quantize``."""
    app()


if __name__ == "__main__":
    main()
