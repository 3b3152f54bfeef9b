"""The controller: its states, its threads, and what it says when something fails."""

import queue
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from app.controller import Controller
from app.devices.microphone import MicrophoneError
from app.recorder import RecordingProgress
from app.session import State
from core.audio import write_wav
from core.errors import BundleError
from core.results import describe

WAIT_S = 60


class MainThread:
    """The test's own thread as the app's main thread: runs what the controller schedules, when told to."""

    def __init__(self) -> None:
        self.jobs: queue.Queue = queue.Queue()
        self.sessions: list = []
        self.threads: set[str] = set()

    def schedule(self, job) -> None:
        self.jobs.put(job)

    def note(self, session) -> None:
        self.sessions.append(session)
        self.threads.add(threading.current_thread().name)

    def run_until(self, *states: State):
        while self.sessions[-1].state not in states:
            self.jobs.get(timeout=WAIT_S)()
        return self.sessions[-1]

    def run_one(self) -> None:
        self.jobs.get(timeout=WAIT_S)()


@pytest.fixture
def main_thread() -> MainThread:
    return MainThread()


@pytest.fixture
def controller_with(tmp_path, main_thread):
    controllers = []

    def build(load_screener, microphone=None) -> Controller:
        controller = Controller(load_screener, microphone, tmp_path / "recordings", main_thread.schedule)
        controller.subscribe(main_thread.note)
        controller.open()
        controllers.append(controller)
        return controller

    yield build
    for controller in controllers:
        controller.close()


def without_timing(result) -> dict:
    return {key: value for key, value in result.items() if key != "timing_ms"}


def test_a_recording_goes_through_every_state_and_gives_what_the_screener_gives(
    controller_with, main_thread, fake_microphone, bursts, stand_in_screener
):
    microphone = fake_microphone(bursts(48_000))
    controller = controller_with(lambda: stand_in_screener, microphone)
    main_thread.run_one()  # the model is there
    controller.start_recording()
    assert microphone.all_delivered.wait(WAIT_S)
    controller.stop_recording()
    session = main_thread.run_until(State.RESULT, State.ERROR)
    assert [each.state.value for each in main_thread.sessions] == [
        "idle", "idle", "recording", "screening", "result",
    ]  # fmt: skip
    screening = stand_in_screener.screen(session.path)
    assert without_timing(session.result) == without_timing(screening.to_json())
    assert session.result["cough_count"] == 2
    assert session.report.splitlines()[:4] == describe(screening).splitlines()[:4]


def test_sessions_change_on_the_main_thread_only(controller_with, main_thread, tmp_path, stand_in_screener):
    write_wav(tmp_path / "a.wav", np.zeros(32_000, np.float32))
    controller_with(lambda: stand_in_screener).screen(tmp_path / "a.wav")
    main_thread.run_until(State.RESULT)
    assert main_thread.threads == {threading.current_thread().name}


def test_the_model_is_loaded_once_and_on_another_thread(controller_with, main_thread, tmp_path, stand_in_screener):
    write_wav(tmp_path / "a.wav", np.zeros(32_000, np.float32))
    loads = []

    def load():
        loads.append(threading.current_thread())
        return stand_in_screener

    controller = controller_with(load)
    for _ in range(3):
        controller.screen(tmp_path / "a.wav")
        main_thread.run_until(State.RESULT)
        controller.show_idle()
    assert len(loads) == 1
    assert loads[0] is not threading.current_thread()


def test_a_file_that_is_no_sound_ends_in_one_sentence(controller_with, main_thread, tmp_path, stand_in_screener):
    path = tmp_path / "notes.wav"
    path.write_text("no sound")
    controller_with(lambda: stand_in_screener).screen(path)
    session = main_thread.run_until(State.RESULT, State.ERROR)
    assert session.state is State.ERROR
    assert str(path) in session.error
    assert "\n" not in session.error


def test_a_bundle_that_does_not_load_is_told_at_once_and_again_when_something_is_screened(
    controller_with, main_thread, tmp_path
):
    def load():
        raise BundleError("model.tflite was altered")

    controller = controller_with(load)
    assert main_thread.run_until(State.ERROR).error == "model.tflite was altered"
    controller.screen(tmp_path / "a.wav")
    session = main_thread.run_until(State.ERROR)
    assert session.error.endswith("the model did not load: model.tflite was altered")


