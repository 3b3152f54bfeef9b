"""Names the events and the activity frames that the student learns, and maps the packs' labels to them."""

from collections.abc import Iterable

import numpy as np

from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_SAMPLES

EVENT_LABELS = ("cough", "snore", "breathing", "sneeze", "throat_clear", "laugh", "speech", "cry")
N_ACTIVITY_FRAMES = 50
ACTIVITY_FRAME_STEP_S = CLIP_SAMPLES / SAMPLE_RATE_HZ / N_ACTIVITY_FRAMES

# What the packs call an event where they do not use its own name.
PACK_LABEL_TO_EVENT = {label: label for label in EVENT_LABELS} | {
    "snoring": "snore",
    "sigh": "breathing",
    "pant": "breathing",
    "whisper": "speech",
}

# A recording with one of these is known not to hold a cough, whatever a model says of it.
COUGH_FREE_LABELS = frozenset(
    {"noise", "speech", "laugh", "breathing", "sneeze", "throat_clear", "cry", "vocal_burst", "snore"}
)


def event_labels_of(pack_labels: Iterable[str]) -> set[str]:
    """Return the event labels that a pack's labels name."""
    return {PACK_LABEL_TO_EVENT[label] for label in pack_labels if label in PACK_LABEL_TO_EVENT}


def positives(pack_labels: Iterable[str]) -> np.ndarray:
    """Return 1.0 for each event label that the pack names, shape (n_events,), float32."""
    named = event_labels_of(pack_labels)
    return np.array([label in named for label in EVENT_LABELS], dtype=np.float32)


def is_cough_free(pack_labels: tuple[str, ...]) -> bool:
    """Whether the pack's labels exclude a cough."""
    return "cough" not in pack_labels and bool(COUGH_FREE_LABELS & set(pack_labels))


def soft_event_targets(pack_labels: tuple[str, ...], teacher_scores: np.ndarray) -> np.ndarray:
    """Combine a pack's labels with an event teacher's scores.

    A label that the pack names is 1; a cough that it excludes is 0; the others are the teacher's scores.

    Parameters
    ----------
    pack_labels : labels of the manifest; empty where unlabelled
    teacher_scores : array, shape (..., n_events), in [0, 1]

    Returns
    -------
    array, shape of `teacher_scores`, float32
    """
    targets = np.maximum(teacher_scores, positives(pack_labels)).astype(np.float32)
    if is_cough_free(pack_labels):
        targets[..., EVENT_LABELS.index("cough")] = 0.0
    return targets
