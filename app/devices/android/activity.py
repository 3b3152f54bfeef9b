"""Reaches the activity that Kivy's bootstrap runs: its thread, and the other applications that it asks."""

import itertools
import traceback
from collections.abc import Callable
from functools import cache
from typing import Any

from app.devices.android.java import java

OnAnswer = Callable[[Any], None]
_codes = itertools.count(7001)
_kept: dict[int, Any] = {}  # Java holds no Python object by itself


def activity() -> Any:
    """The one activity, which is also the application's context."""
    return java("org.kivy.android.PythonActivity").mActivity


def on_ui_thread(call: Callable[[], None]) -> None:
    """Have Android's own thread call, which alone may touch windows; returns at once."""
    runnable = _runnable_class()(call)
    _kept[id(runnable)] = runnable
    activity().runOnUiThread(runnable)


def ask_application(intent: Any, on_answer: OnAnswer) -> None:
    """Show another application for an answer; `on_answer` gets its intent, or None, on Android's thread."""
    code = next(_codes)
    listener = _listener_class()(code, on_answer)
    _kept[id(listener)] = listener
    activity().registerActivityResultListener(listener)
    activity().startActivityForResult(intent, code)


def _run_kept(owner: Any, call: Callable[[], None]) -> None:
    """Call once; an exception must not reach Java, which would end the application."""
    try:
        call()
    except Exception as error:
        traceback.print_exception(error)
    finally:
        _kept.pop(id(owner), None)


@cache
def _runnable_class() -> type:
    from jnius import PythonJavaClass, java_method

    class Runnable(PythonJavaClass):
        __javainterfaces__ = ("java/lang/Runnable",)
        __javacontext__ = "app"

        def __init__(self, call: Callable[[], None]) -> None:
            super().__init__()
            self.call = call

        @java_method("()V")
        def run(self) -> None:
            _run_kept(self, self.call)

    return Runnable


@cache
def _listener_class() -> type:
    from jnius import PythonJavaClass, java_method

    class Listener(PythonJavaClass):
        __javainterfaces__ = ("org/kivy/android/PythonActivity$ActivityResultListener",)
        __javacontext__ = "app"

        def __init__(self, code: int, on_answer: OnAnswer) -> None:
            super().__init__()
            self.code, self.on_answer = code, on_answer

        @java_method("(IILandroid/content/Intent;)V")
        def onActivityResult(self, code: int, result: int, intent: Any) -> None:  # noqa: N802
            if code != self.code:
                return
            is_chosen = result == java("android.app.Activity").RESULT_OK
            _run_kept(self, lambda: self.on_answer(intent if is_chosen else None))

    return Listener
