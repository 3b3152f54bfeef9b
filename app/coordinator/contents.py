"""Takes what a phone wrote into its records apart, field by field, for a phone may be hostile."""

from dataclasses import dataclass
from typing import Any

from app.cases.facts import EARLIEST_BIRTH, LATEST_BIRTH, SEXES, AttemptState, Participant
from app.cases.index import ATTEMPT, CONSENT, MONITORING, PARTICIPANT, WITHDRAWAL
from app.studies.study_parts import ROUND_OUTCOMES, UNJUDGED
from core.errors import TussisError
from core.json_fields import Fields, is_number
from core.process.terminal import printable

MAX_TIME_S = 4e9  # in the year 2096
MAX_WORDS, MAX_LIST, MAX_COUGHS = 2_000, 10_000, 10**6


class ContentError(TussisError):
    """A record whose content no app of Tussis wrote."""


@dataclass(frozen=True)
class Agreement:
    """A consent: to which text, in which language, when."""

    participant_id: str
    version: str
    sha256: str
    language: str
    given_s: float
    is_practice: bool


@dataclass(frozen=True)
class Withdrawal:
    """A consent that was taken back: ``record_ids`` are the recordings that have to go, wherever they are by now."""

    participant_id: str
    withdrawn_s: float
    record_ids: frozenset[str]


@dataclass(frozen=True)
class Verdict:
    """What a recording is worth; ``coughs`` is None where they could not be judged, which is never "no cough"."""

    outcome: str
    reasons: tuple[str, ...]
    coughs: int | None
    snr_db: float | None
    noise_dbfs: float | None


@dataclass(frozen=True)
class ProbeOutcome:
    """What one probe said of a recording, with its status."""

    name: str
    status: str
    decision: str | None
    score: float | None
    unit: str
    reason: str


@dataclass(frozen=True)
class Recorded:
    """An attempt at a task, or hours of monitoring (then ``task_id`` is "monitoring" and the state "kept").

    ``bundle`` is the name and the SHA-256 of the model that screened it, "" where none did.
    """

    participant_id: str
    task_id: str
    round: int
    number: int
    started_s: float
    state: str
    reason: str
    notes: tuple[str, ...]
    verdict: Verdict | None
    probes: tuple[ProbeOutcome, ...]
    bundle: tuple[str, str]
    microphone: str
    is_practice: bool


def contents_of(kind: str, content: Any, record_id: str) -> Participant | Agreement | Withdrawal | Recorded | None:
    """What a record says; None for a kind that only the phone needs.

    Raises
    ------
    ContentError
        With a sentence that names the record and the field.
    """
    readers = {
        PARTICIPANT: lambda fields: _participant(fields, record_id),
        CONSENT: _agreement,
        WITHDRAWAL: _withdrawal,
        ATTEMPT: _attempt,
        MONITORING: _monitoring,
    }
    if kind not in readers:
        return None
    if not isinstance(content, dict):
        raise ContentError(f"the record {record_id} holds no object.")
    return readers[kind](Fields(content, f"the record {record_id}", ContentError))


def _participant(fields: Fields, record_id: str) -> Participant:
    answers = fields.small_object("answers", 100)
    return Participant(
        record_id=record_id,
        participant_id=_participant_id(fields),
        year_of_birth=fields.integer("year_of_birth", EARLIEST_BIRTH, LATEST_BIRTH),
        sex=fields.one_of("sex", SEXES),
        answers={printable(key): _answer(answer) for key, answer in answers.items()},
        added_s=_time(fields, "added_s"),
        is_practice=_is_practice(fields),
    )


def _agreement(fields: Fields) -> Agreement:
    return Agreement(
        participant_id=_participant_id(fields),
        version=fields.text("version", 20),
        sha256=fields.sha256("sha256"),
        language=fields.text("language", 10),
        given_s=_time(fields, "given_s"),
        is_practice=_is_practice(fields),
    )


def _withdrawal(fields: Fields) -> Withdrawal:
    erased, handed_over = (_list(fields, key) for key in ("erased", "handed_over"))
    named = [item.get("record_id") if isinstance(item, dict) else item for item in (*erased, *handed_over)]
    if not all(isinstance(name, str) for name in named):
        fields.refuse("handed_over", "ids of records")
    return Withdrawal(_participant_id(fields), _time(fields, "withdrawn_s"), frozenset(named))


