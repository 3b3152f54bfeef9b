"""Reads quantization recipes: the quantizer's entries, the operators that may result, and the limits of drift."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from core.errors import SettingsError, one_line
from distill.settings import Settings, brief, merged

RECIPES = Path(__file__).parent / "recipes"


class TensorConfig(Settings):
    """Bits and grain of one kind of tensor."""

    num_bits: Literal[4, 8, 16]
    symmetric: bool
    granularity: Literal["TENSORWISE", "CHANNELWISE"]
    dtype: Literal["INT", "FLOAT"]


class OperatorConfig(Settings):
    """How an operator computes: integers, floats, or floats on weights that are stored smaller."""

    activation_tensor_config: TensorConfig | None = None
    weight_tensor_config: TensorConfig
    compute_precision: Literal["INTEGER", "FLOAT"]
    explicit_dequantize: bool = False


class QuantizerEntry(Settings):
    """One entry of ai-edge-quantizer: `regex` is searched in the name of an operator's output; later entries win.

    ``comment`` says why and is for the reader.
    """

    regex: str
    operation: str
    algorithm_key: Literal["min_max_uniform_quantize", "float_casting", "no_quantize"]
    op_config: OperatorConfig | None = None
    comment: str = ""


class Limits(Settings):
    """How far the int8 model may be from the float model on validation clips; see `quantize.agreement` for each."""

    min_embedding_cosine_median: float = Field(ge=-1, le=1)
    min_embedding_cosine_p1: float = Field(ge=-1, le=1)
    max_cough_auroc_difference: float = Field(ge=0, le=1)
    max_cough_decision_flips: float = Field(ge=0, le=1)
    max_event_decision_flips: float = Field(ge=0, le=1)
    max_activity_decision_flips: float = Field(ge=0, le=1)
    max_frame_f1_loss: float = Field(ge=-1, le=1)
    max_cough_event_f1_loss: float = Field(ge=-1, le=1)
    max_model_bytes: int = Field(gt=0)
    max_partitions: int = Field(gt=0)
    min_delegated_macs: float = Field(ge=0, le=1)


class Fallback(Settings):
    """When a block is left in float: where a layer of it, alone in int8, drifts too far, and sparing the block helps.

    A layer is too bad when with it alone in int8 the 1st percentile of the embedding cosine is below
    ``min_cosine_p1_alone`` or the mean error of the cough logit above ``max_cough_logit_error_alone``. The worst blocks
    go first, at most ``max_layers`` layers and ``max_mac_share`` of the whole model's multiply-adds: a limit in
    measured milliseconds would make the model depend on how busy the machine was.
    """

    min_cosine_p1_alone: float = Field(ge=-1, le=1)
    max_cough_logit_error_alone: float = Field(ge=0)
    max_layers: int = Field(ge=0)
    max_mac_share: float = Field(ge=0, le=1)


class Recipe(Settings):
    """A named way of quantizing, with the operators that the result may hold and the limits it must keep.

    ``range_percentile``: an activation's upper bound is this percentile, over the calibration clips, of each clip's
    largest value, its lower bound likewise; 100 is the largest of all. ``n_error_clips``: how many clips each layer is
    measured on, 128 if omitted; ``n_composed``: how many recordings are composed to count coughs in, 80 if omitted.
    """

    name: str
    description: str
    range_percentile: float = Field(gt=50, le=100)
    quantizer: tuple[QuantizerEntry, ...] = Field(min_length=1)
    operators: tuple[str, ...] = Field(min_length=1)
    limits: Limits
    fallback: Fallback
    n_error_clips: int | None = Field(default=None, ge=2)
    n_composed: int | None = Field(default=None, ge=1)


class Format(StrEnum):
    """What an encoder can be written as."""

    INT8 = "int8"
    FLOAT16 = "float16"
    FLOAT32 = "float32"
    ONNX = "onnx"
    VIT = "vit"


ENCODER_RECIPES = {Format.INT8: "encoder_dynamic_int8", Format.FLOAT16: "encoder_float16"}


class EncoderRecipe(Settings):
    """How the quantizer stores an encoder's weights, and the lowest cosine to float32 that an embedding may have."""

    name: str
    description: str
    quantizer: tuple[QuantizerEntry, ...] = Field(min_length=1)
    min_embedding_cosine: float = Field(ge=-1, le=1)


def quantizer_entries(recipe: Recipe | EncoderRecipe) -> list[dict[str, Any]]:
    """The entries of a recipe as ai-edge-quantizer reads them."""
    return [entry.model_dump(exclude={"comment"}, exclude_none=True) for entry in recipe.quantizer]


def read_encoder_recipe(form: Format) -> EncoderRecipe:
    """Read the recipe of one of the formats in `ENCODER_RECIPES`."""
    file = RECIPES / f"{ENCODER_RECIPES[form]}.json"
    return EncoderRecipe.model_validate_json(file.read_text(encoding="utf-8"))


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; a bare name such as ``small_int8`` means the one in quantize/recipes.

    A recipe with ``"extends": NAME`` holds only its differences from the recipe NAME: a file beside it, or a bare name.

    Raises
    ------
    SettingsError
        If there is no such file, it is not JSON, it extends itself, or a key is unknown, missing or out of range.
    """
    file = path if path.suffix == ".json" else RECIPES / f"{path}.json"
    try:
        return Recipe.model_validate(_read_values(file))
    except ValidationError as error:
        raise SettingsError(_sentence(error, file)) from error


def _read_values(file: Path, extended_by: tuple[Path, ...] = ()) -> dict[str, Any]:
    if file.resolve() in extended_by:
        raise SettingsError(f"the recipe {file} extends itself")
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the recipe {file} cannot be read: {getattr(error, 'strerror', error)}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"the recipe {file} is not valid JSON: {one_line(error)}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"the recipe {file} is {type(values).__name__}; a JSON object is expected")
    if (parent := values.pop("extends", None)) is None:
        return values
    extended = file.parent / parent if Path(str(parent)).suffix == ".json" else RECIPES / f"{parent}.json"
    return merged(_read_values(extended, (*extended_by, file.resolve())), values)


def _sentence(error: ValidationError, file: Path) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {brief(key)} in the recipe {file}"
    if first["type"] == "missing":
        return f"the key {key!r} is missing in the recipe {file}"
    return f"the key {key!r} of the recipe {file} is {brief(first['input'])}: {first['msg'].removeprefix('Input ')}"
