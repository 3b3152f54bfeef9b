"""What a study knows of a person, as frozen values: participants, consents, attempts, monitorings."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.cases.kept_sound import KeptSound
from app.records import Record
from app.sealed_audio import ALTERED
from core.errors import TussisError

SEXES = ("female", "male", "other", "unknown")
EARLIEST_BIRTH, LATEST_BIRTH = 1900, 2100


class CaseError(TussisError):
    """Something of a participant that is not as it should be."""


class ConsentState(StrEnum):
    """Whether a participant may be recorded: only with ``GIVEN``."""

    NONE = "none"
    GIVEN = "given"
    OUTDATED = "outdated"  # the study has a newer text
    WITHDRAWN = "withdrawn"


class ConsentError(CaseError):
    """A recording without a valid consent, or a consent that is not signed; ``state`` tells which there is."""

    def __init__(self, sentence: str, state: ConsentState) -> None:
        super().__init__(sentence)
        self.state = state


class AttemptState(StrEnum):
    """What became of an attempt."""

    UNFINISHED = "unfinished"
    KEPT = "kept"
    KEPT_WITH_REASON = "kept_with_reason"
    REDONE = "redone"
    ALTERED = "altered"  # its sound is not what was recorded


FINISHED_STATES = (AttemptState.KEPT, AttemptState.KEPT_WITH_REASON, AttemptState.REDONE)


@dataclass(frozen=True)
class Participant:
    """Somebody who takes part; ``answers`` are by the id of the study's question, ``added_s`` is since 1970."""

    record_id: str
    participant_id: str
    year_of_birth: int
    sex: str
    answers: dict[str, Any]
    added_s: float
    is_practice: bool


@dataclass(frozen=True)
class Consent:
    """A signed consent; ``strokes`` are the lines of the signature, points from 0 to 1 of its field."""

    record_id: str
    participant_id: str
    language: str
    version: str
    sha256: str
    strokes: list[list[tuple[float, float]]]
    given_s: float


@dataclass(frozen=True)
class Attempt:
    """One recording of a task.

    ``number`` counts the attempts at a round from 1 on. ``gaps`` holds (at_s, lost_s). ``handed_over`` is true where it
    was handed over as it is now. ``duration_s`` of an attempt that a kill ended is what was kept.
    """

    record_id: str
    participant_id: str
    task_id: str
    round: int
    number: int
    started_s: float
    duration_s: float
    gaps: tuple[tuple[float, float], ...]
    state: AttemptState
    reason: str
    screening: dict[str, Any] | None
    verdict: dict[str, Any] | None
    microphone: dict[str, Any]
    notes: tuple[str, ...]
    handed_over: bool
    is_practice: bool

    @property
    def searched(self) -> str:
        """The text in which a search looks: id, task, reason and notes."""
        return "\n".join((self.participant_id, self.task_id, self.reason, *self.notes)).casefold()


@dataclass(frozen=True)
class Monitoring:
    """Hours of watching; ``results`` is what was found so far, ``sound_s`` how much sound around events was kept."""

    record_id: str
    participant_id: str
    started_s: float
    duration_s: float
    results: dict[str, Any]
    sound_s: float
    handed_over: bool
    is_practice: bool


def checked_person(year_of_birth: int, sex: str) -> dict[str, Any]:
    """The two as a record holds them; CaseError where one is not possible."""
    if isinstance(year_of_birth, bool) or not isinstance(year_of_birth, int):
        raise CaseError(f"The year of birth is {year_of_birth!r}; expected a whole number.")
    if not EARLIEST_BIRTH <= year_of_birth <= LATEST_BIRTH:
        raise CaseError(f"The year of birth is {year_of_birth}; expected {EARLIEST_BIRTH} to {LATEST_BIRTH}.")
    if sex not in SEXES:
        raise CaseError(f"The sex is {sex!r}; expected one of {', '.join(SEXES)}.")
    return {"year_of_birth": year_of_birth, "sex": sex}


def checked_strokes(strokes: list[list[tuple[float, float]]], at_most: int = 20_000) -> list[list[list[float]]]:
    """The lines of a signature as a record holds them; CaseError where they are none."""
    n_points = sum(len(stroke) for stroke in strokes)
    if not any(len(stroke) > 1 for stroke in strokes):
        raise CaseError("The consent is not signed.")
    if n_points > at_most:
        raise CaseError(f"The signature has {n_points} points; expected at most {at_most}.")
    if not all(0 <= x <= 1 and 0 <= y <= 1 for stroke in strokes for x, y in stroke):
        raise CaseError("The signature leaves its field.")
    return [[[round(float(x), 4), round(float(y), 4)] for x, y in stroke] for stroke in strokes]


def participant_of(record: Record) -> Participant:
    """The participant whom a record holds."""
    names = ("participant_id", "year_of_birth", "sex", "answers", "added_s", "is_practice")
    return Participant(record.id, **{name: record.content[name] for name in names})


def consent_of(record: Record) -> Consent:
    """The consent that a record holds."""
    names = ("participant_id", "language", "version", "sha256", "given_s")
    strokes = [[(x, y) for x, y in stroke] for stroke in record.content["strokes"]]
    return Consent(record.id, strokes=strokes, **{name: record.content[name] for name in names})


def attempt_of(record: Record, sound: KeptSound, handed_over: bool) -> Attempt:
    """The attempt that a record holds."""
    content = record.content
    names = ("participant_id", "task_id", "round", "number", "started_s", "microphone", "is_practice")
    return Attempt(
        record.id,
        **{name: content[name] for name in names},
        duration_s=sound.duration_s,
        gaps=sound.gaps,
        state=AttemptState.ALTERED if sound.state == ALTERED else AttemptState(content["state"]),
        reason=content.get("reason", ""),
        screening=content.get("screening"),
        verdict=content.get("verdict"),
        notes=tuple(note["text"] for note in content.get("notes", [])),
        handed_over=handed_over,
    )


def monitoring_of(record: Record, sound: KeptSound, handed_over: bool) -> Monitoring:
    """The monitoring that a record holds."""
    names = ("participant_id", "started_s", "duration_s", "results", "is_practice")
    values = {name: record.content[name] for name in names}
    return Monitoring(record.id, **values, sound_s=sound.duration_s, handed_over=handed_over)
