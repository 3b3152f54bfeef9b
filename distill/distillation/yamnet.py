"""The only place for teachers that are TFLite models: any that takes a waveform, and YAMNet as the event teacher."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.clips import CLIP_SAMPLES
from core.errors import DataError
from core.files import sha256_of_file
from distill.corpus.labels import EVENT_LABELS
from distill.corpus.waveform_store import as_float

MIN_INPUT_SAMPLES = 1_600  # 0.1 s; a shorter input is hardly a waveform

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


class TfliteTeacher:
    """A TFLite model with one fixed float waveform input at 16 kHz; the mean over its windows is the embedding.

    Of the outputs that are one vector a window, shape (1, d), the longest is taken. YAMNet offers only its class scores
    so; its (96, 64) spectrogram is no such vector. With `inner`, what the model's last fully connected layer takes is
    the embedding: for YAMNet the 1024 values that its classes are read from.
    """

    def __init__(self, path: Path, inner: bool = False) -> None:
        kind = "tflite-inner" if inner else "tflite"
        self.name = f"{kind}:{path}"
        self._interpreter = _open_interpreter(path, 1, "a teacher", keep_inner=inner)
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
            its_input = tensors.get(int(node["inputs"][0])) if len(node["inputs"]) else None
            if node["op_name"] not in ("FULLY_CONNECTED", "CONV_2D") or its_input is None:
                continue
            if its_input["dtype"] == np.float32 and int(np.prod(its_input["shape"])) == int(its_input["shape"][-1]):
                return its_input
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


def _open_interpreter(path: Path, threads: int, role: str, keep_inner: bool = False) -> Any:
    """Open a model; with `keep_inner` all its tensors can be read after a run, which runs without a delegate."""
    from ai_edge_litert.interpreter import Interpreter

    options = {"experimental_preserve_all_tensors": True} if keep_inner else {}
    try:
        interpreter = Interpreter(model_path=str(path), num_threads=threads, **options)
        interpreter.allocate_tensors()
    except (ValueError, OSError, RuntimeError) as error:
        raise DataError(f"cannot load {role} from {path}: {error}") from error
    return interpreter


class YamnetTeacher:
    """YAMNet's scores of the event labels, frame by frame; frame i starts at ``i * 0.48`` s and lasts 0.975 s."""

    SAMPLE_RATE_HZ = 16_000
    FRAME_SAMPLES = 15_600
    HOP_SAMPLES = 7_680

    name = "yamnet"

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Load ``yamnet.tflite``; ``yamnet_class_map.csv`` must lie beside it."""
        self._class_ids = _class_ids(path.with_name("yamnet_class_map.csv"))
        self._interpreter = _open_interpreter(path, threads, "YAMNet")
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
            waveform = as_float(waveform)
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
