"""A participant's tasks from the first tap to the last decision, whatever the microphone, the model and the disk do."""

import threading
import time

import numpy as np
import pytest

from app.casebook import Casebook
from app.coach import Advice
from app.devices.microphone import Fault
from app.recording_session import RecordingSession
from app.sealed_audio import DiskFullError, SealedAudioWriter
from core.demonstration import synthesize_demonstration
from core.errors import BundleError
from core.screener import Screener
from tests.app.fake_microphones import ScriptedMicrophone
from tests.app.main_thread import MainThread
from tests.app.opened_casebook import RATE_HZ, SOUND, STUDY

WAIT_S = 30.0


@pytest.fixture
def main_thread():
    return MainThread()


def no_model():
    raise BundleError("model.tflite was altered")


@pytest.fixture
def session_with(casebook, main_thread, participant_id):
    made = []

    def make(microphone, load=no_model) -> RecordingSession:
        session = RecordingSession(casebook, STUDY, load, microphone, participant_id, main_thread.schedule)
        session.subscribe(main_thread.follow)
        made.append((session, microphone))
        return session

    yield make
    for session, microphone in made:
        session.abandon()
        getattr(microphone, "released", threading.Event()).set()
        assert session.wait(WAIT_S)


@pytest.fixture
def coughs_microphone(fake_microphone):
    """Ten seconds of the demonstration's coughs, in real time."""
    waveform = np.concatenate([synthesize_demonstration(), synthesize_demonstration()])[: 10 * 16_000]
    return fake_microphone(waveform, 16_000, paced=True)


def without_time_and_place(screening):
    recording = {key: value for key, value in screening["recording"].items() if key not in ("path", "sha256")}
    return {**screening, "recording": recording, "timing_ms": None}


def at_coughs(session, main_thread):
    """Leave the room noise out."""
    session.next_task()
    return main_thread.until(lambda state: state.task.id == "coughs")


@pytest.mark.long
def test_a_round_of_coughs_is_recorded_counted_judged_and_kept(
    session_with, main_thread, casebook, coughs_microphone, default_bundle
):
    screener = Screener(default_bundle)
    session = session_with(coughs_microphone, lambda: screener)
    at_coughs(session, main_thread)
    session.start()
    state = main_thread.until_step("decide")
    steps = list(dict.fromkeys(each.step for each in main_thread.states))
    # Judging may be over before the main thread looks.
    assert [step for step in steps if step != "judging"] == ["ready", "waiting_for_sound", "recording", "decide"]
    recorded = [each for each in main_thread.states if each.step == "recording"]
    assert state.elapsed_s == 10.0
    counts = [each.coughs for each in recorded]
    assert counts[0] == 0 and max(counts) >= 3
    assert [each.n_columns for each in recorded] == sorted(each.n_columns for each in recorded)
    assert len(session.columns_from(state.n_columns - 20)) == 20
    assert (state.verdict.outcome, state.verdict.coughs, state.message, state.gaps) == ("good", 5, None, 0)
    reader = casebook.audio(state.record_id)
    kept = [block.astype(np.float32) / 32768 for block in reader.blocks()]
    again = screener.screen_blocks(kept, 16_000, "exported").to_json()
    assert without_time_and_place(state.screening) == without_time_and_place(again)
    session.keep()
    state = main_thread.until_step("ready")
    (attempt,) = casebook.attempts()
    assert (attempt.state, attempt.verdict["coughs"], attempt.screening["cough_count"]) == ("kept", 5, 5)
    assert (state.task.id, state.round, state.attempt) == ("coughs", 2, 1)
    assert (session.n_steps, session.n_done) == (7, 2)
    assert attempt.microphone == {"name": "from memory", "sample_rate_hz": 16_000}
    assert (attempt.duration_s, attempt.gaps, attempt.number) == (10.0, (), 1)


@pytest.mark.parametrize(("colour", "snr_db"), [(0.0, -16.0), (1.0, -10.0)])
def test_coughs_under_noise_could_not_be_judged_and_are_never_no_cough(
    session_with, main_thread, fake_microphone, default_bundle, colour, snr_db
):
    screener = Screener(default_bundle)
    session = session_with(fake_microphone(under_noise(colour, snr_db), 16_000), lambda: screener)
    at_coughs(session, main_thread)
    session.start()
    state = main_thread.until_step("decide")
    assert (state.verdict.outcome, state.verdict.coughs, state.coughs) == ("could_not_be_judged", None, None)
    assert state.verdict.reasons[0] in ("too_noisy", "nothing_stood_out")


