"""The only place that decides which layers are left in float, by what each does to the model when it alone is int8."""

from dataclasses import dataclass

import numpy as np

from quantize.activation_ranges import Ranges
from quantize.apply_recipe import apply_recipe, with_layers_in_float
from quantize.graph import quantized_layers, read_operators
from quantize.layer_errors import LayerError, Shown, layer_errors
from quantize.recipe import Fallback, Recipe

REASON = "left in float, because alone in int8 it drifts too far"


@dataclass(frozen=True)
class Int8Model:
    """An int8 model, the resolved recipe that makes it, each layer's error, and the layers that fell back to float."""

    content: bytes
    recipe: Recipe
    errors: list[LayerError]
    fallback: list[LayerError]


def quantize_with_fallback(
    float_model: bytes, recipe: Recipe, ranges: Ranges, clips: np.ndarray, shown: Shown = iter
) -> Int8Model:
    """Quantize, measure each layer on clips (n, 32000), and quantize again without the layers that are too bad."""
    whole = apply_recipe(float_model, recipe, ranges)
    layers = quantized_layers(read_operators(whole))
    errors = layer_errors(float_model, whole, recipe, ranges, clips, shown)
    chosen = choose_fallback(errors, recipe.fallback)
    if not chosen:
        return Int8Model(whole, recipe, errors, chosen)
    names = {(its.layer, its.operator) for its in chosen}
    resolved = with_layers_in_float(recipe, [its for its in layers if (its.layer, its.kind) in names], REASON)
    return Int8Model(apply_recipe(float_model, resolved, ranges), resolved, errors, chosen)


def choose_fallback(errors: list[LayerError], limits: Fallback) -> list[LayerError]:
    """The layers past a limit, worst first, as many as the recipe lets go.

    A layer that does not fit into the share of multiply-adds that is left is passed over for the next.
    """
    chosen: list[LayerError] = []
    for its in sorted((error for error in errors if _is_too_bad(error, limits)), key=_badness):
        share = sum(other.mac_share for other in chosen) + its.mac_share
        if len(chosen) < limits.max_layers and share <= limits.max_mac_share:
            chosen.append(its)
    return chosen


def _is_too_bad(error: LayerError, limits: Fallback) -> bool:
    is_turned = not error.alone.embedding_cosine_p1 >= limits.min_cosine_p1_alone
    return is_turned or not error.alone.cough_logit_error <= limits.max_cough_logit_error_alone


def _badness(error: LayerError) -> tuple[float, float]:
    return error.alone.embedding_cosine_p1, -error.alone.cough_logit_error
