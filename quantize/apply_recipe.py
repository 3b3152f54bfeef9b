"""Quantizes a float model by a recipe, between the activation ranges that were calibrated or learnt."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.errors import DataError, SettingsError
from core.interpreter import SIGNATURE
from quantize.conversion import INPUT, quiet
from quantize.recipe import QuantizerEntry, Recipe, quantizer_entries
from quantize.tflite_graph import Operator, read_operators

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
        entries.load_quantization_recipe(quantizer_entries(recipe))
        calibrator = Calibrator(bytearray(float_model), num_threads=1, qsv_update_func=_keep_each)
        calibrator.calibrate({SIGNATURE: [{INPUT: clip[None]} for clip in clips]}, entries)
    return {name: _bounds(values, recipe.range_percentile) for name, values in calibrator.get_model_qsvs().items()}


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
    operators = read_operators(float_model)
    writers = {operator.layer.removeprefix("body."): operator for operator in operators if _computes(operator)}
    for layer, (low, high) in learnt.items():
        if layer not in writers:
            raise DataError(f"the checkpoint holds a learnt range of {layer}, which the float model does not have")
        ranges[writers[layer].output] = {"min": np.array([low]), "max": np.array([high])}
    return ranges


def _computes(operator: Operator) -> bool:
    return operator.layer.startswith("body.") and (operator.has_weights or operator.kind == "ADD")


def apply_recipe(float_model: bytes, recipe: Recipe, ranges: Ranges) -> bytes:
    """Quantize a float model; raises SettingsError where the quantizer refuses the recipe."""
    from ai_edge_quantizer.quantizer import Quantizer

    with quiet():
        try:
            quantizer = Quantizer(bytearray(float_model), quantizer_entries(recipe))
            return bytes(quantizer.quantize(ranges).quantized_model)
        except (ValueError, RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise SettingsError(f"the quantizer refuses the recipe {recipe.name}: {reason}") from error


def with_layers_in_float(recipe: Recipe, layers: Sequence[Operator], comment: str) -> Recipe:
    """The recipe with some operators exempt from it."""
    exempt = tuple(
        QuantizerEntry(
            regex=_only(layer), operation="*", algorithm_key="no_quantize", comment=f"{layer.layer}: {comment}"
        )
        for layer in layers
    )
    return recipe.model_copy(update={"quantizer": recipe.quantizer + exempt})


def with_one_layer_in_int8(recipe: Recipe, layer: Operator) -> Recipe:
    """The recipe for one operator, as the full recipe treats it, with everything else in float."""
    scope = f"{layer.output};"
    (*_, entry) = (
        entry for entry in recipe.quantizer if re.search(entry.regex, scope) and entry.operation in ("*", layer.kind)
    )
    return recipe.model_copy(update={"quantizer": (entry.model_copy(update={"regex": _only(layer)}),)})


def _only(operator: Operator) -> str:
    """A pattern for the one operator whose scope, which the quantizer makes of its output's name, this is."""
    return f"^{re.escape(operator.output)};$"
