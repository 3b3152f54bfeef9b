"""Holds together what a platform gives the application."""

from collections.abc import Callable
from dataclasses import dataclass

from app.devices.device_secret import DeviceSecret
from app.devices.facilities import Facilities
from app.devices.microphone import Microphone


@dataclass(frozen=True)
class Devices:
    """What a platform gives.

    Attributes
    ----------
    heed : callable
        Takes two functions: one that stops a recording, which a person may ask for outside of the window, and one that
        closes everything at once, where the system ends the application. Both are called from other threads.
    """

    secret: DeviceSecret
    microphone: Microphone
    facilities: Facilities
    heed: Callable[[Callable[[], None], Callable[[], None]], None]
