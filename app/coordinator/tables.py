"""Writes what was received as tables: participants, answers, recordings and withdrawals, one CSV file each."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.cases.facts import Participant
from app.cases.index import ATTEMPT, MONITORING
from app.coordinator.contents import (
    Agreement,
    ContentError,
    Recorded,
    Withdrawal,
    contents_of,
)
from app.coordinator.received import FACTS_ENDING, SOUND_FOLDER, KeptRecord, Received, in_order
from app.study import Study
from core.files import write_atomically

RECORDING_SCHEMA = "tussis.recording/1"
COLUMNS = {
    "participants": (
        *("participant_id", "year_of_birth", "sex", "added_utc", "consent", "consent_version", "consent_language"),
        *("consent_sha256", "consent_utc", "withdrawn_utc", "is_practice", "study_version", "record_id"),
    ),
    "answers": ("participant_id", "question_id", "question", "answer", "answer_label", "record_id"),
    "recordings": (
        *("recording_id", "participant_id", "task_id", "round", "attempt", "state", "reason", "started_utc", "sound"),
        *("file", "duration_s", "sample_rate_hz", "gaps", "outcome", "outcome_reasons", "coughs", "snr_db"),
        *("noise_dbfs", "bundle", "model_sha256", "microphone", "notes", "is_practice", "study_version"),
        *("handover_id", "wav_sha256"),
    ),
    "withdrawals": ("participant_id", "withdrawn_utc", "recording_id", "was_received", "erased_utc"),
}
Row = dict[str, Any]
Opened = list[tuple[KeptRecord, Any]]


def write_tables(received: Received) -> None:
    """Write all tables anew, and the full facts of each recording beside its sound; OutputError where that fails."""
    opened = opened_records(received)
    tables = {
        "participants": _participants(opened),
        "answers": _answers(opened, received.study),
        "recordings": _recordings(opened),
        "withdrawals": _withdrawals(opened, received),
    }
    for name, rows in tables.items():
        write_atomically(received.folder / f"{name}.csv", csv_text(COLUMNS[name], rows))
    for record, _ in opened:
        if record.kind in (ATTEMPT, MONITORING):
            _write_facts(received.folder / SOUND_FOLDER / f"{record.id}{FACTS_ENDING}", record)


def opened_records(received: Received) -> Opened:
    """Every record that says something to a study, with what it says, in the phones' order."""
    opened = []
    for record in in_order(received.records.values()):
        try:
            said = contents_of(record.kind, record.content, record.id)
        except ContentError:  # it was named when it was received
            continue
        if said is not None:
            opened.append((record, said))
    return opened


def csv_text(columns: tuple[str, ...], rows: Iterator[Row]) -> str:
    """A CSV file as text; what a spreadsheet would run as a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def utc(seconds: float | None) -> str:
    """A time as 2026-11-27T14:03:05Z; "" where there is none."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def last_consents(opened: Opened) -> dict[str, Agreement | Withdrawal]:
    """Each participant's last consent or withdrawal; of two phones, by their clocks."""
    found = [said for _, said in opened if isinstance(said, Agreement | Withdrawal)]
    return {said.participant_id: said for said in sorted(found, key=_said_at)}


def _said_at(said: Agreement | Withdrawal) -> float:
    return said.given_s if isinstance(said, Agreement) else said.withdrawn_s


def _participants(opened: Opened) -> Iterator[Row]:
    consents = last_consents(opened)
    texts = {said.participant_id: said for _, said in opened if isinstance(said, Agreement)}
    for record, said in opened:
        if not isinstance(said, Participant):
            continue
        last, text = consents.get(said.participant_id), texts.get(said.participant_id)
        row = {"consent": "none" if last is None else "given" if isinstance(last, Agreement) else "withdrawn"}
        if text:
            row |= {"consent_version": text.version, "consent_language": text.language}
            row |= {"consent_sha256": text.sha256, "consent_utc": utc(text.given_s)}
        yield row | {
            "participant_id": said.participant_id,
            "year_of_birth": said.year_of_birth,
            "sex": said.sex,
            "added_utc": utc(said.added_s),
            "withdrawn_utc": utc(last.withdrawn_s) if isinstance(last, Withdrawal) else "",
            "is_practice": said.is_practice,
            "study_version": record.study_version,
            "record_id": record.id,
        }


def _answers(opened: Opened, study: Study) -> Iterator[Row]:
    questions, first = {question.id: question for question in study.questions}, study.languages[0]
    for record, said in opened:
        for key, answer in said.answers.items() if isinstance(said, Participant) else ():
            question = questions.get(key)
            labels = {choice.id: choice.label(first) for choice in question.choices} if question else {}
            yield {
                "participant_id": said.participant_id,
                "question_id": key,
                "question": question.label(first) if question else "",
                "answer": answer,
                "answer_label": labels.get(answer, ""),
                "record_id": record.id,
            }


def _recordings(opened: Opened) -> Iterator[Row]:
    for record, said in opened:
        if isinstance(said, Recorded):
            yield _recorded(record, said) | _judged(said)


def _recorded(record: KeptRecord, said: Recorded) -> Row:
    sound = record.sound
    row = {"sound": "none"} if sound is None else {"sound": sound.state, "file": sound.file}
    if sound and sound.file:
        row |= {"duration_s": round(sound.duration_s, 3), "sample_rate_hz": sound.sample_rate_hz}
        row |= {"gaps": json.dumps(sound.gaps) if sound.gaps else "", "wav_sha256": sound.sha256}
    return row | {
        "recording_id": record.id,
        "participant_id": said.participant_id,
        "task_id": said.task_id,
        "round": said.round,
        "attempt": said.number,
        "state": said.state,
        "reason": said.reason,
        "started_utc": utc(said.started_s),
        "bundle": said.bundle[0],
        "model_sha256": said.bundle[1],
        "microphone": said.microphone,
        "notes": " | ".join(said.notes),
        "is_practice": said.is_practice,
        "study_version": record.study_version,
        "handover_id": record.handover_id,
    }


def _judged(said: Recorded) -> Row:
    verdict = said.verdict
    if verdict is None:
        return {"outcome": "not_screened"}
    return {
        "outcome": verdict.outcome,
        "outcome_reasons": " ".join(verdict.reasons),
        "coughs": verdict.coughs,
        "snr_db": verdict.snr_db,
        "noise_dbfs": verdict.noise_dbfs,
    }


def _withdrawals(opened: Opened, received: Received) -> Iterator[Row]:
    for _, said in opened:
        for record_id in sorted(said.record_ids) if isinstance(said, Withdrawal) else ():
            erased_s = received.withdrawn.get(record_id, {}).get("erased_s")
            yield {
                "participant_id": said.participant_id,
                "withdrawn_utc": utc(said.withdrawn_s),
                "recording_id": record_id,
                "was_received": erased_s is not None,
                "erased_utc": utc(erased_s),
            }


def _write_facts(path: Path, record: KeptRecord) -> None:
    """Everything that a phone told of a recording, the whole screening among it."""
    facts = {"schema": RECORDING_SCHEMA, "id": record.id, "kind": record.kind, "content": record.content}
    text = json.dumps(facts, indent=1) + "\n"
    if not (path.exists() and path.read_text(encoding="utf-8") == text):
        write_atomically(path, text)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    is_formula = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if is_formula else value
