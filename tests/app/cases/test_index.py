"""Checks what counts as handed over, what may be deleted then, and what a withdrawal names."""

import pytest

from app.cases.facts import CaseError, ConsentState
from app.cases.index import WITHDRAWAL
from app.handover import write_handover
from tests.app.opened_casebook import (
    STUDY,
    recorded,
    reopened,
)
from tests.app.opened_vault import STUDY_PRIVATE


def test_a_withdrawal_names_what_was_handed_over_even_where_the_phone_has_it_no_more(casebook, participant_id):
    first, second = recorded(casebook, participant_id), recorded(casebook, participant_id, 2)
    casebook.mark_handed_over([first], "h1")
    casebook.records.erase(first)
    casebook.withdraw(participant_id)
    (withdrawal,) = casebook.records.all(WITHDRAWAL)
    assert withdrawal.content["participant_id"] == participant_id
    assert withdrawal.content["handed_over"] == [{"handover_id": "h1", "record_id": first}]
    assert withdrawal.content["erased"] == [second]


def test_what_was_handed_over_is_deleted_with_its_receipt_alone(casebook, participant_id, tmp_path):
    first, second = recorded(casebook, participant_id), recorded(casebook, participant_id, 2)
    written = write_handover(casebook.records, STUDY, tmp_path / "card")
    casebook.mark_handed_over(None, written.id)
    assert [one.handed_over for one in casebook.attempts()] == [True, True]
    casebook.add_note(second, "Changed since.")
    assert [one.handed_over for one in casebook.attempts()] == [True, False]
    right = receipt_of(written.path)
    other = receipt_of(write_handover(casebook.records, STUDY, tmp_path / "card").path)
    with pytest.raises(CaseError, match="receipt"):
        casebook.delete_handed_over(written.id, other)
    assert len(casebook.attempts()) == 2
    assert casebook.delete_handed_over(written.id, right) == 1
    again = reopened(casebook)
    assert [one.record_id for one in again.attempts()] == [second] and not again.records.audio_path(first).exists()
    assert again.consent_state(participant_id) == ConsentState.GIVEN
    again.records.close()


def receipt_of(path) -> str:
    from app.coordinator.handover_file import HandOverFile

    with HandOverFile(path, [STUDY_PRIVATE]) as file:
        return file.receipt


def test_a_record_amended_while_it_was_handed_over_does_not_count(casebook, participant_id):
    record_id = recorded(casebook, participant_id)
    as_handed_over = {row.id: row.sha256 for row in casebook.records.sealed_rows() if row.id == record_id}
    casebook.add_note(record_id, "Meanwhile.")
    casebook.mark_handed_over(as_handed_over, "h1")
    assert not casebook.attempt(record_id).handed_over and casebook.deletable("h1") == []
