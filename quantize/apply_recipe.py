"""The only place that runs the quantizer: a float model, a recipe and ranges in, an int8 model out."""

import re

from core.errors import SettingsError
from quantize.activation_ranges import Ranges
from quantize.quiet import quiet
from quantize.recipe import QuantizerEntry, Recipe
from quantize.tflite_graph import Operator


def apply_recipe(float_model: bytes, recipe: Recipe, ranges: Ranges) -> bytes:
    """Quantize a float model; raises SettingsError where the quantizer refuses the recipe."""
    from ai_edge_quantizer.quantizer import Quantizer

    with quiet():
        try:
            quantizer = Quantizer(bytearray(float_model), recipe.quantizer_entries())
            return bytes(quantizer.quantize(ranges).quantized_model)
        except (ValueError, RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise SettingsError(f"the quantizer refuses the recipe {recipe.name}: {reason}") from error


def with_layers_in_float(recipe: Recipe, layers: list[Operator], comment: str) -> Recipe:
    """The recipe with some operators exempt from it."""
    exempt = tuple(
        QuantizerEntry(regex=_only(its), operation="*", algorithm_key="no_quantize", comment=f"{its.layer}: {comment}")
        for its in layers
    )
    return recipe.model_copy(update={"quantizer": recipe.quantizer + exempt})


def with_one_layer_in_int8(recipe: Recipe, layer: Operator) -> Recipe:
    """The recipe for one operator, as the full recipe treats it, with everything else in float."""
    scope = f"{layer.output};"
    (*_, entry) = (
        its for its in recipe.quantizer if re.search(its.regex, scope) and its.operation in ("*", layer.kind)
    )
    return recipe.model_copy(update={"quantizer": (entry.model_copy(update={"regex": _only(layer)}),)})


def _only(operator: Operator) -> str:
    """A pattern for the one operator whose scope, which the quantizer makes of its output's name, this is."""
    return f"^{re.escape(operator.output)};$"