def under_noise(colour: float, snr_db: float) -> np.ndarray:
    """The demonstration's coughs in noise whose spectrum falls with frequency to the power of `colour`."""
    coughs = np.concatenate([synthesize_demonstration(), synthesize_demonstration()])[: 10 * 16_000]
    spectrum = np.fft.rfft(np.random.default_rng(5).standard_normal(len(coughs)))
    noise = np.fft.irfft(spectrum / np.maximum(20.0, np.fft.rfftfreq(len(coughs), 1 / 16_000)) ** colour)
    loudest = np.sqrt(np.convolve(np.square(coughs), np.full(1600, 1 / 1600), "valid").max())
    mixed = coughs + noise * (loudest / noise.std() * 10 ** (-snr_db / 20))
    return 0.9 * mixed / np.abs(mixed).max()


@pytest.mark.long
def test_redo_and_keep_with_a_reason_leave_all_attempts(session_with, main_thread, casebook):
    session = session_with(ScriptedMicrophone())
    for number, decide in enumerate((session.redo, lambda: session.keep_with_reason("unable")), start=1):
        state = main_thread.until(lambda state, number=number: (state.step, state.attempt) == ("ready", number))
        assert (state.task.id, state.round) == ("room_noise", 1)
        session.start()
        main_thread.until_step("decide")
        decide()
    main_thread.until(lambda state: state.task.id == "coughs")
    assert [(attempt.state, attempt.reason) for attempt in casebook.attempts()] == [
        ("redone", ""), ("kept_with_reason", "unable"),
    ]  # fmt: skip


@pytest.mark.long
def test_without_a_model_a_recording_is_kept_and_not_judged(session_with, main_thread, casebook):
    session = session_with(ScriptedMicrophone(), no_model)
    session.start()
    state = main_thread.until_step("decide")
    assert (state.verdict.outcome, state.verdict.reasons) == ("could_not_be_judged", ("not_screened",))
    assert (state.screening, state.elapsed_s) == (None, 3.0)
    assert len(casebook.audio(state.record_id).read()) == 48_000


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"starts": ("missing", "ok")}, Fault.MISSING),
        ({"starts": ("refused", "ok")}, Fault.REFUSED),
        ({"starts": ("hang", "ok")}, Fault.HUNG),
        ({"script": {40: "hang", 41: "sound"}}, Fault.NO_SOUND),
        ({"script": {40: "unplug", 41: "sound"}}, Fault.UNPLUGGED),
        ({"script": {40: "nan", 80: "sound"}}, Fault.NO_NUMBERS),
        ({"script": {40: "zeros", 200: "sound"}}, Fault.SILENT),
        ({"delivers_hz": 44_100, "starts": ("ok", 44_100)}, Fault.OTHER_RATE),
    ],
)
def test_at_a_fault_the_session_stands_still_says_why_and_goes_on_by_one_tap(
    session_with, main_thread, casebook, options, fault
):
    session = session_with(ScriptedMicrophone(**options))
    at_coughs(session, main_thread)
    session.start()
    state = main_thread.until_step("stopped")
    assert state.message == fault.value
    session.start()
    main_thread.until(lambda later: later.step == "recording" and later.elapsed_s > state.elapsed_s + 0.5)
    session.stop()
    state = main_thread.until_step("decide")
    reader = casebook.audio(state.record_id)
    assert abs(len(reader.read()) / reader.sample_rate_hz - state.elapsed_s) < 1e-6
    had_sound = "script" in options or "delivers_hz" in options
    assert (len(reader.gaps), state.gaps) == (had_sound, had_sound)
    assert reader.state == "complete"


@pytest.mark.long
def test_a_recording_that_stands_still_can_be_ended_and_is_judged(session_with, main_thread, casebook):
    session = session_with(ScriptedMicrophone(script={60: "hang"}))
    session.start()
    assert main_thread.until_step("stopped").elapsed_s == 1.2
    session.stop()
    assert main_thread.until_step("decide").elapsed_s == 1.2


def test_without_any_sound_nothing_is_recorded_and_the_round_can_be_begun_again(session_with, main_thread, casebook):
    session = session_with(ScriptedMicrophone(starts=("missing", "missing", "ok")))
    session.start()
    main_thread.until_step("stopped")
    session.stop()
    state = main_thread.until_step("ready")
    assert (state.message, state.attempt, casebook.attempts()) == (Fault.MISSING.value, 1, [])
    session.start()
    main_thread.until_step("stopped")
    session.start()
    assert main_thread.until_step("recording").message is None


@pytest.mark.long
def test_a_microphone_that_hangs_as_it_is_closed_delays_nothing_and_is_told(session_with, main_thread, casebook):
    session = session_with(ScriptedMicrophone(stops=("hang",)))
    session.start()
    begun_s = time.monotonic()
    main_thread.until_step("decide")
    assert time.monotonic() - begun_s < 8
    main_thread.until(lambda state: state.message == Fault.HUNG.value)
    session.keep()
    main_thread.until_step("ready")


