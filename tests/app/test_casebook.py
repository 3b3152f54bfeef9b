"""Checks participants, consent, attempts, withdrawal and what was handed over, on real sealed records."""

import dataclasses
import sqlite3

import numpy as np
import pytest

from app.cases.facts import AttemptState, CaseError, ConsentError, ConsentState
from app.cases.index import ATTEMPT
from app.records import FILE_NAME
from app.sealed_audio import COMPLETE
from app.storage.database import RecordsError
from app.studies.participant_id import IdError
from app.study import ConsentText, StudyError
from app.vault import LockedError
from tests.app.opened_casebook import (
    ANSWERS,
    MICROPHONE,
    RATE_HZ,
    SOUND,
    STROKES,
    STUDY,
    TASK_ID,
    recorded,
    reopened,
)
from tests.app.opened_vault import PASSCODE

YEAR_S = 365 * 86400.0


# ---- participants ------------------------------------------------------------------------------------------------


def test_a_participant_is_found_again_after_a_restart(casebook):
    first = casebook.add_participant(STUDY.new_id(17).lower(), 1980, "female", ANSWERS)
    second = casebook.add_participant(STUDY.new_id(234), 2001, "unknown", ANSWERS)
    assert first.participant_id == STUDY.new_id(17) and first.is_practice and first.answers == ANSWERS
    again = reopened(casebook)
    assert again.participants() == [first, second]
    assert again.participants(STUDY.new_id(234)[:-2].lower()) == [second]
    assert again.participants("nobody") == []
    assert again.participant(STUDY.new_id(17)) == first
    again.records.close()


def test_a_typing_error_or_an_impossible_answer_adds_nobody(casebook, participant_id):
    good = (STUDY.new_id(5), 1980, "female", ANSWERS)
    wrong_digit = good[0][:-1] + str((int(good[0][-1]) + 1) % 10)
    for change, error in (
        ({0: wrong_digit}, IdError),
        ({0: participant_id}, CaseError),
        ({1: 1899}, CaseError),
        ({1: True}, CaseError),
        ({2: "Female"}, CaseError),
        ({3: {}}, StudyError),
        ({3: {"unknown": 1}}, StudyError),
    ):
        with pytest.raises(error):
            casebook.add_participant(*(change.get(place, value) for place, value in enumerate(good)))
    assert len(casebook.participants()) == 1
    with pytest.raises(CaseError, match="no participant"):
        casebook.participant(good[0])


# ---- consent -----------------------------------------------------------------------------------------------------


def test_nothing_is_recorded_without_a_consent(casebook):
    someone = casebook.add_participant(STUDY.new_id(1), 1980, "male", ANSWERS).participant_id
    assert casebook.consent_state(someone) == ConsentState.NONE
    with pytest.raises(ConsentError) as caught:
        casebook.begin_attempt(someone, TASK_ID, 1, RATE_HZ, MICROPHONE)
    assert caught.value.state == ConsentState.NONE
    assert casebook.attempts() == [] and not list((casebook.records.folder / "audio").iterdir())


def test_a_consent_keeps_the_texts_version_and_hash_and_the_signature(casebook, participant_id):
    consent = reopened(casebook).consent(participant_id)
    assert (consent.version, consent.sha256) == (STUDY.consent.version, STUDY.consent.sha256)
    assert (consent.language, consent.strokes) == ("sw", STROKES)


def test_a_consent_that_is_not_signed_or_in_no_language_of_the_study_is_refused(casebook, participant_id):
    for language, strokes in (("sw", []), ("sw", [[(0.5, 0.5)]]), ("sw", [[(0, 0), (1.1, 0)]]), ("xx", STROKES)):
        with pytest.raises(ConsentError):
            casebook.give_consent(participant_id, language, strokes)


