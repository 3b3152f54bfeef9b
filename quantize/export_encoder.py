"""Exports a full encoder, HeAR's or our own, to files that take raw samples and give an embedding."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.demonstration import synthesized_clips
from core.errors import DataError
from core.files import write_atomically
from core.model.operators import STUDENT_OPERATORS
from distill.checkpoints import checkpoint_sha256, load_checkpoint
from distill.distillation.teachers import EncoderTeacher, TfliteTeacher, load_mae_encoder
from distill.models.encoder import Encoder
from distill.models.hear_checkpoint import find_vit_folder, load_vit_folder, save_vit_folder, vit_folder_sha256
from quantize.conversion import INPUT, TOOLS, file_facts, quiet, unfinished, write_onnx, write_tflite
from quantize.outputs import check_parity, cosines, onnx_outputs
from quantize.recipe import ENCODER_RECIPES, EncoderRecipe, Format, quantizer_entries, read_encoder_recipe
from quantize.signature import EMBED_OUTPUTS, EMBED_SIGNATURE, EmbedSignature, EncoderWithFrontEnd
from quantize.tflite_graph import check_operators, model_facts

SCHEMA = "tussis.encoder_export/1"
FILES = {
    Format.INT8: "encoder_int8.tflite",
    Format.FLOAT16: "encoder_float16.tflite",
    Format.FLOAT32: "encoder_float32.tflite",
    Format.ONNX: "encoder.onnx",
    Format.VIT: "vit",
}
HUB_PREFIX = "hear:"

# What a Vision Transformer behind HeAR's front end needs beside what the student does; XNNPACK runs all of them.
ENCODER_OPERATORS = STUDENT_OPERATORS | {
    *("BATCH_MATMUL", "EXP", "GELU", "REDUCE_MAX", "REDUCE_MIN", "RSQRT", "SOFTMAX", "SQRT", "SQUARED_DIFFERENCE"),
}
N_PARITY_CLIPS = 8  # a ViT-L takes a second a clip
MAX_WEIGHT_BYTES = 2**31 - 2**24  # what a protobuf, and so an ONNX file without a second one beside it, can hold


def is_encoder(place: str) -> bool:
    """Tell an encoder from a student: a ViT folder, ``hear:HUB_ID``, or a checkpoint of tussis-pretrain."""
    return place.startswith(HUB_PREFIX) or Path(place).is_dir() or "model" in load_checkpoint(Path(place)).settings


def load_encoder(place: str) -> EncoderTeacher:
    """Load what `is_encoder` recognized; a ViT folder is HeAR's path where its weights end in a pooler.

    Raises
    ------
    DataError
        If it is damaged, of another architecture, or too large for one file.
    """
    if place.startswith(HUB_PREFIX) or Path(place).is_dir():
        folder = find_vit_folder(place.removeprefix(HUB_PREFIX))
        encoder, fingerprint = load_vit_folder(folder, pooler=None), f"vit:{vit_folder_sha256(folder)}"
    else:
        encoder, fingerprint = load_mae_encoder(Path(place)), f"mae:{checkpoint_sha256(Path(place))}"
    n_bytes = 4 * n_parameters(encoder)
    if n_bytes > MAX_WEIGHT_BYTES:
        raise DataError(f"{place} has {n_bytes / 1e9:.1f} GB of float32 weights; one file can hold at most 2.1 GB")
    return EncoderTeacher(encoder, place, fingerprint)


def n_parameters(encoder: Encoder) -> int:
    """Count the weights, the positions among them."""
    return sum(weight.numel() for weight in encoder.state_dict().values())


def export_encoder(place: str, formats: Sequence[Format], out: Path, report_file: str) -> dict[str, Any]:
    """Write an encoder in each of `formats` and a report into the folder `out`; returns what the report holds.

    They are made and checked in a folder beside and moved when all of them are right, the report last.

    Raises
    ------
    DataError
        If the source cannot be read, or a file's embeddings differ from torch's.
    """
    teacher = load_encoder(place)
    (out / report_file).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as folder:
        report = {
            "schema": SCHEMA,
            "source": teacher.fingerprint,
            "encoder": teacher.encoder.settings.model_dump(mode="json") | {"parameters": n_parameters(teacher.encoder)},
            "signature": {"name": EMBED_SIGNATURE, "input": INPUT, "outputs": {"embedding": teacher.embedding_size}},
            "parity_clips": f"{N_PARITY_CLIPS} synthesized",
            "files": _write_checked(teacher, set(formats), Path(folder)),
            "tools": {tool: version(tool) for tool in (*TOOLS, "ai-edge-quantizer")},
        }
        for form in formats:
            _move(Path(folder) / FILES[form], out / FILES[form])
    write_atomically(out / report_file, json.dumps(report, indent=1, allow_nan=False) + "\n")
    return report


def _move(written: Path, target: Path) -> None:
    if written.is_dir():
        target.mkdir(exist_ok=True)
        for file in written.iterdir():
            file.replace(target / file.name)
    else:
        written.replace(target)


def _write_checked(teacher: EncoderTeacher, formats: set[Format], folder: Path) -> dict[str, Any]:
    clips = synthesized_clips(N_PARITY_CLIPS)
    expected = np.concatenate([teacher.embed(clip[None]).numpy() for clip in torch.from_numpy(clips)])
    if not np.isfinite(expected).all():
        raise DataError(f"{teacher.name} gives embeddings that are not finite")
    facts = {}
    for form in _in_order(formats):
        path = folder / FILES[form]
        _write(form, teacher.encoder, path)
        facts[form] = _folder_facts(path) if form == Format.VIT else _checked_facts(form, path, clips, expected)
    return facts


def _in_order(formats: set[Format]) -> list[Format]:
    """Order formats so that the float32 TFLite, from which the smaller ones are made, comes before them."""
    needed = formats | ({Format.FLOAT32} if formats & ENCODER_RECIPES.keys() else set())
    return [form for form in (Format.VIT, Format.ONNX, Format.FLOAT32, *ENCODER_RECIPES) if form in needed]


def _write(form: Format, encoder: Encoder, path: Path) -> None:
    if form == Format.VIT:
        save_vit_folder(encoder, path)
    elif form == Format.ONNX:
        write_onnx(EncoderWithFrontEnd(encoder), EMBED_OUTPUTS, path)
    elif form == Format.FLOAT32:
        write_tflite(EmbedSignature(encoder), EMBED_SIGNATURE, ENCODER_OPERATORS, path)
    else:
        write_stored_smaller(path.with_name(FILES[Format.FLOAT32]), read_encoder_recipe(form), path)


def write_stored_smaller(float_model: Path, recipe: EncoderRecipe, out: Path) -> Path:
    """Write a float32 TFLite model with its weights as the recipe says; no calibration is needed.

    Raises DataError where the quantizer cannot do it.
    """
    from ai_edge_quantizer.quantizer import Quantizer

    with unfinished(out) as path, quiet():
        try:  # by path, since the quantizer then maps the file into memory: a ViT-L is 1.2 GB
            result = Quantizer(str(float_model), quantizer_entries(recipe)).quantize()
        except (ValueError, RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{float_model} cannot be stored by the recipe {recipe.name}: {reason}") from error
        path.write_bytes(result.quantized_model)
    return out


def _folder_facts(folder: Path) -> dict[str, Any]:
    return {"folder": folder.name, "files": [file_facts(file) for file in sorted(folder.iterdir())]}


def _checked_facts(form: Format, path: Path, clips: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    """Facts of a file and how far its embeddings are from torch's; DataError where that is too far."""
    if form == Format.ONNX:
        facts, embeddings = file_facts(path), onnx_outputs(path, clips, EMBED_OUTPUTS)["embedding"]
    else:
        content = path.read_bytes()
        check_operators(content, ENCODER_OPERATORS, path.name)
        facts = {"file": path.name, **asdict(model_facts(content, path.name))}
        embeddings = TfliteTeacher(path).embed(torch.from_numpy(clips)).numpy()
    parity = drift(expected, embeddings)
    if form in ENCODER_RECIPES:
        recipe = read_encoder_recipe(form)
        if not parity["cosine_min"] >= recipe.min_embedding_cosine:
            raise DataError(
                f"{path.name} drifted from torch and is refused: the lowest embedding cosine is "
                f"{parity['cosine_min']:.5f}; expected at least {recipe.min_embedding_cosine} ({recipe.name})"
            )
        facts["recipe"] = recipe.model_dump(mode="json", exclude_none=True)
    else:
        parity |= check_parity({"embedding": expected}, {"embedding": embeddings}, path.name)["embedding"]
    return facts | {"parity": parity}


def drift(expected: np.ndarray, embeddings: np.ndarray) -> dict[str, float]:
    """Lowest and median cosine of embeddings (n, size) to the expected ones, as they are and less the expected mean.

    Without the mean, because what all embeddings share makes two that differ look alike.
    """
    mean = expected.mean(axis=0)
    plain, centred = cosines(expected, embeddings), cosines(expected - mean, embeddings - mean)
    return {
        **{"cosine_min": float(plain.min()), "cosine_median": float(np.median(plain))},
        **{"centred_cosine_min": float(centred.min()), "centred_cosine_median": float(np.median(centred))},
    }
