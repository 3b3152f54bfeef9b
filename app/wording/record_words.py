"""Puts what is known of participants and recordings into words."""

from collections.abc import Callable, Mapping
from datetime import datetime

from app.study import Study
from app.words import _, ngettext, shown_language
from core.errors import TussisError

Say = Callable[[], str]

SEXES: Mapping[str, Say] = {
    "female": lambda: _("Female"),
    "male": lambda: _("Male"),
    "other": lambda: _("Other"),
    "unknown": lambda: _("Not told"),
}
STATES: Mapping[str, Say] = {
    "unfinished": lambda: _("Unfinished"),
    "kept": lambda: _("Kept"),
    "kept_with_reason": lambda: _("Kept with a reason"),
    "redone": lambda: _("Redone"),
    "altered": lambda: _("Altered"),
}
CONSENTS: Mapping[str, Say] = {
    "none": lambda: _("No consent yet"),
    "given": lambda: _("Consent given"),
    "outdated": lambda: _("Consent text changed: ask again"),
    "withdrawn": lambda: _("Consent withdrawn"),
}
KINDS: Mapping[str, Say] = {
    "participant": lambda: _("Participant"),
    "consent": lambda: _("Consent"),
    "withdrawal": lambda: _("Withdrawal"),
    "attempt": lambda: _("Recording"),
    "monitoring": lambda: _("Hours of listening"),
    "handover": lambda: _("Hand-over"),
    "log": lambda: _("Entry of the log"),
}
"""What kinds of records there are."""
SOURCES: Mapping[str, Say] = {
    "": lambda: _("The best that the phone has"),
    "UNPROCESSED": lambda: _("Unprocessed"),
    "VOICE_RECOGNITION": lambda: _("As for speech recognition"),
    "MIC": lambda: _("As for calls and voice notes"),
}
"""Ways in which a phone's microphone records, by Android's names for them."""


def rescued_words(n_rescued: int) -> str:
    """What became of a damaged file of records, as a sentence."""
    return ngettext(
        "The file of the records was damaged, and {n} record was saved from it.",
        "The file of the records was damaged, and {n} records were saved from it.",
        n_rescued,
    )


def altered_words(n_altered: int) -> str:
    """That records were altered, as a sentence."""
    return ngettext(
        "{n} record was altered outside Tussis and cannot be read.",
        "{n} records were altered outside Tussis and cannot be read.",
        n_altered,
    )


def seconds_words(duration_s: float) -> str:
    """A length of sound: 7.2 s, from two minutes on 2 min 5 s."""
    if duration_s < 120:
        return _("{seconds} s").format(seconds=f"{round(duration_s, 1):g}")
    return _("{minutes} min {seconds} s").format(minutes=int(duration_s // 60), seconds=int(duration_s % 60))


def time_words(time_s: float) -> str:
    """A moment in the device's time zone, such as 2026-11-27 14:05."""
    return f"{datetime.fromtimestamp(time_s):%Y-%m-%d %H:%M}"


def task_label(study: Study, task_id: str) -> str:
    """A task's name in the language that is shown; its id where the study no longer has it."""
    try:
        return study.task(task_id).label(shown_language())
    except TussisError:
        return task_id


def bytes_words(n_bytes: int) -> str:
    """A file's size: 12 kB, 3.4 MB."""
    if n_bytes < 1_000_000:
        return _("{size} kB").format(size=max(1, round(n_bytes / 1000)))
    return _("{size} MB").format(size=f"{n_bytes / 1e6:.1f}")
