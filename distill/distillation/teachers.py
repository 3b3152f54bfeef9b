"""Loads the teachers whose embeddings the student learns, by their names, alone or together."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from core.clips import CLIP_SAMPLES
from core.errors import DataError, SettingsError
from core.files import sha256_of_file
from distill.checkpoints import checkpoint_sha256, load_checkpoint
from distill.distillation.efficientat import EfficientAtTeacher
from distill.models.encoder import SIZES, Encoder
from distill.models.hear_checkpoint import find_vit_folder, load_vit_folder, vit_folder_sha256
from distill.models.hear_front_end import HearFrontEnd
from distill.models.masked_autoencoder import MaskedAutoencoderSettings

MIN_INPUT_SAMPLES = 1_600  # 0.1 s; a shorter input is hardly a waveform

EXPECTED = (
    "expected mae:PATH (a checkpoint of tussis-pretrain), hear:FOLDER or hear:HUB_ID (in google/hear-pytorch's "
    "layout), tflite:PATH (a model that takes a waveform), tflite-inner:PATH (what its last layer takes), mn04:PATH "
    "(EfficientAT's mn04_as as ONNX), or several joined by +"
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


class TfliteTeacher:
    """A TFLite model with one fixed float waveform input at 16 kHz; the mean over its windows is the embedding.

    Of the outputs that are one vector a window, shape (1, d), the longest is taken. YAMNet offers only its class scores
    so; its (96, 64) spectrogram is no such vector. With `inner`, what the model's last fully connected layer takes is
    the embedding: for YAMNet the 1024 values that its classes are read from.
    """

    def __init__(self, path: Path, inner: bool = False) -> None:
        kind = "tflite-inner" if inner else "tflite"
        self.name = f"{kind}:{path}"
        self._interpreter = open_tflite(path, "a teacher", keep_inner=inner)
        self._input = self._waveform_input(path)
        self._output = self._last_layer_input(path) if inner else self._embedding_output(path)
        self.window_samples = int(self._input["shape"][-1])
        self.embedding_size = int(np.prod(self._output["shape"]))
        self.block_sizes = (self.embedding_size,)
        self.fingerprint = f"{kind}:{sha256_of_file(path)}"

    def embed(self, waveform: Tensor) -> Tensor:
        """Embed waveforms (batch, 32000), float32 at 16 kHz, as (batch, embedding_size)."""
        return torch.from_numpy(np.stack([self._embed_clip(clip) for clip in waveform.numpy()]))

    def _embed_clip(self, clip: np.ndarray) -> np.ndarray:
        starts = window_starts(self.window_samples)
        tiled = np.resize(clip, max(len(clip), self.window_samples))
        return np.mean([self._run(tiled[start : start + self.window_samples]) for start in starts], axis=0)

    def _run(self, window: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input["index"], window.reshape(self._input["shape"]))
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"]).reshape(-1)

    def _waveform_input(self, path: Path) -> dict[str, Any]:
        details = self._interpreter.get_input_details()
        if len(details) != 1 or not _is_vector(details[0], MIN_INPUT_SAMPLES):
            raise DataError(
                f"{path} cannot be a teacher: expected one input, a float32 waveform (n,) or (1, n) with a fixed n of "
                f"at least {MIN_INPUT_SAMPLES} samples at 16 kHz, found {_describe(details)}"
            )
        return details[0]

    def _last_layer_input(self, path: Path) -> dict[str, Any]:
        """The input of the last fully connected layer; a 1x1 convolution over one place is one as well."""
        tensors = {detail["index"]: detail for detail in self._interpreter.get_tensor_details()}
        for node in reversed(self._interpreter._get_ops_details()):
            layer_input = tensors.get(int(node["inputs"][0])) if len(node["inputs"]) else None
            if node["op_name"] not in ("FULLY_CONNECTED", "CONV_2D") or layer_input is None:
                continue
            shape = layer_input["shape"]
            if layer_input["dtype"] == np.float32 and int(np.prod(shape)) == int(shape[-1]):
                return layer_input
        raise DataError(f"{path} cannot be a teacher by its inner embedding: no layer reads one float32 vector")

    def _embedding_output(self, path: Path) -> dict[str, Any]:
        details = self._interpreter.get_output_details()
        vectors = [detail for detail in details if _is_vector(detail)]
        if not vectors:
            raise DataError(
                f"{path} cannot be a teacher: expected a float32 vector (d,) or (1, d) among its outputs, "
                f"found {_describe(details)}"
            )
        return max(vectors, key=lambda detail: int(detail["shape"][-1]))


def window_starts(window_samples: int) -> list[int]:
    """First samples of the windows that cover a clip evenly, each overlapping the next by half or more; [0] for one."""
    beyond = CLIP_SAMPLES - window_samples
    if beyond <= 0:
        return [0]
    n_windows = 1 + -(-beyond * 2 // window_samples)
    return [round(i * beyond / (n_windows - 1)) for i in range(n_windows)]


def _is_vector(detail: dict[str, Any], min_values: int = 1) -> bool:
    *leading, n_values = (int(n) for n in detail["shape_signature"]) if len(detail["shape_signature"]) else (0,)
    return detail["dtype"] == np.float32 and leading in ([], [1]) and n_values >= min_values


def _describe(details: list[dict[str, Any]]) -> str:
    return ", ".join(f"{np.dtype(d['dtype']).name} {tuple(int(n) for n in d['shape_signature'])}" for d in details)


def open_tflite(path: Path, role: str, keep_inner: bool = False) -> Any:
    """Open a model on one thread; `keep_inner` keeps all its tensors after a run, which then uses no delegate."""
    from ai_edge_litert.interpreter import Interpreter

    options = {"experimental_preserve_all_tensors": True} if keep_inner else {}
    try:
        interpreter = Interpreter(model_path=str(path), num_threads=1, **options)
        interpreter.allocate_tensors()
    except (ValueError, OSError, RuntimeError) as error:
        raise DataError(f"cannot load {role} from {path}: {error}") from error
    return interpreter


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
    spec : "mae:PATH", "hear:FOLDER", "hear:HUB_ID", "tflite:PATH", "tflite-inner:PATH", "mn04:PATH"
        Or several joined by "+".

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
    "mn04": lambda place: EfficientAtTeacher(Path(place)),
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