def test_a_recording_on_a_disk_that_is_nearly_full_ends_by_itself_and_is_judged(
    session_with, main_thread, casebook, monkeypatch
):
    append = SealedAudioWriter.append

    def nearly_full(writer, samples):
        append(writer, samples)
        if writer.n_samples >= 16_000:
            raise DiskFullError("The disk is nearly full.")

    monkeypatch.setattr(SealedAudioWriter, "append", nearly_full)
    session = session_with(ScriptedMicrophone())
    session.start()
    state = main_thread.until_step("decide")
    assert (state.message, state.elapsed_s) == ("disk_full", 1.0)
    assert len(casebook.audio(state.record_id).read()) == 16_000


def test_where_the_disk_refuses_what_it_holds_is_judged_and_not_what_was_heard(
    session_with, main_thread, casebook, monkeypatch, default_bundle
):
    write = SealedAudioWriter._write

    def refuse(writer):
        if writer.n_samples > 24_000:
            error = OSError(28, "No space left on device")
            raise writer._cannot_write(error) from error
        write(writer)

    monkeypatch.setattr(SealedAudioWriter, "_write", refuse)
    screener = Screener(default_bundle)
    session = session_with(ScriptedMicrophone(), lambda: screener)
    session.start()
    state = main_thread.until_step("decide")
    kept = casebook.audio(state.record_id)
    assert state.message == "disk_full"
    assert state.screening["recording"]["duration_s"] == len(kept.read()) / 16_000 > 0.7


@pytest.mark.long
def test_a_decision_that_cannot_be_stored_is_told_and_can_be_made_again(
    session_with, main_thread, casebook, monkeypatch
):
    session = session_with(ScriptedMicrophone())
    session.start()
    state = main_thread.until_step("decide")
    with monkeypatch.context() as refusing:
        refusing.setattr(Casebook, "finish_attempt", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        session.keep()
        assert main_thread.until(lambda state: state.message == "not_stored").verdict == state.verdict
    session.keep()
    main_thread.until_step("ready")
    assert casebook.attempts()[0].state == "kept"


def test_abandoned_a_recording_is_closed_and_stays_unfinished(session_with, main_thread, casebook):
    session = session_with(ScriptedMicrophone())
    session.start()
    main_thread.until(lambda state: state.elapsed_s > 0.5)
    session.abandon()
    main_thread.until_step("abandoned")
    assert session.wait(WAIT_S)
    (attempt,) = casebook.unfinished()
    assert casebook.audio(attempt.record_id).check() == "complete"
    assert attempt.duration_s > 0.5


@pytest.mark.long
def test_what_is_safe_needs_no_main_thread(session_with, main_thread, casebook):
    """Nobody runs what is scheduled, as when Kivy's clock stands still in the background."""
    session = session_with(ScriptedMicrophone())
    session.start()
    deadline_s = time.monotonic() + WAIT_S
    while session.state.step != "decide":
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    (attempt,) = casebook.unfinished()
    assert casebook.audio(attempt.record_id).check() == "complete"
    assert attempt.duration_s == 3.0
    assert len(main_thread.states) == 1


def test_a_main_thread_that_is_slow_is_told_the_newest_state_only(session_with, main_thread):
    session = session_with(ScriptedMicrophone())
    session.start()
    time.sleep(1.0)
    assert main_thread.jobs.qsize() == 1
    state = main_thread.until(lambda state: state.elapsed_s > 0.3)
    assert state.advice in (Advice.GET_READY, Advice.GOOD)


def test_no_call_of_the_main_thread_waits(session_with, main_thread):
    session = session_with(ScriptedMicrophone(starts=("hang",), stops=("hang",)))
    for call in (session.start, session.start, session.stop, session.keep, session.redo, session.abandon):
        begun_s = time.monotonic()
        call()
        assert time.monotonic() - begun_s < 0.5


def test_an_attempt_that_a_kill_ended_is_judged_anew_and_can_be_decided_on(
    session_with, main_thread, casebook, participant_id, default_bundle
):
    attempt = casebook.begin_attempt(participant_id, "room_noise", 1, RATE_HZ, {"name": "built in"})
    attempt.append(SOUND)
    screener = Screener(default_bundle)
    session = session_with(ScriptedMicrophone(), lambda: screener)
    assert session.state.step == "ready"  # it is still being made
    attempt.close()
    session = session_with(ScriptedMicrophone(), lambda: screener)
    state = main_thread.until_step("decide")
    assert (state.record_id, state.elapsed_s, state.attempt, state.task.id) == (attempt.record_id, 2.0, 1, "room_noise")
    assert state.screening["recording"]["duration_s"] == 2.0
    session.redo()
    state = main_thread.until_step("ready")
    assert (state.task.id, state.attempt) == ("room_noise", 2)
    assert [one.state for one in casebook.attempts()] == ["redone"]


def test_without_consent_nothing_is_recorded_and_that_is_told(session_with, main_thread, casebook, participant_id):
    session = session_with(ScriptedMicrophone())
    casebook.withdraw(participant_id)
    session.start()
    state = main_thread.until(lambda state: state.step == "ready" and state.message is not None)
    assert (state.message, casebook.attempts()) == ("not_stored", [])