def test_a_new_text_asks_again(casebook, participant_id):
    text = STUDY.consent
    newer = dataclasses.replace(STUDY, consent=ConsentText("2", "0" * 64, text.text))
    again = reopened(casebook, newer)
    assert again.consent_state(participant_id) == ConsentState.OUTDATED
    with pytest.raises(ConsentError):
        again.begin_attempt(participant_id, TASK_ID, 1, RATE_HZ, MICROPHONE)
    again.give_consent(participant_id, "en", STROKES)
    assert again.consent_state(participant_id) == ConsentState.GIVEN
    again.records.close()


def test_a_clock_set_back_a_year_does_not_bring_an_earlier_consent_back(casebook, participant_id):
    casebook._clock.now_s -= YEAR_S
    casebook.withdraw(participant_id)
    assert reopened(casebook).consent_state(participant_id) == ConsentState.WITHDRAWN


# ---- attempts ----------------------------------------------------------------------------------------------------


def test_an_attempt_is_kept_with_its_results_and_its_sound(casebook, participant_id):
    record_id = recorded(casebook, participant_id)
    again = reopened(casebook)
    attempt = again.attempt(record_id)
    assert (attempt.state, attempt.duration_s, attempt.gaps) == (AttemptState.KEPT, 2.0, ())
    assert (attempt.screening, attempt.verdict) == ({"n_coughs": 3}, {"outcome": "good"})
    assert attempt.microphone == {**MICROPHONE, "sample_rate_hz": RATE_HZ} and attempt.is_practice
    reader = again.audio(record_id)
    assert np.array_equal(reader.read(), SOUND) and reader.state == COMPLETE
    again.records.close()


def test_the_row_is_there_before_the_first_sample(casebook, participant_id):
    attempt = casebook.begin_attempt(participant_id, TASK_ID, 1, RATE_HZ, MICROPHONE)
    assert [row.id for row in casebook.records.sealed_rows() if row.kind == ATTEMPT] == [attempt.record_id]
    assert attempt.n_samples == 0
    attempt.close()


def test_all_attempts_stay_and_count_by_round(casebook, participant_id):
    ids = [
        recorded(casebook, participant_id, round, state) for round, state in ((1, "redone"), (1, "kept"), (2, "kept"))
    ]
    found = casebook.attempts(participant_id)
    assert [(one.record_id, one.round, one.number) for one in found] == [(ids[0], 1, 1), (ids[1], 1, 2), (ids[2], 2, 1)]
    assert [one.record_id for one in casebook.attempts(state="redone")] == ids[:1]


def test_an_attempt_is_kept_with_a_reason_or_not_at_all(casebook, participant_id):
    record_id = recorded(casebook, participant_id, state="kept_with_reason", reason="too weak to cough")
    assert casebook.attempt(record_id).reason == "too weak to cough"
    for state, reason in (("kept_with_reason", " "), ("unfinished", ""), ("altered", ""), ("lost", "")):
        with pytest.raises(CaseError):
            casebook.finish_attempt(record_id, None, None, state, reason)


def test_a_note_is_found_and_one_without_words_refused(casebook, participant_id):
    first, second = recorded(casebook, participant_id), recorded(casebook, participant_id, 2)
    casebook.add_note(first, " Wore a mask. ")
    casebook.add_note(first, "Ate before.")
    assert casebook.attempt(first).notes == ("Wore a mask.", "Ate before.")
    assert [one.record_id for one in casebook.attempts(text="MASK")] == [first]
    assert [one.record_id for one in casebook.attempts(text=participant_id)] == [first, second]
    assert casebook.attempts("somebody else", "mask") == []
    with pytest.raises(CaseError):
        casebook.add_note(first, "  ")


def test_an_unknown_task_or_record_is_one_sentence(casebook, participant_id):
    with pytest.raises(StudyError):
        casebook.begin_attempt(participant_id, "absent", 1, RATE_HZ, MICROPHONE)
    with pytest.raises(RecordsError, match="not there"):
        casebook.attempt("absent")
    with pytest.raises(CaseError, match="kind"):
        casebook.attempt(casebook.participant(participant_id).record_id)


