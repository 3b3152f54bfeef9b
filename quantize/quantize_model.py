"""Makes the int8 model of a float model, and reports how far the two agree."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rich.progress import track

from core.interpreter import LiteRtInterpreter
from core.model.operators import STUDENT_OPERATORS
from distill.checkpoints import checkpoint_sha256, load_checkpoint
from distill.corpus.waveform_store import WaveformStore
from distill.distillation.quantization_aware import learnt_ranges
from distill.evaluation.composed_recordings import ComposedRecording, compose_recordings
from distill.models.student import Student, build_student, load_student
from distill.shown_text import PlainConsole
from quantize.agreement import (
    Agreement,
    CalibrationFacts,
    ComposedComparison,
    ReferenceComparison,
    compare,
    compare_on_composed,
    compare_with_reference,
)
from quantize.apply_recipe import calibrated_ranges, with_learnt_ranges
from quantize.calibration_set import read_calibration_set
from quantize.fallback import quantize_with_fallback
from quantize.layer_errors import FloatRun
from quantize.outputs import Outputs, TorchInterpreter, check_parity, tflite_outputs, torch_outputs
from quantize.recipe import read_recipe
from quantize.tflite_graph import Operator, check_operators, model_facts, read_model
from quantize.validation import ValidationClips, read_validation_clips

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


@dataclass(frozen=True, eq=False)
class Quantized:
    """The int8 model, its agreement, and torch's, float's and int8's outputs on the validation clips."""

    model: bytes
    agreement: Agreement
    outputs: dict[str, Outputs]


def quantize_model(settings: QuantizeSettings) -> Quantized:
    """Make the int8 model by the recipe, compare it with float and torch on validation clips, and report."""
    recipe = read_recipe(settings.recipe)
    checkpoint = load_checkpoint(settings.checkpoint)
    student = build_student(checkpoint, settings.checkpoint)
    float_model = read_model(settings.float_model)
    check_operators(float_model, STUDENT_OPERATORS, str(settings.float_model))
    calibration = read_calibration_set(settings.calibration_ids, settings.data)
    store = WaveformStore.open(settings.store)
    validation = read_validation_clips(store)
    torch_run, float_run = torch_outputs(student, validation.clips), tflite_outputs(float_model, validation.clips)
    check_parity(torch_run, float_run, str(settings.float_model))
    learnt = learnt_ranges(checkpoint)
    ranges = with_learnt_ranges(calibrated_ranges(float_model, recipe, calibration.clips), learnt, float_model)
    error_clips = choose_error_clips(recipe.n_error_clips or N_ERROR_CLIPS, calibration.clips, validation.clips)
    int8 = quantize_with_fallback(FloatRun.of(float_model, error_clips), recipe, ranges, _shown)
    check_operators(int8.content, frozenset(recipe.operators), "the int8 model")
    int8_run = tflite_outputs(int8.content, validation.clips)
    agreement = Agreement(
        **vars(compare(torch_run, float_run, int8_run, validation)),
        composed=_compare_on_composed(
            student, float_model, int8.content, compose_recordings(store, recipe.n_composed or N_COMPOSED)
        ),
        reference=_compare_with_reference(settings.reference, int8_run, validation),
        layers=int8.errors,
        fallback=int8.fallback,
        checkpoint_sha256=checkpoint_sha256(settings.checkpoint),
        float_model=model_facts(float_model, "the float model"),
        int8_model=model_facts(int8.content, "the int8 model"),
        recipe=int8.recipe.model_dump(mode="json", exclude_none=True),
        calibration=CalibrationFacts(len(calibration.clips), calibration.ids_sha256, sorted(learnt)),
        tools={tool: version(tool) for tool in TOOLS},
    )
    return Quantized(int8.content, agreement, {"torch": torch_run, "float": float_run, "int8": int8_run})


def choose_error_clips(n_clips: int, *sets: np.ndarray) -> np.ndarray:
    """Clips to measure single layers on: of each of two sets (n, 32000) at most half of `n_clips`, evenly spread."""
    halves = [clips[:: max(1, 2 * len(clips) // n_clips)] for clips in sets]
    return np.concatenate([half[: n_clips // 2] for half in halves])


def _compare_on_composed(
    student: Student, float_model: bytes, int8_model: bytes, recordings: list[ComposedRecording]
) -> ComposedComparison:
    models = {"float": LiteRtInterpreter(float_model), "int8": LiteRtInterpreter(int8_model)}
    return compare_on_composed({"torch": TorchInterpreter(student), **models}, recordings)


def _compare_with_reference(
    reference: Path | None, int8_run: Outputs, validation: ValidationClips
) -> ReferenceComparison | None:
    """How far the int8 model is from the student before tuning, where one is given."""
    if reference is None:
        return None
    before = torch_outputs(load_student(reference), validation.clips)
    return compare_with_reference(before, int8_run, validation, checkpoint_sha256(reference))


def _shown(layers: list[Operator]) -> Iterable[Operator]:
    console = PlainConsole(stderr=True)
    return track(layers, "layers alone", console=console, disable=not console.is_terminal)
