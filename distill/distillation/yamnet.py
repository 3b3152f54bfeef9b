"""Scores the event labels with YAMNet, frame by frame: the event teacher."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from core.errors import DataError
from distill.corpus.labels import EVENT_LABELS
from distill.corpus.tables import read_table
from distill.corpus.waveform_store import as_float
from distill.distillation.teachers import open_tflite

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
N_CLASSES = 521


class YamnetTeacher:
    """YAMNet's scores of the event labels, frame by frame; frame i starts at ``i * 0.48`` s and lasts 0.975 s."""

    FRAME_SAMPLES = 15_600
    HOP_SAMPLES = 7_680

    name = "yamnet"

    def __init__(self, path: Path) -> None:
        """Load ``yamnet.tflite``; ``yamnet_class_map.csv`` must lie beside it."""
        self._class_ids = _class_ids(path.with_name("yamnet_class_map.csv"))
        self._interpreter = open_tflite(path, "YAMNet")
        (self._input,), outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._output = outputs[0]
        if tuple(self._input["shape"]) != (1, self.FRAME_SAMPLES) or tuple(self._output["shape"]) != (1, N_CLASSES):
            raise DataError(
                f"{path} is not YAMNet: expected (1, {self.FRAME_SAMPLES}) -> (1, {N_CLASSES}), "
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
        array, shape (n_frames, n_events), float32 in [0, 1], in the order of `EVENT_LABELS`
        """
        if waveform.dtype == np.int16:
            waveform = as_float(waveform)
        n_frames = 1 + -(-max(0, len(waveform) - self.FRAME_SAMPLES) // self.HOP_SAMPLES)
        padded = np.zeros(self.FRAME_SAMPLES + (n_frames - 1) * self.HOP_SAMPLES, np.float32)
        padded[: len(waveform)] = waveform
        starts = range(0, n_frames * self.HOP_SAMPLES, self.HOP_SAMPLES)
        return self.event_scores(self.class_scores(padded, starts))

    def class_scores(self, waveform: np.ndarray, starts: Iterable[int]) -> np.ndarray:
        """Scores of all 521 classes in the frames of a float waveform that begin at `starts`, (n_frames, 521)."""
        return np.stack([self._class_scores(waveform[start : start + self.FRAME_SAMPLES]) for start in starts])

    def event_scores(self, class_scores: np.ndarray) -> np.ndarray:
        """The event labels' scores (n, n_events) of the classes' (n, 521)."""
        return np.stack([class_scores[:, ids].max(axis=1) for ids in self._class_ids], axis=1)

    def _class_scores(self, frame: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input["index"], frame[None])
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"])[0]


def _class_ids(path: Path) -> list[list[int]]:
    """Find the classes of each event label by name in YAMNet's class map."""
    if not path.exists():
        raise DataError(f"cannot read YAMNet's class map {path}: it must lie beside yamnet.tflite")
    rows = read_table(path, ("index", "display_name"))
    ids = {row["display_name"]: row.whole("index", 0, N_CLASSES - 1) for row in rows}
    try:
        return [[ids[name] for name in YAMNET_CLASSES[label]] for label in EVENT_LABELS]
    except KeyError as error:
        raise DataError(f"{path} is not YAMNet's class map: it lacks {error}") from error
