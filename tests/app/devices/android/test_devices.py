"""Tests a phone's devices together: asked for when needed, kept alive while recording, stopped and swiped away."""

import time

import numpy as np
import pytest

from app.devices.android.devices import android_devices, notice_words
from app.devices.microphone import Fault
from app.devices.platform import is_phone, platform_devices
from app.recorder import Recorder
from tests.android.desktop_java import Switches

RECORD_AUDIO = "android.permission.RECORD_AUDIO"


class Sink:
    def __init__(self) -> None:
        self.samples = np.empty(0, np.int16)
        self.n_gaps, self.is_closed = 0, False

    def append(self, samples: np.ndarray) -> None:
        self.samples = np.concatenate([self.samples, samples])

    def mark_gap(self, lost_s: float) -> None:
        self.n_gaps += 1

    def sync_if_due(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


def wait_until(condition, limit_s: float = 5.0) -> None:
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "it did not come about in time"
        time.sleep(0.01)


@pytest.fixture
def devices(phone: Switches, tmp_path):
    made = android_devices(tmp_path)
    yield made
    made.microphone.stop()
    phone.phone.settle()


def test_the_platform_is_what_kivys_bootstrap_says(phone, tmp_path, monkeypatch):
    assert not is_phone()
    monkeypatch.setenv("ANDROID_ARGUMENT", "")
    assert type(platform_devices(tmp_path).microphone).__name__ == "AndroidMicrophone"
    monkeypatch.delenv("ANDROID_ARGUMENT")
    assert type(platform_devices(tmp_path).microphone).__name__ == "DesktopMicrophone"


def test_the_first_recording_asks_for_the_microphone_and_the_next_one_records(devices, phone):
    sink = Sink()
    recorder = Recorder(devices.microphone, lambda rate_hz, facts: sink)
    recorder.start()
    wait_until(lambda: recorder.progress.fault is Fault.REFUSED)
    phone.phone.settle()  # the question is shown on the main thread, a moment later
    assert any(words.startswith("permissions android.permission.RECORD_AUDIO") for words in phone.desk.allTold())
    recorder.go_on()
    wait_until(lambda: recorder.progress.duration_s > 0.3)
    assert phone.phone.notification(1).startswith("Tussis is recording")
    recorder.stop()
    assert recorder.wait(3) and sink.is_closed
    wait_until(lambda: phone.phone.runningServices() == 0)


def test_the_notification_says_that_another_app_has_the_microphone(devices, phone):
    phone.phone.grant(RECORD_AUDIO)
    sink = Sink()
    recorder = Recorder(devices.microphone, lambda rate_hz, facts: sink)
    recorder.start()
    wait_until(lambda: recorder.progress.duration_s > 0.2)
    phone.microphone.silence(True)
    wait_until(lambda: notice_words().silenced in phone.phone.notification(1))
    phone.microphone.silence(False)
    wait_until(lambda: notice_words().silenced not in phone.phone.notification(1))
    recorder.stop()
    assert recorder.wait(3)
    assert sink.n_gaps <= 1


def test_a_recording_in_the_background_is_refused_in_words_and_starts_nothing(devices, phone):
    phone.phone.grant(RECORD_AUDIO)
    phone.set("Phone.importance", 400)
    recorder = Recorder(devices.microphone, lambda rate_hz, facts: Sink())
    recorder.start()
    wait_until(lambda: recorder.progress.fault is Fault.REFUSED)
    recorder.stop()
    assert recorder.wait(3)
    assert phone.get("open") == 0 and phone.phone.runningServices() == 0


def test_swiping_the_app_away_closes_the_recording_and_leaves_nothing(devices, phone):
    phone.phone.grant(RECORD_AUDIO)
    sink = Sink()
    recorder = Recorder(devices.microphone, lambda rate_hz, facts: sink)
    devices.heed(recorder.stop, lambda: (recorder.stop(), recorder.wait(2)))
    recorder.start()
    wait_until(lambda: recorder.progress.duration_s > 0.5)
    phone.phone.removeTask()
    wait_until(lambda: any("killed" in event for event in phone.phone.told()))
    assert sink.is_closed
    np.testing.assert_array_equal(sink.samples, np.arange(len(sink.samples)) % 32749)
    assert phone.phone.runningServices() == 0 and phone.get("open") == 0