def _attempt(fields: Fields) -> Recorded:
    verdict, screening = (_object_or_none(fields, key) for key in ("verdict", "screening"))
    return Recorded(
        participant_id=_participant_id(fields),
        task_id=fields.text("task_id", 40),
        round=fields.integer("round", 0, 1000),
        number=fields.integer("number", 0, 100_000),
        started_s=_time(fields, "started_s"),
        state=fields.one_of("state", tuple(AttemptState)),
        reason=_words(fields.values.get("reason")),
        notes=_notes(fields),
        verdict=None if verdict is None else _verdict(verdict),
        probes=() if screening is None else _probes(screening),
        bundle=("", "") if screening is None else _bundle(screening),
        microphone=_microphone(fields),
        is_practice=_is_practice(fields),
    )


def _monitoring(fields: Fields) -> Recorded:
    return Recorded(
        participant_id=_participant_id(fields) if fields.values.get("participant_id") else "",
        task_id=MONITORING,
        round=1,
        number=1,
        started_s=_time(fields, "started_s"),
        state=AttemptState.KEPT.value,
        reason="",
        notes=(),
        verdict=None,
        probes=(),
        bundle=("", ""),
        microphone=_microphone(fields),
        is_practice=_is_practice(fields),
    )


def _verdict(fields: Fields) -> Verdict:
    outcome = fields.one_of("outcome", ROUND_OUTCOMES)
    coughs = fields.values.get("coughs")
    is_count = isinstance(coughs, int) and not isinstance(coughs, bool) and 0 <= coughs <= MAX_COUGHS
    return Verdict(
        outcome=outcome,
        reasons=tuple(_words(reason) for reason in _list(fields, "reasons")),
        coughs=coughs if is_count and outcome != UNJUDGED else None,
        snr_db=_number_or_none(fields, "snr_db"),
        noise_dbfs=_number_or_none(fields, "noise_dbfs"),
    )


def _probes(screening: Fields) -> tuple[ProbeOutcome, ...]:
    found = []
    for n, item in enumerate(_list(screening, "probes")):
        fields = Fields(item if isinstance(item, dict) else {}, screening.source, ContentError, f"probes[{n}].")
        decision = fields.values.get("decision")
        found.append(
            ProbeOutcome(
                name=fields.text("name", 100),
                status=fields.text("status", 40),
                decision=decision if isinstance(decision, str) and decision.isprintable() else None,
                score=_number_or_none(fields, "score"),
                unit=_words(fields.values.get("unit")),
                reason=_words(fields.values.get("reason")),
            )
        )
    return tuple(found)


def _bundle(screening: Fields) -> tuple[str, str]:
    if not isinstance(screening.values.get("model"), dict):
        return "", ""
    model = screening.object("model")
    return model.text("bundle", 100), model.sha256("sha256")


def _microphone(fields: Fields) -> str:
    microphone = fields.values.get("microphone")
    return _words(microphone.get("name")) if isinstance(microphone, dict) else ""


def _notes(fields: Fields) -> tuple[str, ...]:
    notes = _list(fields, "notes")
    return tuple(_words(note.get("text") if isinstance(note, dict) else note) for note in notes)


def _participant_id(fields: Fields) -> str:
    given = fields.text("participant_id", 20)
    if not given.isascii():
        fields.refuse("participant_id", "letters, digits and hyphens")
    return given


def _is_practice(fields: Fields) -> bool:
    return fields.values.get("is_practice") is not False  # in doubt it is practice


def _time(fields: Fields, key: str) -> float:
    value = fields.values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_TIME_S:
        fields.refuse(key, f"a time from 0 to {MAX_TIME_S:g} s")
    return float(value)


def _number_or_none(fields: Fields, key: str) -> float | None:
    value = fields.values.get(key)
    return float(value) if is_number(value) else None


def _object_or_none(fields: Fields, key: str) -> Fields | None:
    return None if fields.values.get(key) is None else fields.object(key)


def _list(fields: Fields, key: str) -> list[Any]:
    """A list; a missing one is empty."""
    value = fields.values.get(key, [])
    if not isinstance(value, list) or len(value) > MAX_LIST:
        fields.refuse(key, f"a list of at most {MAX_LIST} items")
    return value


def _answer(answer: Any) -> str | float:
    return answer if is_number(answer) else _words(answer)


def _words(value: Any) -> str:
    """Text from a phone in one printable line; everything else is none."""
    return printable(value)[:MAX_WORDS] if isinstance(value, str) else ""
