"""Reads and writes an encoder as Hugging Face's `ViTModel`, laid out as google/hear-pytorch is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from core.errors import DataError, OutputError, one_line
from core.files import sha256_of_file, write_atomically
from distill.models.encoder import LAYER_NORM_EPS, MLP_RATIO, Encoder, EncoderSettings
from distill.models.hear_front_end import IMAGE_SHAPE
from distill.models.patches import PATCH_SIZE
from distill.settings import brief

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
HUB_ID = re.compile(r"(?P<model>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>\w[\w./-]*))?")

# What the encoder cannot do otherwise, each with what it means where config.json does not say (ViTConfig's defaults).
FIXED: dict[str, tuple[Any, Any]] = {
    "model_type": ("vit", None),
    "image_size": (list(IMAGE_SHAPE), 224),
    "patch_size": (PATCH_SIZE, 16),
    "num_channels": (1, 3),
    "hidden_act": ("gelu_fast", "gelu"),
    "layer_norm_eps": (LAYER_NORM_EPS, 1e-12),
    "qkv_bias": (True, True),
}
POOLER_ACT = ("linear", "tanh")
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}

SIZE_KEYS = {"width": ("hidden_size", 768), "depth": ("num_hidden_layers", 12), "heads": ("num_attention_heads", 12)}
# Beside the weights that an encoder has: a mask token is used in pretraining only, and not every path has the pooler.
IGNORED = ("embeddings.mask_token", "pooler.")

# Our name of a block's part and ViTModel's; query, key and value are one layer here and three there.
BLOCK_PARTS = {
    "attention_norm": ("layernorm_before",),
    "query_key_value": tuple(f"attention.attention.{part}" for part in ("query", "key", "value")),
    "attention_output": ("attention.output.dense",),
    "mlp_norm": ("layernorm_after",),
    "mlp_in": ("intermediate.dense",),
    "mlp_out": ("output.dense",),
}


def save_vit_folder(encoder: Encoder, folder: Path) -> None:
    """Write an encoder so that `ViTModel.from_pretrained(folder)` gives the same outputs.

    One without a pooler (our own) is to be read with ``add_pooling_layer=False``. The fixed sine-cosine positions
    become position_embeddings.

    Raises
    ------
    OutputError : the folder cannot be written.
    """
    unfinished = folder / f".{WEIGHTS_FILE}.unfinished"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(to_vit_state(encoder), unfinished, metadata={"format": "pt"})
        unfinished.replace(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"cannot write the encoder to {folder}: {error}") from error
    write_atomically(folder / CONFIG_FILE, json.dumps(vit_config(encoder.settings), indent=2) + "\n")


def vit_config(settings: EncoderSettings) -> dict[str, Any]:
    """Return what `config.json` says of an encoder."""
    config = {
        "architectures": ["ViTModel"],
        **{key: value for key, (value, _) in FIXED.items()},
        **NO_DROPOUT,
        "hidden_size": settings.width,
        "intermediate_size": MLP_RATIO * settings.width,
        "num_hidden_layers": settings.depth,
        "num_attention_heads": settings.heads,
        "dtype": "float32",
    }
    if settings.pooler_size:
        config |= {"pooler_act": POOLER_ACT[0], "pooler_output_size": settings.pooler_size}
    return config


def to_vit_state(encoder: Encoder) -> dict[str, Tensor]:
    """Return an encoder's weights by ViTModel's names, float32."""
    ours, theirs = encoder.state_dict(), {}
    for name, vit_names in _names(encoder.settings):
        theirs |= zip(vit_names, _to_vit(name, ours[name].float(), len(vit_names)), strict=True)
    return theirs


def load_vit_folder(folder: Path, *, pooler: bool | None = True) -> Encoder:
    """Read an encoder from `config.json` and `model.safetensors`, which can hold no code.

    Parameters
    ----------
    pooler : HeAR's path, whose embedding is the pooler's output. False reads an encoder without one, as our own are,
        whose embedding is made of its patch tokens. None goes by the weights: whether they end in a pooler.

    Raises
    ------
    DataError : a file is absent or damaged, or describes another architecture.
    """
    path = folder / WEIGHTS_FILE
    try:
        settings = _read_settings(folder / CONFIG_FILE, _has_pooler(path) if pooler is None else pooler)
        with torch.device("meta"):  # a ViT-L is 1.2 GB: its weights are taken over, not copied
            encoder = Encoder(settings)
        state = _read_state(path, settings)
        encoder.load_state_dict(state, assign=True)
    except FileNotFoundError as error:
        raise DataError(f"{folder} is incomplete: it has no {WEIGHTS_FILE}") from error
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} is damaged or no safetensors file: {one_line(error)}") from error
    except (RuntimeError, ValueError, IndexError) as error:
        raise DataError(f"{path} does not fit {CONFIG_FILE} beside it: {_line(error, -1)}") from error
    return encoder.eval()


def _has_pooler(path: Path) -> bool:
    with safe_open(path, framework="pt") as file:
        return any(name.startswith("pooler.") for name in file.keys())  # noqa: SIM118  (a file, not a dict)


def vit_folder_sha256(folder: Path) -> str:
    """Hash the weights in `folder`."""
    return sha256_of_file(folder / WEIGHTS_FILE)


def find_vit_folder(place: str) -> Path:
    """Return the folder named `place`, or that of the hub's model `place`, downloaded where it is not cached yet.

    A model of the hub may be followed by ``@`` and the commit, tag or branch to take; without one, it is the newest.

    Raises
    ------
    DataError : neither exists, the hub refuses access, or the machine is offline.
    """
    if Path(place).is_dir():
        return Path(place)
    if (named := HUB_ID.fullmatch(place)) is None:
        raise DataError(f"there is no folder {place}")
    return _download(named["model"], named["revision"])


def _download(hub_id: str, revision: str | None) -> Path:
    from huggingface_hub import errors, hf_hub_download

    reason = f"there is no folder {hub_id}, and the model of that name on huggingface.co"
    try:
        config, _ = (hf_hub_download(hub_id, name, revision=revision) for name in (CONFIG_FILE, WEIGHTS_FILE))
    except errors.GatedRepoError as error:
        remedy = f"accept its terms at https://huggingface.co/{hub_id} and log in with hf auth login"
        raise DataError(f"{reason} refuses access: {remedy}") from error
    except errors.RevisionNotFoundError as error:
        raise DataError(f"{reason} has no commit, tag or branch {revision}") from error
    except errors.RepositoryNotFoundError as error:
        raise DataError(f"{reason} does not exist or needs a login (hf auth login)") from error
    except errors.LocalEntryNotFoundError as error:
        raise DataError(
            f"{reason} is not in the cache and the hub cannot be reached (offline, or HF_HUB_OFFLINE is set): "
            f"download it on a machine that is online and name the folder"
        ) from error
    except errors.EntryNotFoundError as error:
        raise DataError(f"{reason} is incomplete: expected {CONFIG_FILE} and {WEIGHTS_FILE}") from error
    except (errors.HFValidationError, errors.HTTPError, OSError) as error:
        raise DataError(f"{reason} cannot be downloaded: {_line(error, 0)}") from error
    return Path(config).parent


def _line(error: Exception, index: int) -> str:
    """Return one line of a library's message, which may have many or none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[index].strip()