def test_a_mistake_of_ours_is_told_too_and_the_next_recording_is_screened(
    controller_with, main_thread, tmp_path, stand_in_screener, monkeypatch, capsys
):
    write_wav(tmp_path / "a.wav", np.zeros(32_000, np.float32))
    controller = controller_with(lambda: stand_in_screener)
    with monkeypatch.context() as broken:
        broken.setattr(stand_in_screener, "screen", lambda path: 1 / 0)
        controller.screen(tmp_path / "a.wav")
        session = main_thread.run_until(State.ERROR)
    assert "ZeroDivisionError" in session.error
    assert "Traceback" in capsys.readouterr().err
    controller.screen(tmp_path / "a.wav")
    assert main_thread.run_until(State.RESULT, State.ERROR).state is State.RESULT


def test_silence_is_unscored_and_not_a_count_of_zero(controller_with, main_thread, fake_microphone, stand_in_screener):
    microphone = fake_microphone(np.zeros(48_000))
    controller = controller_with(lambda: stand_in_screener, microphone)
    controller.start_recording()
    assert microphone.all_delivered.wait(WAIT_S)
    controller.stop_recording()
    result = main_thread.run_until(State.RESULT).result
    assert (result["cough_count"], result["event_scores"], result["events"]) == (None, None, [])
    assert "silent" in result["quality"]["reasons"]


def test_a_missing_microphone_is_told_and_files_can_still_be_opened(
    controller_with, main_thread, tmp_path, stand_in_screener
):
    class Missing:
        n_overflows = 0

        def start(self, on_block):
            raise MicrophoneError("No microphone was found; opening a recording still works.")

    controller = controller_with(lambda: stand_in_screener, Missing())
    controller.start_recording()
    assert main_thread.sessions[-1].state is State.ERROR
    assert main_thread.sessions[-1].error.startswith("No microphone was found")
    write_wav(tmp_path / "a.wav", np.zeros(32_000, np.float32))
    controller.screen(tmp_path / "a.wav")
    assert main_thread.run_until(State.RESULT).result["recording"]["path"] == str(tmp_path / "a.wav")


def test_nothing_else_can_begin_while_a_recording_is_made(
    controller_with, main_thread, fake_microphone, bursts, stand_in_screener
):
    controller = controller_with(lambda: stand_in_screener, fake_microphone(bursts(48_000), paced=True))
    controller.start_recording()
    path = controller.session.path
    controller.start_recording()
    controller.screen(Path("another.wav"))
    controller.show_idle()
    assert (controller.session.state, controller.session.path) == (State.RECORDING, path)
    assert len(list(path.parent.iterdir())) == 1


def test_a_microphone_that_falls_silent_ends_the_recording_and_keeps_it(
    controller_with, main_thread, fake_microphone, bursts, stand_in_screener, monkeypatch
):
    monkeypatch.setattr("app.controller.STALL_S", 0.1)
    microphone = fake_microphone(bursts(48_000))
    controller = controller_with(lambda: stand_in_screener, microphone)
    controller.start_recording()
    assert microphone.all_delivered.wait(WAIT_S)
    time.sleep(0.3)
    controller.check_recording()
    session = controller.session
    assert session.state is State.ERROR
    assert "3.0 s before were kept" in session.error
    assert session.path.stat().st_size == 44 + 2 * 3 * 48_000


def test_a_disk_that_refuses_ends_the_recording(
    controller_with, main_thread, fake_microphone, bursts, stand_in_screener, monkeypatch
):
    def refuse(self, samples):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.recorder.WavAppender.append", refuse)
    controller = controller_with(lambda: stand_in_screener, fake_microphone(bursts(48_000)))
    controller.start_recording()
    deadline_s = time.monotonic() + WAIT_S
    while controller.session.state is State.RECORDING and time.monotonic() < deadline_s:
        controller.check_recording()
        time.sleep(0.01)
    assert controller.session.state is State.ERROR
    assert "No space left on device" in controller.session.error


def test_gaps_go_with_the_result(controller_with, main_thread, fake_microphone, bursts, stand_in_screener):
    microphone = fake_microphone(bursts(48_000))
    controller = controller_with(lambda: stand_in_screener, microphone)
    controller.start_recording()
    assert microphone.all_delivered.wait(WAIT_S)
    microphone.n_overflows = 2
    controller.stop_recording()
    assert main_thread.run_until(State.RESULT).n_gaps == 2


def test_closing_the_window_finishes_the_recording(tmp_path, fake_microphone, bursts, main_thread, stand_in_screener):
    microphone = fake_microphone(bursts(48_000))
    controller = Controller(lambda: stand_in_screener, microphone, tmp_path / "recordings", main_thread.schedule)
    controller.open()
    controller.start_recording()
    assert microphone.all_delivered.wait(WAIT_S)
    controller.close()
    assert controller.progress == RecordingProgress()
    (path,) = (tmp_path / "recordings").iterdir()
    assert path.stat().st_size == 44 + 2 * 3 * 48_000
