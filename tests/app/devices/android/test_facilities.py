"""Tests Android's sound, motor, window and text size on the stub phone."""

import threading
import time

import numpy as np
import pytest

from app.devices.android.facilities import AndroidDisplay, AndroidPlayback, AndroidScreen, AndroidVibration
from app.devices.facilities import Insets

KEEP_ON, SECURE = 128, 8192


def play(blocks, rate_hz: int = 48_000) -> str:
    ended, said = threading.Event(), []
    AndroidPlayback().play(blocks, rate_hz, lambda sentence: (said.append(sentence), ended.set()))
    assert ended.wait(10)
    return said[0]


def test_a_recording_is_played_to_its_end(phone):
    blocks = [np.arange(4800, dtype=np.int16), np.zeros(100, np.int16)]
    assert play(blocks) == ""
    assert list(phone.desk.allTold()) == ["plays at 48000", "played to its end", "released"]
    assert phone.get("Desk.playedSamples") == 4900


def test_a_rate_that_android_does_not_play_is_a_sentence(phone):
    assert play([np.zeros(100, np.int16)], 300_000) == (
        "The recording cannot be played: Android plays no sound at 300000 Hz."
    )


def test_a_recording_that_cannot_be_read_is_a_sentence_and_nothing_stays_open(phone):
    def blocks():
        yield np.zeros(480, np.int16)
        raise ValueError("the recording was altered")

    assert play(blocks()) == "The recording cannot be played: the recording was altered."
    assert phone.desk.allTold()[-1] == "released"


def test_a_stop_is_heard_in_the_middle(phone):
    playback, ended = AndroidPlayback(), threading.Event()
    playback.play((np.zeros(48_000, np.int16) for _ in range(1000)), 48_000, lambda sentence: ended.set())
    time.sleep(0.2)
    playback.stop()
    assert ended.wait(2)
    assert list(phone.desk.allTold())[-2:] == ["paused", "released"]
    assert phone.get("Desk.playedSamples") < 20 * 48_000


@pytest.mark.parametrize(("api", "words"), [(24, "vibrates 250"), (26, "vibrates by effect 250")])
def test_the_motor_shakes_on_every_android(phone, api, words):
    phone.set_sdk(api)
    AndroidVibration().vibrate(0.25)
    assert list(phone.desk.allTold()) == [words]


def test_the_window_is_changed_on_androids_own_thread(phone):
    screen = AndroidScreen()
    screen.keep_on(True)
    screen.keep_secret(True)
    screen.keep_on(False)
    screen.keep_secret(False)
    phone.phone.settle()
    told = list(phone.desk.allTold())
    assert told == [f"on {KEEP_ON} by main", f"on {SECURE} by main", f"off {KEEP_ON} by main", f"off {SECURE} by main"]


@pytest.mark.parametrize(("api", "insets"), [(24, Insets(0, 24, 0, 48)), (30, Insets(0, 30, 0, 300))])
def test_bars_cutouts_and_the_keyboard_cover_the_window(phone, api, insets):
    phone.set_sdk(api)
    assert AndroidDisplay().insets() == insets


def test_the_size_of_text_is_the_phones(phone):
    phone.set("Desk.fontScale", 1.5)
    assert AndroidDisplay().font_scale() == 1.5