def test_a_locked_casebook_tells_nothing(casebook, participant_id):
    recorded(casebook, participant_id)
    assert casebook.attempts()
    casebook.records._vault.lock()
    for call in (casebook.attempts, casebook.participants, casebook.unfinished, casebook.monitorings):
        with pytest.raises(LockedError):
            call()
    casebook.records._vault.unlock(PASSCODE)
    assert len(casebook.attempts()) == 1


# ---- withdrawal --------------------------------------------------------------------------------------------------


def test_a_withdrawal_erases_the_recordings_of_one_participant_for_good(casebook, participant_id):
    other = casebook.add_participant(STUDY.new_id(99), 1990, "other", ANSWERS).participant_id
    casebook.give_consent(other, "en", STROKES)
    gone = [recorded(casebook, participant_id, round) for round in (1, 2)]
    stays = recorded(casebook, other)
    secrets = [row.wrapped_for_study for row in casebook.records.sealed_rows() if row.id in gone]
    assert casebook.withdraw(participant_id) == 2
    assert casebook.consent_state(participant_id) == ConsentState.WITHDRAWN
    assert casebook.consent(participant_id) is None
    content = b"".join(path.read_bytes() for path in casebook.records.folder.rglob("*") if path.is_file())
    assert not any(secret in content for secret in secrets)
    again = reopened(casebook)
    assert [one.record_id for one in again.attempts()] == [stays]
    assert [path.stem for path in (again.records.folder / "audio").iterdir()] == [stays]
    with pytest.raises(ConsentError):
        again.begin_attempt(participant_id, TASK_ID, 1, RATE_HZ, MICROPHONE)
    again.give_consent(participant_id, "en", STROKES)
    recorded(again, participant_id)
    assert len(reopened(again).attempts(participant_id)) == 1


def test_a_withdrawal_that_was_cut_short_is_finished_at_the_next_start(casebook, participant_id, monkeypatch):
    gone = recorded(casebook, participant_id)

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(casebook.records, "erase", killed)
    with pytest.raises(KeyboardInterrupt):
        casebook.withdraw(participant_id)
    again = reopened(casebook)
    assert again.consent_state(participant_id) == ConsentState.WITHDRAWN
    assert again.attempts() == [] and not again.records.audio_path(gone).exists()
    again.records.close()


def test_nobody_withdraws_in_the_middle_of_a_recording(casebook, participant_id):
    attempt = casebook.begin_attempt(participant_id, TASK_ID, 1, RATE_HZ, MICROPHONE)
    with pytest.raises(CaseError, match="being made"):
        casebook.withdraw(participant_id)
    attempt.close()
    assert casebook.withdraw(participant_id) == 1


# ---- the log ------------------------------------------------------------------------------------------


def test_the_log_tells_the_day_and_holds(casebook, participant_id):
    casebook.add_note(recorded(casebook, participant_id), "A note.")
    casebook.withdraw(participant_id)
    events = [entry.content["event"] for entry in casebook.records.all("log")]
    assert events == [
        *("participant_added", "consent_given", "attempt_finished", "note_added"),
        *("consent_withdrawn", "recordings_erased"),
    ]
    assert casebook.records.check_log() == 6


def test_no_word_of_a_day_is_readable_in_the_file(casebook, participant_id):
    casebook.add_note(recorded(casebook, participant_id), "Wore a mask in the courtyard.")
    casebook.records.close()
    rows = sqlite3.connect(casebook.records.folder / FILE_NAME).execute("SELECT id, kind FROM records").fetchall()
    assert {kind for _, kind in rows} == {"participant", "consent", "attempt", "log"}
    content = b"".join(path.read_bytes() for path in casebook.records.folder.rglob("*") if path.is_file())
    for text in (participant_id, "mask", "1980", "female", "built in", "good"):
        assert text.encode() not in content
