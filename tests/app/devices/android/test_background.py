"""Tests the service that keeps a recording alive: on each Android, without permission, stopped and swiped away."""

import threading
import time

import numpy as np
import pytest

from app.crypto.sealing import random_bytes
from app.devices.android.background import Background, BackgroundError, NoticeWords
from app.devices.android.java import ours
from app.devices.android.microphone import AndroidMicrophone
from app.recorder import to_pcm16
from app.sealed_audio import SealedAudioReader, SealedAudioWriter
from tests.android.desktop_java import Switches, events_of

RECORD_AUDIO = "android.permission.RECORD_AUDIO"
WORDS = NoticeWords("Recording", "Tussis records", "Round 1 of 3", "Stop", "Another app has the microphone")
MICROPHONE_TYPE = 128


@pytest.fixture
def granted(phone: Switches) -> Switches:
    phone.phone.grant(RECORD_AUDIO)
    yield phone
    ours("RecorderService").stop(phone.activity)
    phone.phone.settle()


def background(phone: Switches, on_stop=lambda: None, on_close=lambda: None) -> Background:
    service = Background(phone.activity, lambda: WORDS)
    service.on_stop, service.on_close = on_stop, on_close
    return service


def wait_for(phone: Switches, words: str, limit_s: float = 4.0) -> int:
    """The milliseconds of the event with these words; fails where it does not come."""
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        for ms, event in phone.events():
            if event.startswith(words):
                return ms
        time.sleep(0.01)
    raise AssertionError(f"{words} did not come: {phone.events()}")


def crashes(phone: Switches) -> list[str]:
    return [event for event in events_of(phone) if event.startswith("crash")]


@pytest.mark.parametrize(
    ("api", "start", "foreground"),
    [
        (24, "startService", "foreground type 0"),
        (29, "startForegroundService", "foreground type 0"),
        (30, "startForegroundService", f"foreground type {MICROPHONE_TYPE}"),
        (34, "startForegroundService", f"foreground type {MICROPHONE_TYPE}"),
    ],
)
def test_the_service_is_in_the_foreground_within_a_second(granted, api, start, foreground):
    granted.set_sdk(api)
    service = background(granted)
    service.start()
    assert wait_for(granted, foreground) - wait_for(granted, start) < 1000
    assert granted.phone.notification(1) == "Tussis records | Round 1 of 3 | Stop | ongoing"
    assert granted.phone.channelImportance("recording") == (2 if api >= 26 else -1)
    assert granted.get("Phone.wakeLocks") == 1
    service.stop()
    wait_for(granted, "destroyed")
    assert granted.phone.runningServices() == 0
    assert granted.get("Phone.wakeLocks") == 0
    assert crashes(granted) == []


@pytest.mark.parametrize("api", [24, 29, 30, 34])
def test_nothing_starts_without_the_permission(phone, api):
    phone.set_sdk(api)
    with pytest.raises(BackgroundError, match="allow it in the phone's settings"):
        background(phone).start()
    assert events_of(phone) == [] and phone.phone.runningServices() == 0


@pytest.mark.parametrize("api", [24, 34])
def test_nothing_starts_while_the_app_is_not_on_the_screen(granted, api):
    granted.set_sdk(api)
    granted.set("Phone.importance", 400)
    with pytest.raises(BackgroundError, match="only while Tussis is on the screen"):
        background(granted).start()
    assert events_of(granted) == [] and granted.phone.runningServices() == 0


def test_a_permission_that_is_taken_while_it_starts_is_a_sentence(granted):
    granted.set("Phone.startDelayMs", 200)
    failures = []

    def start() -> None:
        try:
            background(granted).start()
        except BackgroundError as error:
            failures.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    time.sleep(0.1)
    granted.phone.revoke(RECORD_AUDIO)
    thread.join()
    assert failures == [
        "Android did not let the recording go on in the background; open Tussis and press Record again."
    ]
    assert granted.phone.runningServices() == 0


def test_a_stop_before_the_service_runs_does_not_crash_the_app(granted):
    granted.set("Phone.startDelayMs", 300)
    service = ours("RecorderService")
    assert service.start(granted.activity, "a", "b", "c", "d") == service.OK
    service.stop(granted.activity)
    wait_for(granted, "destroyed")
    assert crashes(granted) == [] and granted.phone.runningServices() == 0


def test_the_notification_says_what_happens(granted):
    service = background(granted)
    service.start()
    service.say_silenced(True)
    assert "Another app has the microphone" in granted.phone.notification(1)
    service.say_silenced(False)
    assert "Round 1 of 3" in granted.phone.notification(1)
    service.stop()


def test_stop_in_the_notification_is_passed_on_once(granted):
    stops = []
    service = background(granted, on_stop=lambda: stops.append(1))
    service.start()
    ours_pending().touchLast()
    time.sleep(0.4)
    assert stops == [1]
    service.stop()


def test_a_notification_that_outlived_its_process_starts_nothing(granted):
    service = background(granted)
    service.start()
    service.stop()
    wait_for(granted, "destroyed")
    ours_pending().touchLast()
    assert granted.phone.runningServices() == 0


def ours_pending():
    from jnius import autoclass

    return autoclass("android.app.PendingIntent")


@pytest.mark.parametrize("api", [24, 30, 34])
def test_an_app_that_is_swiped_away_closes_its_recording_and_ends(granted, tmp_path, api):
    granted.set_sdk(api)
    key = random_bytes(32)
    writer = SealedAudioWriter(tmp_path / "a.sealed", key, "record-1", 48_000)
    microphone = AndroidMicrophone(granted.activity)
    delivered = []

    def take(block: np.ndarray) -> None:
        delivered.append(len(block))
        writer.append(to_pcm16(block))

    def close() -> None:
        microphone.stop()
        writer.close()

    service = background(granted, on_close=close)
    service.start()
    microphone.start(take)
    began_s = time.monotonic()
    time.sleep(1.5)
    granted.phone.removeTask()
    took_s = time.monotonic() - began_s
    wait_for(granted, "killed")
    reader = SealedAudioReader(tmp_path / "a.sealed", key, "record-1")
    samples = np.concatenate(list(reader.blocks()))
    assert reader.state == "complete"
    assert len(samples) / 48_000 > took_s - 1 and len(samples) == sum(delivered)
    np.testing.assert_array_equal(samples, np.arange(len(samples)) % 32749)
    assert granted.phone.runningServices() == 0 and granted.get("open") == 0
    assert crashes(granted) == []


@pytest.mark.long
def test_an_app_whose_recording_does_not_close_ends_all_the_same(granted):
    never = threading.Event()
    service = background(granted, on_close=never.wait)
    service.start()
    removed_ms = time.monotonic_ns() // 1_000_000
    granted.phone.removeTask()
    wait_for(granted, "killed", limit_s=6)
    assert 2500 < time.monotonic_ns() // 1_000_000 - removed_ms < 5000
    never.set()
