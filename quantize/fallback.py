"""The only place that decides which layers are left in float, by what they do to the model in int8 and without it."""

from dataclasses import dataclass

import numpy as np

from quantize.activation_ranges import Ranges
from quantize.apply_recipe import apply_recipe, with_layers_in_float
from quantize.layer_errors import Effect, LayerError, Shown, layer_errors, measure_effect
from quantize.outputs import tflite_outputs
from quantize.recipe import Fallback, Recipe
from quantize.tflite_graph import quantized_layers, read_operators

REASON = "left in float, because in int8 its block drifts too far"


@dataclass(frozen=True)
class Trial:
    """A block put back to float: its layers, what the model did then, and whether that was better and stays so."""

    layers: tuple[str, ...]
    effect: Effect
    is_kept: bool


@dataclass(frozen=True)
class Int8Model:
    """An int8 model, the resolved recipe that makes it, each layer's error, the effect of int8, and the trials."""

    content: bytes
    recipe: Recipe
    errors: list[LayerError]
    effect: Effect
    trials: list[Trial]

    @property
    def fallback(self) -> list[str]:
        """The layers that are left in float, though the recipe would quantize them."""
        return [layer for trial in self.trials if trial.is_kept for layer in trial.layers]


def quantize_with_fallback(
    float_model: bytes, recipe: Recipe, ranges: Ranges, clips: np.ndarray, shown: Shown = iter
) -> Int8Model:
    """Quantize, measure each layer on clips (n, 32000), and put back to float what is too bad, if that helps.

    A block is tried as a whole: with a single layer in float its neighbours still round what it reads and writes.
    """
    content = apply_recipe(float_model, recipe, ranges)
    operators = quantized_layers(read_operators(content))
    errors = layer_errors(float_model, content, recipe, ranges, clips, shown)
    expected = tflite_outputs(float_model, clips)
    made = Int8Model(content, recipe, errors, measure_effect(expected, tflite_outputs(content, clips)), [])
    for block in bad_blocks(errors, recipe.fallback):
        layers = [*made.fallback, *(its.layer for its in block)]
        if not _is_affordable(layers, errors, recipe.fallback):
            continue
        resolved = with_layers_in_float(recipe, [its for its in operators if its.layer in layers], REASON)
        content = apply_recipe(float_model, resolved, ranges)
        effect = measure_effect(expected, tflite_outputs(content, clips))
        is_better = effect.embedding_cosine_p1 > made.effect.embedding_cosine_p1
        trials = [*made.trials, Trial(tuple(its.layer for its in block), effect, is_better)]
        kept = (content, resolved, effect) if is_better else (made.content, made.recipe, made.effect)
        made = Int8Model(kept[0], kept[1], errors, kept[2], trials)
    return made


def bad_blocks(errors: list[LayerError], limits: Fallback) -> list[list[LayerError]]:
    """The blocks with a layer past a limit, all of their layers, the block with the worst layer first."""
    worst_first = sorted((its for its in errors if _is_too_bad(its, limits)), key=_badness)
    names = dict.fromkeys(block_of(its.layer) for its in worst_first)
    return [[its for its in errors if block_of(its.layer) == name] for name in names]


def block_of(layer: str) -> str:
    """``body.blocks.4`` for each layer of that block; a layer outside the blocks is one by itself."""
    parts = layer.split(".")
    return ".".join(parts[:3]) if parts[1:2] == ["blocks"] else layer


def _is_affordable(layers: list[str], errors: list[LayerError], limits: Fallback) -> bool:
    share = sum(its.mac_share for its in errors if its.layer in layers)
    return len(layers) <= limits.max_layers and share <= limits.max_mac_share


def _is_too_bad(error: LayerError, limits: Fallback) -> bool:
    is_turned = not error.alone.embedding_cosine_p1 >= limits.min_cosine_p1_alone
    return is_turned or not error.alone.cough_logit_error <= limits.max_cough_logit_error_alone


def _badness(error: LayerError) -> tuple[float, float]:
    return error.alone.embedding_cosine_p1, -error.alone.cough_logit_error
