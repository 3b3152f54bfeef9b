"""The only place for what the student's embedding learns from: teachers by their names, alone or together."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from core.errors import DataError, SettingsError
from distill.checkpoints import checkpoint_sha256, load_checkpoint
from distill.distillation.yamnet import TfliteTeacher
from distill.models.encoder import SIZES, Encoder
from distill.models.hear_checkpoint import find_vit_folder, load_vit_folder, vit_folder_sha256
from distill.models.hear_front_end import HearFrontEnd
from distill.models.masked_autoencoder import MaskedAutoencoderSettings

EXPECTED = (
    "expected mae:PATH (a checkpoint of tussis-pretrain), hear:FOLDER or hear:HUB_ID (in google/hear-pytorch's "
    "layout), tflite:PATH (a model that takes a waveform), tflite-inner:PATH (what its last layer takes), or several "
    "joined by +"
)


class Teacher(Protocol):
    """Something that embeds clips.

    ``block_sizes`` sums to ``embedding_size``; each block is one teacher's part. ``fingerprint`` is made from the hash
    of the weights: the same for the same teacher wherever its file lies.
    """

    name: str
    fingerprint: str
    embedding_size: int
    block_sizes: tuple[int, ...]

    def embed(self, waveform: Tensor) -> Tensor:
        """Embed waveforms (batch, 32000), float32 at 16 kHz in [-1, 1], as (batch, embedding_size)."""
        ...


class EncoderTeacher(nn.Module):
    """An encoder behind HeAR's front end: HeAR's pooler output, or what our own encoder's patch tokens come to."""

    def __init__(self, encoder: Encoder, name: str, fingerprint: str) -> None:
        super().__init__()
        self.name = name
        self.fingerprint = fingerprint
        self.embedding_size = encoder.embedding_size
        self.block_sizes = (self.embedding_size,)
        self.front_end = HearFrontEnd()
        self.encoder = encoder
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def embed(self, waveform: Tensor) -> Tensor:
        """Embed waveforms (batch, 32000), float32 at 16 kHz, as (batch, embedding_size)."""
        return self.encoder(self.front_end(waveform))


class CombinedTeacher:
    """Several teachers' embeddings side by side, unscaled; `targets` gives each block the same weight."""

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        self.teachers = tuple(teachers)
        self.name = "+".join(teacher.name for teacher in teachers)
        self.fingerprint = "+".join(teacher.fingerprint for teacher in teachers)
        self.block_sizes = tuple(size for teacher in teachers for size in teacher.block_sizes)
        self.embedding_size = sum(self.block_sizes)

    def embed(self, waveform: Tensor) -> Tensor:
        """Embed waveforms (batch, 32000), float32 at 16 kHz, as (batch, embedding_size)."""
        return torch.cat([teacher.embed(waveform) for teacher in self.teachers], dim=1)


def load_teacher(spec: str) -> Teacher:
    """Load an embedding teacher.

    Parameters
    ----------
    spec : "mae:PATH", "hear:FOLDER", "hear:HUB_ID", "tflite:PATH", "tflite-inner:PATH", or several joined by "+"

    Raises
    ------
    SettingsError : another kind of teacher is asked for, or the same one twice.
    DataError : the file or folder is no such teacher, or the hub does not give it.
    """
    # Only before a kind, since a path may hold a plus.
    parts = re.split(rf"\+(?=(?:{'|'.join(_LOADERS)}):)", spec)
    teachers = [_load_one(part) for part in parts]
    if len({teacher.fingerprint for teacher in teachers}) < len(teachers):
        raise SettingsError(f"the teachers {spec!r} name the same weights twice: expected each once")
    return teachers[0] if len(teachers) == 1 else CombinedTeacher(teachers)


def _load_one(spec: str) -> Teacher:
    kind, _, place = spec.partition(":")
    if kind not in _LOADERS or not place:
        raise SettingsError(f"unknown teacher {spec!r}: {EXPECTED}")
    return _LOADERS[kind](place)


def _load_mae(place: str) -> Teacher:
    encoder = load_mae_encoder(Path(place))
    return EncoderTeacher(encoder, f"mae:{place}", f"mae-statistics:{checkpoint_sha256(Path(place))}")


def _load_hear(place: str) -> Teacher:
    folder = find_vit_folder(place)
    return EncoderTeacher(load_vit_folder(folder), f"hear:{place}", f"hear:{vit_folder_sha256(folder)}")


_LOADERS = {
    "mae": _load_mae,
    "hear": _load_hear,
    "tflite": lambda place: TfliteTeacher(Path(place)),
    "tflite-inner": lambda place: TfliteTeacher(Path(place), inner=True),
}


def load_mae_encoder(path: Path) -> Encoder:
    """Read the encoder of a checkpoint that tussis-pretrain wrote; anything else raises `DataError`."""
    checkpoint = load_checkpoint(path)
    prefix = "encoder."
    state = {name.removeprefix(prefix): v for name, v in checkpoint.model_state.items() if name.startswith(prefix)}
    try:
        settings = MaskedAutoencoderSettings.model_validate(checkpoint.settings["model"])
        encoder = Encoder(SIZES[settings.size])
        encoder.load_state_dict(state)
    except (KeyError, ValidationError, RuntimeError) as error:
        raise DataError(f"{path} is not a checkpoint of a masked autoencoder of tussis-pretrain") from error
    return encoder
