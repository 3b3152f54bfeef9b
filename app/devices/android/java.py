"""Finds the Java classes that the application calls, all of them at once and on the main thread."""

from collections.abc import Iterable
from typing import Any

from core.errors import TussisError

OURS = tuple(f"org.tussis.app.{name}" for name in ("Capture", "RecorderService", "DeviceKey", "ModelRunner"))
ANDROIDS = (
    "android.media.AudioManager",
    "android.media.MediaRecorder$AudioSource",
    "android.os.Build$VERSION",
)
_classes: dict[str, Any] = {}


class JavaError(TussisError):
    """A Java class that this build of the application lacks."""


def find_classes(names: Iterable[str] = (*OURS, *ANDROIDS)) -> None:
    """Find the classes; on the main thread, because other threads do not find the application's own.

    Raises
    ------
    JavaError
        If one is missing.
    """
    from jnius import JavaException, autoclass

    for name in names:
        try:
            _classes[name] = autoclass(name, include_protected=False, include_private=False)
        except JavaException as reason:
            raise JavaError(f"the class {name} is missing from this build of Tussis.") from reason


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