def _read_settings(path: Path, pooler: bool) -> EncoderSettings:
    config = _read_config(path)
    for key, (expected, default) in (FIXED | ({"pooler_act": POOLER_ACT} if pooler else {})).items():
        if config.get(key, default) != expected:
            raise DataError(f"{path} is not HeAR's: {key} is {brief(config.get(key, default))}, expected {expected!r}")
    sizes = {ours: config.get(theirs, default) for ours, (theirs, default) in SIZE_KEYS.items()}
    try:
        settings = EncoderSettings(**sizes, pooler_size=config.get("pooler_output_size") or sizes["width"])
    except ValidationError as error:
        raise DataError(
            f"{path} gives a size of {brief(error.errors()[0]['input'])}: expected a positive integer"
        ) from error
    if settings.width % settings.heads or settings.width % 4:
        expected = f"expected a multiple of 4 and of its {settings.heads} heads"
        raise DataError(f"{path} gives a hidden_size of {settings.width}: {expected}")
    if (intermediate := config.get("intermediate_size", 3072)) != MLP_RATIO * settings.width:
        expected = f"{MLP_RATIO} x hidden_size = {MLP_RATIO * settings.width}"
        raise DataError(f"{path} is not HeAR's: intermediate_size is {brief(intermediate)}, expected {expected}")
    return settings if pooler else settings.model_copy(update={"pooler_size": None})


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path.parent} is incomplete: it has no {CONFIG_FILE}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read {path}: {one_line(error)}") from error
    if not isinstance(config, dict):
        raise DataError(f"{path} is not a ViTModel's configuration: expected an object")
    return config


def _read_state(path: Path, settings: EncoderSettings) -> dict[str, Tensor]:
    """Read the weights by our names, float32; a tensor that ViTModel would not know is refused."""
    names = list(_names(settings))
    with safe_open(path, framework="pt") as file:
        known = {vit_name for _, vit_names in names for vit_name in vit_names}
        present = set(file.keys())
        if missing := sorted(known - present):
            raise DataError(f"{path} is incomplete: it lacks {len(missing)} tensors, {missing[0]} among them")
        if unknown := sorted(name for name in present - known if not name.startswith(IGNORED)):
            raise DataError(f"{path} does not fit {CONFIG_FILE} beside it: it holds {unknown[0]} as well")
        return {
            name: _finite(_from_vit(name, [file.get_tensor(v) for v in vit_names]), path) for name, vit_names in names
        }


def _finite(weights: Tensor, path: Path) -> Tensor:
    if not torch.isfinite(weights).all():
        raise DataError(f"{path} holds weights that are not finite")
    return weights


def _names(settings: EncoderSettings) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Pair each of our weights with those of ViTModel that it consists of."""
    yield "class_token", ("embeddings.cls_token",)
    yield "positions", ("embeddings.position_embeddings",)
    for kind in ("weight", "bias"):
        yield f"patch_projection.{kind}", (f"embeddings.patch_embeddings.projection.{kind}",)
        for depth in range(settings.depth):
            for part, vit_parts in BLOCK_PARTS.items():
                vit_names = tuple(f"encoder.layer.{depth}.{vit_part}.{kind}" for vit_part in vit_parts)
                yield f"blocks.{depth}.{part}.{kind}", vit_names
        yield f"norm.{kind}", (f"layernorm.{kind}",)
        if settings.pooler_size:
            yield f"pooler.{kind}", (f"pooler.dense.{kind}",)


def _to_vit(name: str, weights: Tensor, n_parts: int) -> tuple[Tensor, ...]:
    if name == "positions":
        weights = weights[None]
    if name == "patch_projection.weight":  # a linear layer over a patch's rows is a convolution without overlap
        weights = weights.reshape(-1, 1, PATCH_SIZE, PATCH_SIZE)
    return tuple(part.contiguous() for part in weights.chunk(n_parts))


def _from_vit(name: str, parts: list[Tensor]) -> Tensor:
    weights = torch.cat(parts).float()
    if name == "positions":
        weights = weights[0]
    return weights.flatten(1).contiguous() if name == "patch_projection.weight" else weights
