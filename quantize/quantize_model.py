"""The only place where the float model becomes the int8 model, or is refused (tussis-quantize)."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from core.errors import DataError, exit_on_error
from core.files import check_writable, write_atomically
from core.interpreter import LiteRtInterpreter
from distill.checkpoints import checkpoint_sha256, load_checkpoint
from distill.corpus.waveform_store import WaveformStore
from distill.distillation.quantization_aware import learnt_ranges
from distill.evaluation.composed_recordings import compose_recordings
from distill.models.student import Student, load_student
from quantize.activation_ranges import Ranges, calibrated_ranges, with_learnt_ranges
from quantize.agreement import beyond_limits, compare, compare_with_reference, judge
from quantize.agreement_page import render_page
from quantize.calibration_set import CALIBRATION_IDS, CalibrationSet, read_calibration_set
from quantize.composed_agreement import compare_on_composed
from quantize.export import make_folder
from quantize.fallback import Int8Model, quantize_with_fallback
from quantize.operators import PHONE_RUNTIME_OPERATORS, check_operators, model_facts, read_model
from quantize.outputs import Outputs, TorchInterpreter, check_parity, tflite_outputs, torch_outputs
from quantize.recipe import read_recipe
from quantize.tflite_graph import Operator
from quantize.validation import ValidationClips, read_validation_clips

SCHEMA = "tussis.agreement/1"
DEFAULT_RECIPE = Path("small_int8")
TOOLS = ("ai-edge-quantizer", "ai-edge-litert", "numpy")
N_ERROR_CLIPS = 128
N_COMPOSED = 80


@dataclass(frozen=True)
class QuantizeSettings:
    """What one quantization depends on, all by path; `reference` is the student that a tuned one came from, if any."""

    float_model: Path
    checkpoint: Path
    recipe: Path
    calibration_ids: Path
    data: Path
    store: Path
    reference: Path | None = None


@dataclass(frozen=True)
class Quantized:
    """The int8 model, its agreement report, whose ``beyond_limits`` is empty where it may be shipped, and its page."""

    model: bytes
    agreement: dict[str, Any]
    page: str


def quantize_model(settings: QuantizeSettings) -> Quantized:
    """Make the int8 model by the recipe, compare it with float and torch on validation clips, and report."""
    recipe = read_recipe(settings.recipe)
    student = load_student(settings.checkpoint)
    float_model = read_model(settings.float_model)
    check_operators(float_model, PHONE_RUNTIME_OPERATORS, str(settings.float_model))
    calibration = read_calibration_set(settings.calibration_ids, settings.data)
    store = WaveformStore.open(settings.store)
    validation = read_validation_clips(store)
    outputs = {
        "torch": torch_outputs(student, validation.clips),
        "float": tflite_outputs(float_model, validation.clips),
    }
    check_parity(outputs["torch"], outputs["float"], str(settings.float_model))
    ranges = find_ranges(settings.checkpoint, float_model, calibrated_ranges(float_model, recipe, calibration.clips))
    int8 = quantize_with_fallback(float_model, recipe, ranges, error_clips(calibration, validation), _shown)
    check_operators(int8.content, frozenset(recipe.operators), "the int8 model")
    outputs["int8"] = tflite_outputs(int8.content, validation.clips)
    agreement = compare(outputs["torch"], outputs["float"], outputs["int8"], validation)
    agreement["composed"] = compare_composed(student, float_model, int8.content, store)
    agreement |= reference_part(settings.reference, outputs["int8"], validation)
    agreement |= {"layers": [asdict(its) for its in int8.errors], "fallback": fallback_part(int8)}
    agreement |= provenance(settings, calibration, float_model, int8)
    agreement["judged"] = judge(agreement, recipe.limits)
    agreement["beyond_limits"] = beyond_limits(agreement["judged"])
    return Quantized(int8.content, agreement, render_page(agreement, outputs))


def find_ranges(checkpoint: Path, float_model: bytes, calibrated: Ranges) -> Ranges:
    """The calibrated ranges, or those that the checkpoint's student learnt with int8's rounding in it."""
    return with_learnt_ranges(calibrated, learnt_ranges(load_checkpoint(checkpoint)), float_model)


def fallback_part(int8: Int8Model) -> dict[str, Any]:
    """The layers that were left in float, and each block that was tried."""
    return {"layers": int8.fallback, "effect": asdict(int8.effect), "trials": [asdict(its) for its in int8.trials]}


def error_clips(calibration: CalibrationSet, validation: ValidationClips) -> np.ndarray:
    """Half calibration and half validation clips, evenly spread, for measuring single layers; at most 128."""
    halves = [its[:: max(1, 2 * len(its) // N_ERROR_CLIPS)] for its in (calibration.clips, validation.clips)]
    return np.concatenate([half[: N_ERROR_CLIPS // 2] for half in halves])


def compare_composed(student: Student, float_model: bytes, int8_model: bytes, store: WaveformStore) -> dict[str, Any]:
    """F1 of torch, float and int8 on recordings composed from the validation recordings."""
    float_one, int8_one = LiteRtInterpreter(float_model), LiteRtInterpreter(int8_model)
    models = {"torch": TorchInterpreter(student), "float": float_one, "int8": int8_one}
    return compare_on_composed(models, compose_recordings(store, N_COMPOSED))


def reference_part(reference: Path | None, int8_outputs: Outputs, validation: ValidationClips) -> dict[str, Any]:
    """How far the int8 model is from the student before tuning, where one is given."""
    if reference is None:
        return {}
    before = torch_outputs(load_student(reference), validation.clips)
    compared = compare_with_reference(before, int8_outputs, validation)
    return {"reference": {"checkpoint_sha256": checkpoint_sha256(reference), **compared}}


def provenance(
    settings: QuantizeSettings, calibration: CalibrationSet, float_model: bytes, int8: Int8Model
) -> dict[str, Any]:
    """What the int8 model was made from, by hash; the recipe is the resolved one, with the layers that fell back."""
    learnt = sorted(learnt_ranges(load_checkpoint(settings.checkpoint)))
    return {
        "schema": SCHEMA,
        "checkpoint_sha256": checkpoint_sha256(settings.checkpoint),
        "float_model": model_facts(float_model, "the float model"),
        "int8_model": model_facts(int8.content, "the int8 model"),
        "recipe": int8.recipe.model_dump(mode="json", exclude_none=True),
        "calibration": {
            "n_clips": len(calibration.clips),
            "ids_sha256": calibration.ids_sha256,
            "learnt_ranges": learnt,
        },
        "tools": {tool: version(tool) for tool in TOOLS},
    }


def write_accepted(quantized: Quantized, out: Path, report: Path) -> None:
    """Write report and page, and the model where it is within the limits; one that stood there before is removed first.

    Raises
    ------
    DataError
        If the model is past a limit: the report says so and there is no model.
    """
    out.unlink(missing_ok=True)
    write_atomically(report, json.dumps(quantized.agreement, indent=1, allow_nan=False) + "\n")
    write_atomically(report.with_suffix(".html"), quantized.page)
    if past := quantized.agreement["beyond_limits"]:
        raise DataError(f"the int8 model drifted from the float model and is refused: {past[0]}")
    write_atomically(out, quantized.model)


def _shown(layers: list[Operator]) -> Iterable[Operator]:
    console = Console(stderr=True)
    return track(layers, "layers alone", console=console, disable=not console.is_terminal)


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
    with exit_on_error("tussis-quantize"):
        report = report or out.with_name("agreement.json")
        for path in (out, report, report.with_suffix(".html")):
            make_folder(path.parent)
            check_writable(path)
        settings = QuantizeSettings(float_model, checkpoint, recipe, calibration_ids, data, store, reference)
        quantized = quantize_model(settings)
        write_accepted(quantized, out, report)
        show(quantized.agreement, Console(soft_wrap=True))


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
    worst, counted = agreement["layers"][0], agreement["composed"]
    console.print(
        f"  F1 of cough frames: float {counted['frame_f1']['float']:.3f}, int8 {counted['frame_f1']['int8']:.3f};"
        f" of counted coughs: float {counted['event_f1']['float']:.3f}, int8 {counted['event_f1']['int8']:.3f}"
    )
    console.print(
        f"  layer that costs most: {worst['layer']}, alone 1st percentile {worst['alone']['embedding_cosine_p1']:.5f};"
        f" left in float: {', '.join(agreement['fallback']['layers']) or 'none'}"
    )


def main() -> None:
    """Entry point of ``tussis-quantize``."""
    app()


if __name__ == "__main__":
    main()
