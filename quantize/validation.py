"""Reads validation clips and counts coughs in composed recordings, for comparing models and choosing thresholds."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.audio import SAMPLE_RATE_HZ
from core.bundle import COUGH, JointTrack, ScreeningSettings
from core.errors import DataError
from core.events import EventFinder, WindowProbabilities
from core.interpreter import Interpreter
from core.listening import listen
from distill.corpus.labels import ACTIVITY_FRAME_STEP_S, EVENT_LABELS, holds_event, is_cough_free
from distill.evaluation.event_scoring import EventScore, score_events

if TYPE_CHECKING:
    from distill.corpus.waveform_store import WaveformStore
    from distill.evaluation.composed_recordings import ComposedRecording

MAX_CLIPS_PER_RECORDING = 4
MIN_PER_CLASS = 5
EQUAL_TRACK = JointTrack(activity=0.5, cough=0.5, bias=0.0)
DEFAULT_SCREENING: dict[str, Any] = {
    "hop_s": 1.0,
    "event_pooling": "max",
    "event_thresholds": dict.fromkeys(EVENT_LABELS, 0.5),
    "joint_track": asdict(EQUAL_TRACK),
    "cough_on_probability": 0.5,
    "cough_off_probability": 0.3,
    "min_event_s": 0.08,
    "max_event_s": 0.6,
    "merge_gap_s": 0.0,
}


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

        A recording without the event's name excludes a cough only where `is_cough_free` says so, another event where
        `holds_event` does.
        """
        decided = [holds_event(labels, event) for labels in self.labels]
        holds = np.array([known is True for known in decided])
        if event == COUGH:
            return holds, holds | np.array([is_cough_free(labels) for labels in self.labels])
        return holds, np.array([known is not None for known in decided])

    def measurable_events(self) -> list[str]:
        """Event labels with at least `MIN_PER_CLASS` recordings that hold them and as many that do not."""
        counts = {event: self.truth(event) for event in EVENT_LABELS}
        return [
            event
            for event, (holds, known) in counts.items()
            if min((holds & known).sum(), (~holds & known).sum()) >= MIN_PER_CLASS
        ]


def read_validation_clips(store: "WaveformStore") -> ValidationClips:
    """Cut up to 4 clips, evenly spread, from each labelled validation recording; DataError where there is none."""
    from distill.distillation.targets import crop_offsets, cut_crop

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


@dataclass(frozen=True)
class HeardRecording:
    """A model's probabilities for each clip of a recording, and the coughs in it, (start_s, end_s) in order of time."""

    windows: list[WindowProbabilities]
    coughs: list[tuple[float, float]]
    duration_s: float


def hear(interpreter: Interpreter, recording: "ComposedRecording") -> HeardRecording:
    """Run a model over a composed recording as a screening with `DEFAULT_SCREENING` does."""
    hop_s, waveform = DEFAULT_SCREENING["hop_s"], recording.waveform
    clips = listen([waveform], SAMPLE_RATE_HZ, interpreter, hop_s, ACTIVITY_FRAME_STEP_S)
    return HeardRecording(
        [clip.window for clip in clips if not clip.is_gated], recording.coughs, len(waveform) / SAMPLE_RATE_HZ
    )


def score_coughs(heard: Iterable[HeardRecording], track: JointTrack = EQUAL_TRACK, **chosen: Any) -> EventScore:
    """Score the coughs that a screening counts on a joint track in all recordings together.

    `chosen` are fields of `ScreeningSettings` that take the place of `DEFAULT_SCREENING`'s.
    """
    values = {**DEFAULT_SCREENING, **chosen, "joint_track": track}
    settings = ScreeningSettings(**values, activity_frame_step_s=ACTIVITY_FRAME_STEP_S)
    total = EventScore(0, 0, 0, 0.0)
    for recording in heard:
        finder = EventFinder(EVENT_LABELS, settings)
        for window in recording.windows:
            finder.push(window)
        events = finder.finish(recording.duration_s)
        spans = [(event.start_s, event.end_s) for event in events if event.label == COUGH]
        total = total + score_events(recording.coughs, spans, recording.duration_s)
    return total
