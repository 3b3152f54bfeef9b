"""Names the events and the activity frames that the student learns, and maps the packs' labels to them."""

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache

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

# Labels of sound that is neither an event of ours nor free of coughs. Others name the kind of a noise, beside "noise".
OTHER_LABELS = frozenset({"vocal_burst", "gasp", "scream", "moan", "pain_grunt", "vomit", "acted", "rir"})
KNOWN_LABELS = frozenset(PACK_LABEL_TO_EVENT) | COUGH_FREE_LABELS | OTHER_LABELS

# Pack labels that may well hold the event unmentioned: for that event the recording is neither a positive nor a
# negative. The packs' other labels are taken at their word.
UNDECIDED = {
    "speech": {"children_playing", "street_music", "vocal_burst", "scream"},
    "laugh": {"children_playing", "vocal_burst"},
    "breathing": {"vocal_burst", "snore", "speech", "cough", "laugh", "cry", "drinking_sipping"},
    "cry": {"vocal_burst", "scream"},
}

_OTHER_WORDS = {
    "cough": "coughs coughing coughed baby_cough",
    "snore": "snores snored",
    "breathing": "breath breaths breathe breathes",
    "sneeze": "sneezes sneezing sneezed",
    "throat_clear": "throat_clears throat_clearing clear_throat clearing_throat throatclear throatclearing",
    "laugh": "laughs laughing laughed laughter",
    "speech": "speak speaks speaking speeches talk talks talking",
    "cry": "cries crying cried baby_cry baby_crying crying_baby",
    "sigh": "sighs sighing",
    "pant": "pants panting",
    "whisper": "whispers whispering",
    "gasp": "gasps gasping",
    "noise": "noises",
}
OTHER_SPELLINGS = {word: label for label, words in _OTHER_WORDS.items() for word in words.split()}
_NO_LABEL = frozenset({"", "_", "?", "nan", "na", "n/a", "null", "none", "unknown", "unlabelled", "unlabeled"})
_SEPARATORS = re.compile(r"[;,|/+&]")
_STEMS = ("cough", "snore", "snoring", "breath", "sneez", "throat", "laugh", "speech", "speak", "crying")
_ALIKE = 0.75  # of difflib: "couhg" is like "cough", and "crow" is not like "cry"


@lru_cache(maxsize=4096)
def parse_labels(text: str) -> tuple[str, ...]:
    """The labels that a table's cell names, in the spelling of `KNOWN_LABELS`, each once; empty where it names none.

    They may be joined by ``;``, ``,``, ``|``, ``/``, ``+`` or ``&``, in capitals or inflected.

    Raises
    ------
    ValueError
        If a label is not known and stands alone, or is like an event's name without being one: it would count as a
        recording without the event. The message names it.
    """
    named = tuple(dict.fromkeys(OTHER_SPELLINGS.get(word, word) for word in words_of(text)))
    others = [label for label in named if label not in KNOWN_LABELS]
    for label in others:
        is_like_an_event = any(stem in label for stem in _STEMS) or get_close_matches(label, EVENT_LABELS, 1, _ALIKE)
        if is_like_an_event or len(others) == len(named):
            raise ValueError(label)
    return named


def words_of(text: str) -> list[str]:
    """The words that a cell joins, in small letters with ``_`` for spaces; none where it says that it names none."""
    folded = re.sub(r"[ \t-]+", "_", unicodedata.normalize("NFKC", text).casefold())
    if folded in _NO_LABEL:
        return []
    return [word.strip("_") for word in _SEPARATORS.split(folded) if word.strip("_")]


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


def holds_event(pack_labels: Iterable[str], event: str) -> bool | None:
    """Whether a recording holds the event, as its pack's labels say; None where they leave it open."""
    labels = set(pack_labels)
    if event in event_labels_of(labels):
        return True
    return None if UNDECIDED.get(event, set()) & labels else False


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
