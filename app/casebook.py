"""Knows the participants of a study, their consents and attempts, over the sealed records."""

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from app.cases.facts import (
    FINISHED_STATES,
    Attempt,
    AttemptState,
    CaseError,
    Consent,
    ConsentError,
    ConsentState,
    Monitoring,
    Participant,
    attempt_of,
    checked_person,
    checked_strokes,
    consent_of,
    monitoring_of,
    participant_of,
)
from app.cases.index import ATTEMPT, CONSENT, HANDOVER, MONITORING, PARTICIPANT, WITHDRAWAL, CaseIndex
from app.cases.kept_sound import KeptSound, OpenSound, kept_sound
from app.handover import check_receipt
from app.records import Record, Records
from app.sealed_audio import SealedAudioReader
from app.study import Study
from core.errors import TussisError

LONGEST_TEXT = 2000


class Casebook:
    """All that was recorded for a study on this phone; any thread may call.

    Parameters
    ----------
    records : Records
        Of an open vault. Every method raises `LockedError` where it was locked, and `RecordsError` where the disk takes
        nothing; then nothing was changed.
    study : Study
    clock : function
        Seconds since 1970. It is kept and shown; nothing is ordered by it.
    """

    def __init__(self, records: Records, study: Study, clock: Callable[[], float] = time.time) -> None:
        self.records, self.study = records, study
        self._clock = clock
        self._open: dict[str, OpenSound] = {}
        self._sounds: dict[str, KeptSound] = {}  # of what a kill ended: read once
        self._attempts_seen: dict[str, tuple[Record, bool, Attempt]] = {}
        self._indexed = (-1, CaseIndex([]))
        with contextlib.suppress(TussisError):  # a full disk: the next withdrawal or start goes on
            self._finish_withdrawals()

    # ---- participants and consents -------------------------------------------------------------------------------

    def participants(self, search: str = "") -> list[Participant]:
        """Those whose id holds the text, in the order in which they were added."""
        wanted = search.strip().casefold()
        return [one for one in self._index().participants.values() if wanted in one.participant_id.casefold()]

    def participant(self, participant_id: str) -> Participant:
        """One of them; CaseError where there is none."""
        found = self._index().participants.get(participant_id)
        if found is None:
            raise CaseError(f"There is no participant {participant_id} on this phone.")
        return found

    def add_participant(
        self, participant_id: str, year_of_birth: int, sex: str, answers: Mapping[str, Any]
    ) -> Participant:
        """Add somebody.

        Raises
        ------
        IdError, StudyError, CaseError
            If the id or an answer does not fit the study, or the participant is there already.
        """
        checked_id = self.study.check_id(participant_id)
        content = {
            **self._origin(),
            "participant_id": checked_id,
            **checked_person(year_of_birth, sex),
            "answers": self.study.check_answers(answers),
            "added_s": self._clock(),
        }
        if checked_id in self._index().participants:
            raise CaseError(f"The participant {checked_id} is there already.")
        return participant_of(self.records.add(PARTICIPANT, content, event="participant_added"))

    def consent_state(self, participant_id: str) -> ConsentState:
        """Whether this participant may be recorded under the study's text of today."""
        last = self._index().consents.get(participant_id)
        if last is None:
            return ConsentState.NONE
        if last.kind == WITHDRAWAL:
            return ConsentState.WITHDRAWN
        text = self.study.consent
        is_current = (last.content["version"], last.content["sha256"]) == (text.version, text.sha256)
        return ConsentState.GIVEN if is_current else ConsentState.OUTDATED

    def consent(self, participant_id: str) -> Consent | None:
        """The consent that was given last, where it was not withdrawn since."""
        last = self._index().consents.get(participant_id)
        return consent_of(last) if last is not None and last.kind == CONSENT else None

    def give_consent(self, participant_id: str, language: str, strokes: list[list[tuple[float, float]]]) -> Consent:
        """Keep a signed consent to the study's text.

        Parameters
        ----------
        participant_id : str
        language : str
            In which it was read; one of the study's.
        strokes : list of list of (x, y)
            The signature's lines, from 0 to 1.

        Raises
        ------
        ConsentError
            If it is not signed, or the study has no text in this language.
        """
        participant, text = self.participant(participant_id), self.study.consent
        if language not in self.study.languages:
            raise ConsentError(f"The study has no consent in {language}.", self.consent_state(participant_id))
        try:
            lines = checked_strokes(strokes)
        except CaseError as reason:
            raise ConsentError(str(reason), self.consent_state(participant_id)) from reason
        content = {
            **self._origin(),
            "participant_id": participant.participant_id,
            "language": language,
            "version": text.version,
            "sha256": text.sha256,
            "strokes": lines,
            "given_s": self._clock(),
        }
        return consent_of(self.records.add(CONSENT, content, event="consent_given"))

    def withdraw(self, participant_id: str) -> int:
        """Take back the consent and erase this participant's recordings for good; returns how many.

        What was handed over before is named in the withdrawal, which the next hand-over carries. An erasing that is cut
        short goes on at the next start. Call it from a thread.
        """
        participant = self.participant(participant_id)
        mine = self._index().recordings.get(participant_id, [])
        if any(record.id in self._open for record in mine):
            raise CaseError("A recording of this participant is being made; end it first.")
        content = {
            **self._origin(),
            "participant_id": participant.participant_id,
            "withdrawn_s": self._clock(),
            "erased": [record.id for record in mine],
            "handed_over": self._index().handed_over_of(participant_id),
        }
        self.records.add(WITHDRAWAL, content, event="consent_withdrawn")
        self.records.erase(*(record.id for record in mine), event="recordings_erased", n=len(mine))
        return len(mine)

    # ---- attempts ------------------------------------------------------------------------------------------------

    def begin_attempt(
        self, participant_id: str, task_id: str, round: int, sample_rate_hz: int, microphone: Mapping[str, Any]
    ) -> OpenSound:
        """Begin a recording; its record is on the disk before the first sample.

        Raises
        ------
        ConsentError
            If there is no valid consent.
        CaseError, StudyError, SealedAudioError
            If there is no such participant or task, or the disk is nearly full; then there is no attempt.
        """
        self._check_consent(participant_id)
        task = self.study.task(task_id)
        same = [one for one in self.attempts(participant_id) if (one.task_id, one.round) == (task.id, round)]
        content = {
            **self._origin(),
            "participant_id": participant_id,
            "task_id": task.id,
            "round": round,
            "number": 1 + max((attempt.number for attempt in same), default=0),
            "started_s": self._clock(),
            "state": AttemptState.UNFINISHED.value,
            "microphone": {**microphone, "sample_rate_hz": sample_rate_hz},
        }
        return self._begin_sound(self.records.add(ATTEMPT, content), sample_rate_hz)

    def finish_attempt(
        self,
        record_id: str,
        screening: Mapping[str, Any] | None,
        verdict: Mapping[str, Any] | None,
        state: str,
        reason: str = "",
    ) -> Attempt:
        """Keep an attempt, with its results, or mark it as redone; ``unfinished`` notes results before a decision.

        Raises
        ------
        CaseError
            If `state` is not one of these, the reason is missing, or an attempt that was decided becomes unfinished.
        """
        if state not in (*FINISHED_STATES, AttemptState.UNFINISHED):
            raise CaseError(f"The state is {state!r}; expected one of {', '.join(FINISHED_STATES)}.")
        if state == AttemptState.KEPT_WITH_REASON and not reason.strip():
            raise CaseError("The reason is missing.")
        record = self._get(record_id, ATTEMPT)
        if state == AttemptState.UNFINISHED and record.content.get("state") in FINISHED_STATES:
            raise CaseError("What becomes of this attempt was decided before.")
        results = {"screening": screening and dict(screening), "verdict": verdict and dict(verdict)}
        outcome = {"state": str(state), "reason": reason.strip()[:LONGEST_TEXT], "finished_s": self._clock(), **results}
        content = {**record.content, **self._sound(record).content(), **outcome}
        return self._attempt(self.records.amend(record_id, content, event="attempt_finished", state=str(state)))

    def attempts(self, participant_id: str | None = None, text: str = "", state: str | None = None) -> list[Attempt]:
        """The attempts in the order in which they were made: of one participant, with a text, in a state, or all.

        The text is looked for in the participant's id, the task, the reason and the notes.
        """
        index, wanted = self._index(), text.strip().casefold()
        found = [self._attempt(record) for record in index.attempts(participant_id)]
        if state is not None:
            found = [attempt for attempt in found if attempt.state == state]
        return [attempt for attempt in found if wanted in attempt.searched] if wanted else found

    def unfinished(self) -> list[Attempt]:
        """Attempts that were neither kept nor redone, of which some sound is there, and which are not recorded now."""
        left = [attempt for attempt in self.attempts(state=AttemptState.UNFINISHED) if attempt.duration_s > 0]
        return [attempt for attempt in left if attempt.record_id not in self._open]

    def attempt(self, record_id: str) -> Attempt:
        """One attempt; raises as `Records.get` does."""
        return self._attempt(self._get(record_id, ATTEMPT))

    def add_note(self, record_id: str, text: str) -> Attempt:
        """Add a note to an attempt; an empty one is a CaseError."""
        if not text.strip():
            raise CaseError("The note is empty.")
        content = self._get(record_id, ATTEMPT).content
        notes = [*content.get("notes", []), {"text": text.strip()[:LONGEST_TEXT], "at_s": self._clock()}]
        return self._attempt(self.records.amend(record_id, {**content, "notes": notes}, event="note_added"))

    def audio(self, record_id: str) -> SealedAudioReader:
        """The sound of an attempt or a monitoring; raises `SealedAudioError` where there is none."""
        return self.records.audio_reader(record_id)

    # ---- monitoring ----------------------------------------------------------------------------------------------

    def begin_monitoring(
        self, participant_id: str = "", sample_rate_hz: int | None = None, microphone: Mapping[str, Any] | None = None
    ) -> OpenSound:
        """Begin to watch; its record is on the disk when this returns.

        Parameters
        ----------
        participant_id : str
            "" where a room is watched; then no sound is kept.
        sample_rate_hz : int or None
            Of the sound around events; None where the study keeps nothing. Then only ``record_id`` is of use.
        """
        if participant_id or sample_rate_hz is not None:
            self._check_consent(participant_id)
        content = {
            **self._origin(),
            "participant_id": participant_id,
            "started_s": self._clock(),
            "duration_s": 0.0,
            "results": {},
            "microphone": dict(microphone or {}),
        }
        return self._begin_sound(self.records.add(MONITORING, content), sample_rate_hz)

    def save_monitoring(self, record_id: str, duration_s: float, results: Mapping[str, Any]) -> Monitoring:
        """Keep what was found so far; called as often as one likes, so that a kill loses little."""
        content = {**self._get(record_id, MONITORING).content, "duration_s": duration_s, "results": dict(results)}
        return self._monitoring(self.records.amend(record_id, content))

    def monitorings(self) -> list[Monitoring]:
        """All of them, in the order in which they began."""
        return [self._monitoring(record) for record in self.records.all(MONITORING)]

    # ---- handing over --------------------------------------------------------------------------------------------

    def mark_handed_over(self, ids: Collection[str] | None, handover_id: str) -> None:
        """Note which records a hand-over holds, None for all, as they are now.

        `ids` may also map each id to `SealedRow.sha256` of the row that was handed over: then a record that was amended
        meanwhile does not count as handed over.
        """
        rows = [row for row in self.records.sealed_rows() if ids is None or row.id in ids]
        hashes = ids if isinstance(ids, Mapping) else {row.id: row.sha256 for row in rows}
        owners = {one.id: owner for owner, mine in self._index().recordings.items() for one in mine}
        held = {row.id: {"sha256": hashes[row.id], "participant_id": owners.get(row.id, "")} for row in rows}
        content = {**self._origin(), "handover_id": handover_id, "at_s": self._clock(), "records": held}
        self.records.add(HANDOVER, content, event="handed_over", n=len(held))

    def deletable(self, handover_id: str) -> list[str]:
        """Ids of the recordings that this hand-over holds as they are now."""
        held = self._index().handovers.get(handover_id, {})
        rows = (row for row in self.records.sealed_rows() if row.kind in (ATTEMPT, MONITORING) and row.id in held)
        return [row.id for row in rows if held[row.id]["sha256"] == row.sha256 and row.id not in self._open]

    def delete_handed_over(self, handover_id: str, receipt: str) -> int:
        """Erase the recordings that a hand-over holds, once its receipt is there; returns how many.

        Participants and consents stay. What was changed since stays too. Call it from a thread.

        Raises
        ------
        CaseError
            If the receipt is another one.
        """
        if not check_receipt(self.records, handover_id, receipt):
            raise CaseError("The receipt does not belong to this hand-over.")
        ids = self.deletable(handover_id)
        self.records.erase(*ids, event="handed_over_deleted", handover_id=handover_id, n=len(ids))
        return len(ids)

    # ---- inside --------------------------------------------------------------------------------------------------

    def _index(self) -> CaseIndex:
        n_changes = self.records.n_changes  # another one after a lock, too
        if self._indexed[0] != n_changes:
            self._indexed = (n_changes, CaseIndex(self.records.all()))
        return self._indexed[1]

    def _origin(self) -> dict[str, Any]:
        """What every record says of the study under which it was made."""
        study = self.study
        return {"study_id": study.id, "study_version": study.version, "is_practice": study.is_practice}

    def _check_consent(self, participant_id: str) -> None:
        self.participant(participant_id)
        if (state := self.consent_state(participant_id)) != ConsentState.GIVEN:
            raise ConsentError(f"There is no valid consent of {participant_id}: nothing is recorded.", state)

    def _get(self, record_id: str, kind: str) -> Record:
        record = self.records.get(record_id)
        if record.kind != kind:
            raise CaseError(f"The record is of the kind {record.kind}; expected {kind}.")
        return record

    def _begin_sound(self, record: Record, sample_rate_hz: int | None) -> OpenSound:
        def when_closed(kept: KeptSound | None) -> None:
            self._open.pop(record.id, None)
            if kept is not None:
                self.records.amend(record.id, {**self.records.get(record.id).content, **kept.content()})

        try:
            writer = self.records.audio_writer(record.id, sample_rate_hz) if sample_rate_hz is not None else None
        except TussisError:
            with contextlib.suppress(TussisError):
                self.records.erase(record.id)
            raise
        self._open[record.id] = OpenSound(record.id, writer, when_closed)
        return self._open[record.id]

    def _sound(self, record: Record) -> KeptSound:
        if record.id in self._open:
            return KeptSound(duration_s=self._open[record.id].duration_s)
        if "sound" in record.content:
            return kept_sound(self.records, record)
        if record.id not in self._sounds:
            self._sounds[record.id] = kept_sound(self.records, record)
        return self._sounds[record.id]

    def _attempt(self, record: Record) -> Attempt:
        is_handed_over = self._index().is_handed_over(record)
        seen = self._attempts_seen.get(record.id)
        if seen is None or seen[0] is not record or seen[1] != is_handed_over or record.id in self._open:
            attempt = attempt_of(record, self._sound(record), is_handed_over)
            seen = self._attempts_seen[record.id] = (record, is_handed_over, attempt)
        return seen[2]

    def _monitoring(self, record: Record) -> Monitoring:
        return monitoring_of(record, self._sound(record), self._index().is_handed_over(record))

    def _finish_withdrawals(self) -> None:
        """Erase what a withdrawal that was cut short left."""
        index = self._index()
        left = [
            record.id
            for owner, sequence in index.withdrawals.items()
            for record in index.recordings.get(owner, [])
            if record.sequence < sequence
        ]
        if left:
            self.records.erase(*left, event="recordings_erased", n=len(left))
