"""Puts a phone's devices together: the microphone asks for its permission and keeps the application alive."""

from collections.abc import Callable
from pathlib import Path

from app.devices.android.activity import activity
from app.devices.android.background import Background, NoticeWords
from app.devices.android.device_secret import AndroidDeviceSecret
from app.devices.android.facilities import android_facilities
from app.devices.android.java import find_classes
from app.devices.android.microphone import AndroidMicrophone
from app.devices.android.permissions import Permissions
from app.devices.devices import Devices
from app.words import _


def notice_words() -> NoticeWords:
    """What the notification says, in the language of this moment."""
    return NoticeWords(
        channel=_("Tussis is recording"),
        title=_("Tussis is recording"),
        text="",
        stop=_("Stop"),
        silenced=_("The microphone is in use elsewhere or not allowed. Allow it, then go on."),
    )


def android_devices(folder: Path) -> Devices:
    """The phone's devices; on the main thread, which alone finds all Java classes."""
    find_classes()
    background = Background(activity(), notice_words)

    def heed(stop: Callable[[], None], close: Callable[[], None]) -> None:
        background.on_stop, background.on_close = stop, close

    permissions = Permissions()
    microphone = AndroidMicrophone(activity(), background=background, permissions=permissions)
    return Devices(AndroidDeviceSecret(folder), microphone, android_facilities(permissions), heed)
