"""Finds the Java classes that the application calls, all of them at once and on the main thread."""

from typing import Any

from core.errors import TussisError

OURS = tuple(f"org.tussis.app.{name}" for name in ("Capture", "RecorderService", "DeviceKey", "ModelRunner"))
KIVYS = ("org.kivy.android.PythonActivity",)
ANDROIDS = (
    "android.app.Activity",
    "android.content.Context",
    "android.content.Intent",
    "android.content.IntentFilter",
    "android.content.pm.ApplicationInfo",
    "android.content.pm.PackageManager",
    "android.media.AudioFormat",
    "android.media.AudioManager",
    "android.media.AudioTrack",
    "android.media.MediaRecorder$AudioSource",
    "android.net.Uri",
    "android.os.BatteryManager",
    "android.os.Build",
    "android.os.Build$VERSION",
    "android.os.PowerManager",
    "android.os.Vibrator",
    "android.provider.Settings",
    "android.view.WindowManager$LayoutParams",
)
NEWER_ANDROIDS = {"android.os.VibrationEffect": 26, "android.view.WindowInsets$Type": 30}
_classes: dict[str, Any] = {}


class JavaError(TussisError):
    """A Java class that this build of the application lacks."""


def find_classes() -> None:
    """Find the classes; on the main thread, because other threads do not find the application's own.

    Raises
    ------
    JavaError
        If one is missing.
    """
    from jnius import JavaException, autoclass

    def find(name: str) -> None:
        try:
            _classes[name] = autoclass(name, include_protected=False, include_private=False)
        except JavaException as reason:
            raise JavaError(f"the class {name} is missing from this build of Tussis.") from reason

    for name in (*OURS, *KIVYS, *ANDROIDS):
        find(name)
    for name, level in NEWER_ANDROIDS.items():
        if level <= java("android.os.Build$VERSION").SDK_INT:
            find(name)


def java(name: str) -> Any:
    """The class of that full name, which `find_classes` found."""
    if name not in _classes:
        raise JavaError(f"the class {name} was asked for before it was found.")
    return _classes[name]


def ours(name: str) -> Any:
    """One of Tussis' own classes."""
    return java(f"org.tussis.app.{name}")


def cast_to(name: str, instance: Any) -> Any:
    """A Java object as an instance of the class of that full name."""
    from jnius import cast

    return cast(name, instance)


def java_exception() -> type[Exception]:
    """What a Java method throws, as Python sees it."""
    from jnius import JavaException

    return JavaException


def leave_java() -> None:
    """Let Java forget this thread; at the end of each thread that called it, or the thread stays in Java for ever."""
    from jnius import detach

    detach()


def bytes_of(array: Any) -> bytes:
    """The content of a Java byte[]."""
    return array.tostring() if len(array) else b""
