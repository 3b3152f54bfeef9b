"""Decides which layers are left in float, by the model's outputs with them in int8 and in float."""

from dataclasses import dataclass, replace

from quantize.apply_recipe import Ranges, apply_recipe, with_layers_in_float
from quantize.layer_errors import Effect, FloatRun, LayerError, Shown, layer_errors
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
class FallbackReport:
    """The layers left in float though the recipe would quantize them, the effect of int8, and each block's trial."""

    layers: list[str]
    effect: Effect
    trials: list[Trial]


@dataclass(frozen=True)
class Int8Model:
    """An int8 model, the resolved recipe that makes it, each layer's error, and what fell back."""

    content: bytes
    recipe: Recipe
    errors: list[LayerError]
    fallback: FallbackReport


def quantize_with_fallback(float_run: FloatRun, recipe: Recipe, ranges: Ranges, shown: Shown = iter) -> Int8Model:
    """Quantize, measure each layer, and put back to float what is too bad, if that helps.

    A block is tried as a whole: with a single layer in float its neighbours still round what it reads and writes.
    """
    content = apply_recipe(float_run.model, recipe, ranges)
    operators = quantized_layers(read_operators(content))
    errors = layer_errors(float_run, content, recipe, ranges, shown)
    int8 = Int8Model(content, recipe, errors, FallbackReport([], float_run.effect_of(content), []))
    for block in bad_blocks(errors, recipe.fallback):
        names, before = [error.layer for error in block], int8.fallback
        layers = [*before.layers, *names]
        if not _is_affordable(layers, errors, recipe.fallback):
            continue
        spared = [operator for operator in operators if operator.layer in layers]
        resolved = with_layers_in_float(recipe, spared, REASON)
        content = apply_recipe(float_run.model, resolved, ranges)
        effect = float_run.effect_of(content)
        is_better = effect.embedding_cosine_p1 > before.effect.embedding_cosine_p1
        trials = [*before.trials, Trial(tuple(names), effect, is_better)]
        if is_better:
            int8 = Int8Model(content, resolved, errors, FallbackReport(layers, effect, trials))
        else:
            int8 = replace(int8, fallback=replace(before, trials=trials))
    return int8


def bad_blocks(errors: list[LayerError], limits: Fallback) -> list[list[LayerError]]:
    """The blocks with a layer past a limit, all of their layers, the block with the worst layer first."""
    worst_first = sorted((error for error in errors if _is_too_bad(error, limits)), key=_badness)
    names = dict.fromkeys(block_of(error.layer) for error in worst_first)
    return [[error for error in errors if block_of(error.layer) == name] for name in names]


def block_of(layer: str) -> str:
    """``body.blocks.4`` for each layer of that block; a layer outside the blocks is one by itself."""
    parts = layer.split(".")
    return ".".join(parts[:3]) if parts[1:2] == ["blocks"] else layer


def _is_affordable(layers: list[str], errors: list[LayerError], limits: Fallback) -> bool:
    share = sum(error.mac_share for error in errors if error.layer in layers)
    return len(layers) <= limits.max_layers and share <= limits.max_mac_share


def _is_too_bad(error: LayerError, limits: Fallback) -> bool:
    is_turned = not error.alone.embedding_cosine_p1 >= limits.min_cosine_p1_alone
    return is_turned or not error.alone.cough_logit_error <= limits.max_cough_logit_error_alone


def _badness(error: LayerError) -> tuple[float, float]:
    return error.alone.embedding_cosine_p1, -error.alone.cough_logit_error
