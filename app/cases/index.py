"""Sorts the records by participant and by hand-over, so that a list of many is quick."""

from app.cases.facts import Participant, participant_of
from app.records import Record

PARTICIPANT, CONSENT, WITHDRAWAL, ATTEMPT, MONITORING, HANDOVER = (
    *("participant", "consent", "withdrawal", "attempt", "monitoring", "handover"),
)


class CaseIndex:
    """The records of one moment.

    Attributes
    ----------
    participants : dict
        By id.
    consents : dict
        Each participant's last consent or withdrawal.
    withdrawals : dict
        The sequence of each participant's last withdrawal.
    recordings : dict
        Each participant's attempts and monitorings.
    handovers : dict
        What each hand-over holds: by record's id, the hash of its row and whose it is.
    """

    def __init__(self, records: list[Record]) -> None:
        self.participants: dict[str, Participant] = {}
        self.consents: dict[str, Record] = {}
        self.withdrawals: dict[str, int] = {}
        self.recordings: dict[str, list[Record]] = {}
        self.handovers: dict[str, dict[str, dict[str, str]]] = {}
        self._handed_over: dict[str, set[str]] = {}
        self._attempts: list[Record] = []
        for record in records:
            self._take(record)

    def attempts(self, participant_id: str | None) -> list[Record]:
        """The attempts of one participant, or of all, in their order."""
        if participant_id is None:
            return self._attempts
        return [record for record in self.recordings.get(participant_id, []) if record.kind == ATTEMPT]

    def is_handed_over(self, record: Record) -> bool:
        """Whether the record was handed over as it is now."""
        return record.sealed_sha256 in self._handed_over.get(record.id, ())

    def handed_over_of(self, participant_id: str) -> list[dict[str, str]]:
        """Which recordings of a participant were handed over, and with what; also those that the phone has no more."""
        return [
            {"handover_id": handover_id, "record_id": record_id}
            for handover_id, held in self.handovers.items()
            for record_id, facts in held.items()
            if facts["participant_id"] == participant_id
        ]

    def _take(self, record: Record) -> None:
        content, owner = record.content, record.content.get("participant_id", "")
        if record.kind == PARTICIPANT:
            self.participants.setdefault(owner, participant_of(record))
        elif record.kind in (CONSENT, WITHDRAWAL):
            self.consents[owner] = record
            if record.kind == WITHDRAWAL:
                self.withdrawals[owner] = record.sequence
        elif record.kind in (ATTEMPT, MONITORING):
            self.recordings.setdefault(owner, []).append(record)
            if record.kind == ATTEMPT:
                self._attempts.append(record)
        elif record.kind == HANDOVER:
            self.handovers[content["handover_id"]] = content["records"]
            for record_id, facts in content["records"].items():
                self._handed_over.setdefault(record_id, set()).add(facts["sha256"])
