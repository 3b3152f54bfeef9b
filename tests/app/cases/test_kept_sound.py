"""Checks what is told of sound after a kill, a full disk and an altered file, and of hours of watching."""

import numpy as np
import pytest

import app.sealed_audio
from app.cases.facts import AttemptState, CaseError, ConsentError
from app.cases.index import MONITORING
from app.sealed_audio import DiskFullError, SealedAudioError
from tests.app.opened_casebook import (
    ANSWERS,
    MICROPHONE,
    RATE_HZ,
    SOUND,
    STUDY,
    TASK_ID,
    recorded,
    reopened,
)


def test_what_a_kill_left_is_offered_with_its_seconds(casebook, participant_id):
    attempt = casebook.begin_attempt(participant_id, TASK_ID, 2, RATE_HZ, MICROPHONE)
    attempt.append(SOUND)
    attempt.mark_gap(1.5)
    assert casebook.unfinished() == []  # it is being made
    again = reopened(casebook)
    (left,) = again.unfinished()
    assert (left.participant_id, left.task_id, left.round) == (participant_id, TASK_ID, 2)
    assert (left.duration_s, left.gaps, left.state) == (2.0, ((2.0, 1.5),), AttemptState.UNFINISHED)
    finished = again.finish_attempt(left.record_id, None, None, "kept_with_reason", "battery flat")
    assert (finished.state, finished.duration_s) == (AttemptState.KEPT_WITH_REASON, 2.0)
    assert again.unfinished() == []
    again.records.close()


def test_an_attempt_in_which_no_sound_came_is_not_offered(casebook, participant_id):
    casebook.begin_attempt(participant_id, TASK_ID, 1, RATE_HZ, MICROPHONE).close()
    again = reopened(casebook)
    assert again.unfinished() == [] and again.attempts()[0].duration_s == 0
    assert not list((again.records.folder / "audio").iterdir())
    again.records.close()


@pytest.mark.parametrize("how", ["shortened", "removed", "lengthened"])
def test_sound_that_somebody_altered_is_told_and_the_others_stay(casebook, participant_id, how):
    altered, other = recorded(casebook, participant_id), recorded(casebook, participant_id, 2)
    path = casebook.records.audio_path(altered)
    content = path.read_bytes()
    if how == "removed":
        path.unlink()
    else:
        path.write_bytes(content[:-23] if how == "shortened" else content + b"\0")
    again = reopened(casebook)
    assert [one.state for one in again.attempts()] == [AttemptState.ALTERED, AttemptState.KEPT]
    assert np.array_equal(again.audio(other).read(), SOUND)
    again.records.close()


def test_a_block_altered_in_an_unfinished_recording_is_told_and_stays_told(casebook, participant_id):
    attempt = casebook.begin_attempt(participant_id, TASK_ID, 1, RATE_HZ, MICROPHONE)
    attempt.append(SOUND)
    path = casebook.records.audio_path(attempt.record_id)
    content = bytearray(path.read_bytes())
    content[-5000] ^= 1
    path.write_bytes(content)
    again = reopened(casebook)
    (found,) = again.attempts()
    assert found.state == AttemptState.ALTERED and 0 < found.duration_s < 2
    again.finish_attempt(found.record_id, None, None, "kept")
    assert again.attempt(found.record_id).state == AttemptState.ALTERED
    again.records.close()


def test_a_disk_that_fills_up_ends_the_recording_which_is_kept(casebook, participant_id, monkeypatch):
    attempt = casebook.begin_attempt(participant_id, TASK_ID, 1, RATE_HZ, MICROPHONE)
    monkeypatch.setattr(app.sealed_audio, "RESERVE_BYTES", 2**62)
    with pytest.raises(DiskFullError):
        attempt.append(SOUND)
    attempt.close()
    (left,) = casebook.unfinished()
    assert left.duration_s == 2.0 and np.array_equal(casebook.audio(left.record_id).read(), SOUND)
    with pytest.raises(DiskFullError):
        casebook.begin_attempt(participant_id, TASK_ID, 2, RATE_HZ, MICROPHONE)
    assert len(casebook.attempts()) == 1 and casebook.attempts() == reopened(casebook).attempts()


def test_hours_of_watching_are_kept_while_they_pass(casebook, participant_id):
    watching = casebook.begin_monitoring(participant_id)
    casebook.save_monitoring(watching.record_id, 3600.0, {"hours": [4]})
    casebook.save_monitoring(watching.record_id, 7200.0, {"hours": [4, 0]})
    again = reopened(casebook)
    (found,) = again.monitorings()
    assert (found.duration_s, found.results, found.sound_s) == (7200.0, {"hours": [4, 0]}, 0.0)
    assert again.withdraw(participant_id) == 1 and again.monitorings() == []
    with pytest.raises(SealedAudioError):
        watching.append(SOUND)
    again.records.close()


def test_sound_around_events_is_sealed_with_its_gaps(casebook, participant_id):
    watching = casebook.begin_monitoring(participant_id, RATE_HZ, MICROPHONE)
    watching.append(SOUND)
    watching.mark_gap(600.0)
    watching.append(SOUND)
    watching.close()
    casebook.save_monitoring(watching.record_id, 604.0, {})
    (found,) = reopened(casebook).monitorings()
    assert (found.duration_s, found.sound_s) == (604.0, 4.0)


def test_a_room_is_watched_without_a_participant_and_without_sound(casebook):
    watching = casebook.begin_monitoring()
    assert casebook.save_monitoring(watching.record_id, 60.0, {}).participant_id == ""
    with pytest.raises(CaseError):
        casebook.begin_monitoring("", RATE_HZ)
    someone = casebook.add_participant(STUDY.new_id(1), 1980, "male", ANSWERS).participant_id
    with pytest.raises(ConsentError):
        casebook.begin_monitoring(someone)
    assert len(casebook.records.all(MONITORING)) == 1
