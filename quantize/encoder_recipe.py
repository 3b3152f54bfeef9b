"""The only place for how an encoder's weights may be stored in TFLite: recipes, their operators and limits of drift."""

from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field

from core.errors import DataError
from distill.settings import Settings
from quantize.conversion import unfinished
from quantize.operators import PHONE_RUNTIME_OPERATORS
from quantize.quiet import quiet
from quantize.recipe import RECIPES, QuantizerEntry

# What a Vision Transformer behind HeAR's front end needs beside what the student does; XNNPACK runs all of them.
ENCODER_OPERATORS = PHONE_RUNTIME_OPERATORS | {
    *("BATCH_MATMUL", "EXP", "GELU", "REDUCE_MAX", "REDUCE_MIN", "RSQRT", "SOFTMAX", "SQRT", "SQUARED_DIFFERENCE"),
}


class Format(StrEnum):
    """What an encoder can be written as."""

    INT8 = "int8"
    FLOAT16 = "float16"
    FLOAT32 = "float32"
    ONNX = "onnx"
    VIT = "vit"


class EncoderRecipe(Settings):
    """How the quantizer stores the weights, and the lowest cosine to the float32 embedding that a clip may have."""

    name: str
    description: str
    quantizer: tuple[QuantizerEntry, ...] = Field(min_length=1)
    min_embedding_cosine: float = Field(ge=-1, le=1)

    def quantizer_entries(self) -> list[dict[str, Any]]:
        """The entries as ai-edge-quantizer reads them."""
        return [entry.model_dump(exclude={"comment"}, exclude_none=True) for entry in self.quantizer]


RECIPE_NAMES = {Format.INT8: "encoder_dynamic_int8", Format.FLOAT16: "encoder_float16"}


def encoder_recipe(its_format: Format) -> EncoderRecipe:
    """Read the recipe of a format."""
    file = RECIPES / f"{RECIPE_NAMES[its_format]}.json"
    return EncoderRecipe.model_validate_json(file.read_text(encoding="utf-8"))


def write_stored_smaller(float_model: Path, recipe: EncoderRecipe, out: Path) -> Path:
    """Write a float32 TFLite model with its weights as the recipe says; no calibration is needed.

    Raises DataError where the quantizer cannot do it.
    """
    from ai_edge_quantizer.quantizer import Quantizer

    with unfinished(out) as path, quiet():
        try:  # by path, since the quantizer then maps the file into memory: a ViT-L is 1.2 GB
            result = Quantizer(str(float_model), recipe.quantizer_entries()).quantize()
        except (ValueError, RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{float_model} cannot be stored by the recipe {recipe.name}: {reason}") from error
        path.write_bytes(result.quantized_model)
    return out
