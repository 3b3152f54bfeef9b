"""The only place that cuts the validation recordings into clips, for comparing models and for choosing thresholds."""

from dataclasses import dataclass

import numpy as np

from core.errors import DataError
from distill.corpus.labels import EVENT_LABELS, event_labels_of, is_cough_free
from distill.corpus.waveform_store import WaveformStore
from distill.distillation.targets import crop_offsets, cut_crop

MAX_CLIPS_PER_RECORDING = 4
MIN_PER_CLASS = 5


@dataclass(frozen=True)
class ValidationClips:
    """Clips of the labelled validation recordings.

    ``clips`` (n, 32000) float32; ``recording`` (n,) int, which recording a clip is from; ``labels`` of each recording.
    """

    clips: np.ndarray
    recording: np.ndarray
    labels: list[tuple[str, ...]]

    def per_recording(self, clip_values: np.ndarray) -> np.ndarray:
        """Largest value over each recording's clips: (n_clips, ...) to (n_recordings, ...)."""
        starts = np.flatnonzero(np.diff(self.recording, prepend=-1))
        return np.maximum.reduceat(clip_values, starts, axis=0)

    def truth(self, event: str) -> tuple[np.ndarray, np.ndarray]:
        """Which recordings hold an event, and which are known to: (n_recordings,) bool each.

        A pack that does not name a cough excludes it only where `distill.corpus.labels` says so.
        """
        holds = np.array([event in event_labels_of(labels) for labels in self.labels])
        if event != "cough":
            return holds, np.ones(len(holds), dtype=bool)
        return holds, holds | np.array([is_cough_free(labels) for labels in self.labels])

    def measurable_events(self) -> list[str]:
        """Event labels with at least `MIN_PER_CLASS` recordings that hold them and as many that do not."""
        counts = {event: self.truth(event) for event in EVENT_LABELS}
        return [
            event
            for event, (holds, known) in counts.items()
            if min((holds & known).sum(), (~holds & known).sum()) >= MIN_PER_CLASS
        ]


def read_validation_clips(store: WaveformStore) -> ValidationClips:
    """Cut up to 4 clips, evenly spread, from each labelled validation recording; DataError where there is none."""
    clips, recording, labels = [], [], []
    for index in store.indices("validation"):
        row, waveform = store.rows[index], store.waveform(index)
        if not row.labelled or len(waveform) == 0:
            continue
        offsets = crop_offsets(len(waveform))
        chosen = np.unique(np.linspace(0, len(offsets) - 1, MAX_CLIPS_PER_RECORDING).astype(int))
        clips += [cut_crop(waveform, offsets[n]) for n in chosen]
        recording += [len(labels)] * len(chosen)
        labels.append(row.labels)
    if not clips:
        raise DataError("the store holds no labelled validation recording")
    return ValidationClips(np.stack(clips), np.array(recording), labels)
