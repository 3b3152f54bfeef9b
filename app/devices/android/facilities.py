"""Gives Android's sound, motor, window and text size."""

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from app.devices.android.activity import activity, on_ui_thread
from app.devices.android.files import AndroidFiles
from app.devices.android.java import cast_to, java, java_exception, leave_java
from app.devices.android.permissions import Permissions
from app.devices.facilities import Facilities, FacilityError, Insets
from app.devices.playback import ThreadedPlayback

EFFECTS_SDK, TYPED_INSETS_SDK = 26, 30


class AndroidPlayback(ThreadedPlayback):
    """Plays through an AudioTrack on a thread of its own."""

    def __init__(self) -> None:
        super().__init__(_play_blocks)


def _play_blocks(blocks: Iterable[np.ndarray], sample_rate_hz: int, stopped: threading.Event) -> None:
    try:
        track = _open_track(sample_rate_hz)
        try:
            _write_blocks(track, blocks, sample_rate_hz, stopped)
            track.pause() if stopped.is_set() else track.stop()
        finally:
            track.release()
    finally:
        leave_java()


def _write_blocks(track: Any, blocks: Iterable[np.ndarray], sample_rate_hz: int, stopped: threading.Event) -> None:
    """A small piece at a time, so that a stop is heard at once."""
    track.play()
    for block in blocks:
        content = np.ascontiguousarray(block, "<i2").tobytes()
        while content and not stopped.is_set():
            piece = content[: 2 * (sample_rate_hz // 10)]
            written = track.write(piece, 0, len(piece))
            if written < 0:
                raise FacilityError(f"Android's sound output answered {written}")
            content = content[written:]


def _open_track(sample_rate_hz: int) -> Any:
    form, track = java("android.media.AudioFormat"), java("android.media.AudioTrack")
    layout = form.CHANNEL_OUT_MONO, form.ENCODING_PCM_16BIT
    least = track.getMinBufferSize(sample_rate_hz, *layout)
    if least <= 0:
        raise FacilityError(f"Android plays no sound at {sample_rate_hz} Hz")
    try:
        stream, mode = java("android.media.AudioManager").STREAM_MUSIC, track.MODE_STREAM
        return track(stream, sample_rate_hz, *layout, 2 * least, mode)
    except java_exception() as reason:
        raise FacilityError("Android's sound output cannot be opened") from reason


class AndroidVibration:
    """The phone's motor."""

    def vibrate(self, duration_s: float) -> None:
        """See `app.devices.facilities.Vibration`."""
        vibrator = activity().getSystemService("vibrator")
        if vibrator is None:
            return
        motor, duration_ms = cast_to("android.os.Vibrator", vibrator), max(1, round(1000 * duration_s))
        if _sdk() >= EFFECTS_SDK:
            effect = java("android.os.VibrationEffect")
            motor.vibrate(effect.createOneShot(duration_ms, effect.DEFAULT_AMPLITUDE))
        else:
            motor.vibrate(duration_ms)


class AndroidScreen:
    """The activity's window."""

    def keep_on(self, on: bool) -> None:
        """See `app.devices.facilities.Screen`."""
        _set_flag("FLAG_KEEP_SCREEN_ON", on)

    def keep_secret(self, secret: bool) -> None:
        """See `app.devices.facilities.Screen`."""
        _set_flag("FLAG_SECURE", secret)


def _set_flag(name: str, on: bool) -> None:
    flag = getattr(java("android.view.WindowManager$LayoutParams"), name)

    def change() -> None:
        window = activity().getWindow()
        window.addFlags(flag) if on else window.clearFlags(flag)

    on_ui_thread(change)


class AndroidDisplay:
    """What Android says of the window's surroundings."""

    def insets(self) -> Insets:
        """See `app.devices.facilities.Display`: bars, cut-outs and the keyboard."""
        insets = activity().getWindow().getDecorView().getRootWindowInsets()
        if insets is None:  # before the window is on the screen
            return Insets()
        if _sdk() < TYPED_INSETS_SDK:
            sides = ("Left", "Top", "Right", "Bottom")
            return Insets(*(float(getattr(insets, f"getSystemWindowInset{side}")()) for side in sides))
        kinds = java("android.view.WindowInsets$Type")
        covered = insets.getInsets(kinds.systemBars() | kinds.displayCutout() | kinds.ime())
        return Insets(float(covered.left), float(covered.top), float(covered.right), float(covered.bottom))

    def font_scale(self) -> float:
        """See `app.devices.facilities.Display`."""
        return float(activity().getResources().getConfiguration().fontScale)


def _sdk() -> int:
    return int(java("android.os.Build$VERSION").SDK_INT)


def android_facilities(permissions: Permissions) -> Facilities:
    """The facilities of the phone that the application runs on."""
    display, files = AndroidDisplay(), AndroidFiles()
    return Facilities(AndroidPlayback(), AndroidVibration(), AndroidScreen(), display, files, permissions)
