"""The only place that says between which values each activation of the int8 model lies: calibrated, or learnt."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.errors import DataError
from core.interpreter import SIGNATURE
from quantize.quiet import quiet
from quantize.recipe import Recipe
from quantize.tflite_graph import Operator, read_operators

SIGNATURE_INPUT = "waveform"

Ranges = dict[str, dict[str, np.ndarray]]
"""``min`` and ``max`` of each tensor by its name, as ai-edge-quantizer takes them."""


def calibrated_ranges(float_model: bytes, recipe: Recipe, clips: np.ndarray) -> Ranges:
    """Run the float model on calibration clips (n, 32000) and bound each activation.

    A bound is the recipe's percentile over the clips of each clip's largest value, and, mirrored, of its smallest. The
    quantizer's own rule, a moving average over the clips in their order, makes the last clips of the list count most:
    most of the others exceeded it (EXPERIMENTS.md).
    """
    from ai_edge_quantizer.calibrator import Calibrator
    from ai_edge_quantizer.recipe_manager import RecipeManager

    with quiet():
        entries = RecipeManager()
        entries.load_quantization_recipe(recipe.quantizer_entries())
        calibrator = Calibrator(bytearray(float_model), num_threads=1, qsv_update_func=_keep_each)
        calibrator.calibrate({SIGNATURE: [{SIGNATURE_INPUT: clip[None]} for clip in clips]}, entries)
    return {name: _bounds(its, recipe.range_percentile) for name, its in calibrator.get_model_qsvs().items()}


def _keep_each(before: dict[str, Any], clip: dict[str, Any]) -> dict[str, Any]:
    return {key: np.concatenate([np.ravel(before[key]), np.ravel(clip[key])]) for key in ("min", "max")}


def _bounds(of_clips: dict[str, np.ndarray], percentile: float) -> dict[str, np.ndarray]:
    low, high = np.percentile(of_clips["min"], 100 - percentile), np.percentile(of_clips["max"], percentile)
    return {"min": np.array([low]), "max": np.array([high])}


def with_learnt_ranges(calibrated: Ranges, learnt: Mapping[str, tuple[float, float]], float_model: bytes) -> Ranges:
    """Put the ranges that a quantization-aware training learnt, by layer of the body, in place of the calibrated ones.

    Raises
    ------
    DataError
        If a learnt range belongs to no tensor of the float model.
    """
    if not learnt:
        return calibrated
    ranges = dict(calibrated)
    writers = {its.layer.removeprefix("body."): its for its in read_operators(float_model) if _computes(its)}
    for layer, (low, high) in learnt.items():
        if layer not in writers:
            raise DataError(f"the checkpoint holds a learnt range of {layer}, which the float model does not have")
        ranges[writers[layer].output] = {"min": np.array([low]), "max": np.array([high])}
    return ranges


def _computes(operator: Operator) -> bool:
    return operator.layer.startswith("body.") and (operator.has_weights or operator.kind == "ADD")
