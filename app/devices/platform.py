"""Chooses what gives the device's parts: the desktop's modules, or Android's."""

import os
from pathlib import Path
from typing import Any

from app.devices.condition import DeviceCondition
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


def open_interpreter(model: Path | bytes, threads: int, shape: ModelShape, xnnpack: bool = True) -> Interpreter:
    """The model with this platform's runtime, with XNNPACK or its built-in kernels; raises `InterpreterError`.

    Beside what `core.interpreter.Interpreter` names it has ``runtime``, the runtime's name and version.
    """
    if is_phone():
        from app.devices.android.interpreter import AndroidInterpreter

        return AndroidInterpreter(model, threads, shape, xnnpack)
    return LiteRtInterpreter(model, threads, shape, xnnpack)


def read_condition() -> DeviceCondition:
    """How warm, charged and busy the device is at this moment."""
    if is_phone():
        from app.devices.android.condition import read_condition
    else:
        from app.devices.desktop.condition import read_condition
    return read_condition()


def machine_facts() -> dict[str, Any]:
    """What decides the device's speed and stays as it is: at least device, machine, cpu, n_cores and os."""
    if is_phone():
        from app.devices.android.condition import phone_facts

        return phone_facts()
    from app.devices.desktop.condition import machine_facts

    return machine_facts()
