"""The only place for what the student learns from: an embedding teacher and YAMNet as the event teacher."""

import csv
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from core.errors import DataError, SettingsError
from distill.checkpoints import load_checkpoint
from distill.encoder import SIZES, Encoder
from distill.front_end import HearFrontEnd
from distill.masked_autoencoder import MaskedAutoencoderSettings
from distill.student import EVENT_LABELS

# YAMNet's classes that belong to each event; its score is their maximum. A wheeze, gasp, pant and sigh are heard as
# breath; a snort is not a snore; shouting and singing are not speech.
YAMNET_CLASSES = {
    "cough": ("Cough",),
    "snore": ("Snoring",),
    "breathing": ("Breathing", "Wheeze", "Gasp", "Pant", "Sigh"),
    "sneeze": ("Sneeze",),
    "throat_clear": ("Throat clearing",),
    "laugh": ("Laughter", "Baby laughter", "Giggle", "Snicker", "Belly laugh", "Chuckle, chortle"),
    "speech": (
        "Speech",
        "Child speech, kid speaking",
        "Conversation",
        "Narration, monologue",
        "Babbling",
        "Speech synthesizer",
        "Whispering",
    ),
    "cry": ("Crying, sobbing", "Baby cry, infant cry", "Whimper"),
}


class Teacher(Protocol):
    """Something that embeds clips."""

    name: str
    embedding_size: int

    def embed(self, waveform: Tensor) -> Tensor:
        """Embed waveforms (batch, 32000), float32 at 16 kHz in [-1, 1], as (batch, embedding_size)."""
        ...


class MaskedAutoencoderTeacher(nn.Module):
    """Our own encoder: the mean of its patch tokens after the last norm."""

    def __init__(self, encoder: Encoder, name: str) -> None:
        super().__init__()
        self.name = name
        self.embedding_size = encoder.embedding_size
        self.front_end = HearFrontEnd()
        self.encoder = encoder
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def embed(self, waveform: Tensor) -> Tensor:
        """Embed waveforms (batch, 32000), float32 at 16 kHz, as (batch, embedding_size)."""
        return self.encoder(self.front_end(waveform))


def load_teacher(spec: str) -> Teacher:
    """Load an embedding teacher.

    Parameters
    ----------
    spec : "mae:PATH", a checkpoint that tussis-pretrain wrote

    Raises
    ------
    SettingsError : another kind of teacher is asked for.
    DataError : the file is no checkpoint of a masked autoencoder.
    """
    kind, _, path = spec.partition(":")
    if kind != "mae" or not path:
        raise SettingsError(f"unknown teacher {spec!r}: expected mae:PATH, a checkpoint of tussis-pretrain")
    return MaskedAutoencoderTeacher(_load_encoder(Path(path)), spec)


def _load_encoder(path: Path) -> Encoder:
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


class YamnetTeacher:
    """YAMNet's scores of the event labels, frame by frame; frame i starts at ``i * 0.48`` s and lasts 0.975 s."""

    SAMPLE_RATE_HZ = 16_000
    FRAME_SAMPLES = 15_600
    HOP_SAMPLES = 7_680

    name = "yamnet"

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Load ``yamnet.tflite``; ``yamnet_class_map.csv`` must lie beside it."""
        from ai_edge_litert.interpreter import Interpreter

        self._class_ids = _class_ids(path.with_name("yamnet_class_map.csv"))
        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, OSError, RuntimeError) as error:
            raise DataError(f"cannot load YAMNet from {path}: {error}") from error
        (self._input,), outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._output = outputs[0]
        if tuple(self._input["shape"]) != (1, self.FRAME_SAMPLES) or tuple(self._output["shape"]) != (1, 521):
            raise DataError(
                f"{path} is not YAMNet: expected (1, {self.FRAME_SAMPLES}) -> (1, 521), "
                f"found {tuple(self._input['shape'])} -> {tuple(self._output['shape'])}"
            )

    def scores(self, waveform: np.ndarray) -> np.ndarray:
        """Score the event labels in each frame.

        Parameters
        ----------
        waveform : array, shape (n,), at 16 kHz; float32 in [-1, 1], or int16
            The last frame is zero-padded, so that every sample is heard.

        Returns
        -------
        array, shape (n_frames, 8), float32 in [0, 1], in the order of `EVENT_LABELS`
        """
        if waveform.dtype == np.int16:
            waveform = waveform.astype(np.float32) / 32768.0
        n_frames = 1 + -(-max(0, len(waveform) - self.FRAME_SAMPLES) // self.HOP_SAMPLES)
        padded = np.zeros(self.FRAME_SAMPLES + (n_frames - 1) * self.HOP_SAMPLES, np.float32)
        padded[: len(waveform)] = waveform
        starts = range(0, n_frames * self.HOP_SAMPLES, self.HOP_SAMPLES)
        classes = np.stack([self._class_scores(padded[start : start + self.FRAME_SAMPLES]) for start in starts])
        return np.stack([classes[:, ids].max(axis=1) for ids in self._class_ids], axis=1)

    def frame_times_s(self, n_frames: int) -> np.ndarray:
        """Start of each frame in seconds, shape (n_frames,)."""
        return np.arange(n_frames) * (self.HOP_SAMPLES / self.SAMPLE_RATE_HZ)

    def _class_scores(self, frame: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input["index"], frame[None])
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"])[0]


def _class_ids(path: Path) -> list[list[int]]:
    """Find the classes of each event label by name in YAMNet's class map."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            ids = {row["display_name"]: int(row["index"]) for row in csv.DictReader(file)}
        return [[ids[name] for name in YAMNET_CLASSES[label]] for label in EVENT_LABELS]
    except OSError as error:
        raise DataError(f"cannot read YAMNet's class map {path}: {error.strerror}") from error
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} is not YAMNet's class map: it lacks {error}") from error
