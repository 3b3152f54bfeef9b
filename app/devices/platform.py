"""Chooses what gives the device's parts: the desktop's modules, or Android's."""

import os
from pathlib import Path

from app.devices.devices import Devices
from core.interpreter import Interpreter, LiteRtInterpreter, ModelShape


def is_phone() -> bool:
    """Whether this is Android; Kivy's bootstrap says so."""
    return "ANDROID_ARGUMENT" in os.environ


def platform_devices(folder: Path) -> Devices:
    """The devices of this platform, the secret in `folder`; on the main thread."""
    if is_phone():
        from app.devices.android.devices import android_devices

        return android_devices(folder)
    from app.devices.desktop.device_secret import DesktopDeviceSecret
    from app.devices.desktop.facilities import desktop_facilities
    from app.devices.desktop.microphone import DesktopMicrophone

    return Devices(DesktopDeviceSecret(folder), DesktopMicrophone(), desktop_facilities(), lambda stop, close: None)


def open_interpreter(model: Path | bytes, threads: int, shape: ModelShape) -> Interpreter:
    """The model with this platform's runtime; raises `InterpreterError`."""
    if is_phone():
        from app.devices.android.interpreter import AndroidInterpreter

        return AndroidInterpreter(model, threads, shape)
    return LiteRtInterpreter(model, threads, shape)
