"""Watching for hours: what is counted, what is kept, what is told at a fault, and what a kill leaves."""

import dataclasses
import time

import numpy as np
import pytest

from app import monitoring_session
from app.casebook import Casebook
from app.devices.microphone import Fault
from app.monitoring_session import MonitoringSession
from app.storage.database import RecordsError
from core.demonstration import synthesize_demonstration
from core.errors import BundleError
from core.screener import Screener
from tests.app.fake_microphones import ScriptedMicrophone
from tests.app.main_thread import MainThread
from tests.app.opened_casebook import STUDY, consented

WAIT_S = 30.0
KEEPING = dataclasses.replace(STUDY, monitoring_keeps="around_events")


@pytest.fixture
def main_thread():
    return MainThread()


@pytest.fixture
def session_with(casebook, main_thread, default_bundle):
    screener, made = Screener(default_bundle), []

    def make(microphone, study=STUDY, participant_id="", load=lambda: screener):
        session = MonitoringSession(casebook, study, load, microphone, participant_id, main_thread.schedule)
        session.subscribe(main_thread.follow)
        made.append(session)
        return session

    yield make
    for session in made:
        session.stop()
        deadline_s = time.monotonic() + WAIT_S
        while session.is_running and time.monotonic() < deadline_s:
            time.sleep(0.02)


@pytest.fixture
def coughing(fake_microphone):
    """Twenty seconds, with three coughs in the first six and three in the last six."""
    hiss = 0.001 * np.random.default_rng(0).standard_normal(8 * 16_000)
    sound = np.concatenate([synthesize_demonstration(), hiss, synthesize_demonstration()])
    return fake_microphone(sound, 16_000, paced=True)


def watched(session, main_thread, duration_s):
    session.start()
    main_thread.until(lambda state: state.duration_s >= duration_s or state.message is not None)
    session.stop()
    return main_thread.until_step("ended")


@pytest.mark.long
def test_coughs_are_counted_and_no_sound_is_kept_where_the_study_keeps_nothing(
    session_with, main_thread, casebook, coughing
):
    state = watched(session_with(coughing), main_thread, 19.0)
    assert (state.coughs, len(state.hours), state.message, state.gaps) == (6, 1, None, 0)
    (monitoring,) = casebook.monitorings()
    assert monitoring.results["hours"][0]["coughs"] == 6
    assert (monitoring.duration_s, monitoring.sound_s) == (state.duration_s, 0.0)
    assert list((casebook.records.folder / "audio").iterdir()) == []
    steps = list(dict.fromkeys(state.step for state in main_thread.states))
    assert steps[:3] == ["ready", "waiting_for_sound", "watching"]
    assert steps[-1] == "ended"


@pytest.mark.long
def test_sound_around_coughs_is_kept_where_the_study_says_so(session_with, main_thread, casebook, coughing):
    session = session_with(coughing, KEEPING, consented(casebook))
    state = watched(session, main_thread, 19.0)
    (monitoring,) = casebook.monitorings()
    reader = casebook.audio(monitoring.record_id)
    kept = reader.read()
    assert 9.0 < len(kept) / 16_000 < 14.0
    assert reader.state == "complete"
    assert len(kept) / 16_000 == monitoring.sound_s < state.duration_s
    assert 0.69 * 32768 < np.abs(kept).max() < 0.71 * 32768  # the coughs
    assert any(5.0 < lost_s < 9.0 for _, lost_s in reader.gaps)


@pytest.mark.long
def test_a_rooms_sound_is_never_kept(session_with, main_thread, casebook, coughing):
    watched(session_with(coughing, KEEPING), main_thread, 3.0)
    assert list((casebook.records.folder / "audio").iterdir()) == []


@pytest.mark.long
def test_a_fault_is_told_and_one_tap_goes_on_with_the_gap_counted(session_with, main_thread):
    session = session_with(ScriptedMicrophone(script={50: "unplug", 51: "sound"}))
    session.start()
    assert main_thread.until_step("stopped").message == Fault.UNPLUGGED.value
    assert session.is_running
    session.start()
    main_thread.until(lambda state: state.step == "watching" and state.duration_s > 2.0)
    session.stop()
    state = main_thread.until_step("ended")
    assert state.gaps == 1
    assert not session.is_running


@pytest.mark.long
def test_what_was_found_so_far_is_saved_meanwhile(session_with, main_thread, casebook, monkeypatch, coughing):
    monkeypatch.setattr(monitoring_session, "SAVED_EVERY_S", 1.0)
    session = session_with(coughing)
    session.start()
    main_thread.until(lambda state: state.coughs == 3 and state.duration_s > 8.0)
    (monitoring,) = casebook.monitorings()
    assert monitoring.results["hours"][0]["coughs"] == 3
    assert monitoring.duration_s > 5.0
    session.stop()
    main_thread.until_step("ended")


def test_without_a_model_it_is_told_that_nothing_is_counted(session_with, main_thread):
    def load():
        raise BundleError("altered")

    session = session_with(ScriptedMicrophone(), load=load)
    session.start()
    state = main_thread.until(lambda state: state.message is not None)
    assert (state.message, state.coughs) == ("not_screened", None)


def test_results_that_cannot_be_stored_are_told(session_with, main_thread, monkeypatch):
    def refuse(*_):
        raise RecordsError("The disk is full.")

    monkeypatch.setattr(Casebook, "save_monitoring", refuse)
    state = watched(session_with(ScriptedMicrophone()), main_thread, 1.0)
    assert state.message == "not_stored"


def test_no_call_of_the_main_thread_waits(session_with):
    microphone = ScriptedMicrophone(starts=("hang",), stops=("hang",))
    session = session_with(microphone)
    for call in (session.start, session.start, session.stop):
        begun_s = time.monotonic()
        call()
        assert time.monotonic() - begun_s < 0.5
    microphone.released.set()
