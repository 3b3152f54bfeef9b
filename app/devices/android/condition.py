"""Tells how warm, charged and busy the phone is, for the latency page."""

import os
from typing import Any

from app.devices.android.activity import activity
from app.devices.android.java import cast_to, java
from app.devices.condition import DeviceCondition

THERMAL_SDK = 29
THERMAL_WORDS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")  # PowerManager's, 0 to 6
SOC_SDK = 31


def read_condition() -> DeviceCondition:
    """The phone's condition at this moment."""
    managers = java("android.os.BatteryManager")
    battery = activity().registerReceiver(None, java("android.content.IntentFilter")(_BATTERY_CHANGED))
    tenths = _extra(battery, managers.EXTRA_TEMPERATURE)
    level, scale = _extra(battery, managers.EXTRA_LEVEL), _extra(battery, managers.EXTRA_SCALE)
    plugged = _extra(battery, managers.EXTRA_PLUGGED)
    return DeviceCondition(
        battery_c=None if tenths is None else tenths / 10,
        battery_percent=round(100 * level / scale) if level is not None and scale else None,
        is_charging=None if plugged is None else plugged != 0,
        thermal_status=_thermal_status(),
        load=_load(),
    )


_BATTERY_CHANGED = "android.intent.action.BATTERY_CHANGED"


def phone_facts() -> dict[str, Any]:
    """What of a phone decides its speed and stays as it is."""
    build, version = java("android.os.Build"), java("android.os.Build$VERSION")
    sdk = int(version.SDK_INT)
    return {
        "device": f"{build.MANUFACTURER} {build.MODEL}",
        "cpu": f"{build.SOC_MANUFACTURER} {build.SOC_MODEL}" if sdk >= SOC_SDK else build.HARDWARE,
        "os": f"Android {version.RELEASE} (SDK {sdk})",
        "abi": build.SUPPORTED_ABIS[0],
        "n_cores": os.cpu_count(),
    }


def _extra(intent: Any, name: str) -> int | None:
    value = -1 if intent is None else intent.getIntExtra(name, -1)
    return None if value < 0 else value


def _thermal_status() -> str | None:
    if java("android.os.Build$VERSION").SDK_INT < THERMAL_SDK:
        return None
    power = cast_to("android.os.PowerManager", activity().getSystemService("power"))
    status = power.getCurrentThermalStatus()
    return THERMAL_WORDS[status] if 0 <= status < len(THERMAL_WORDS) else None


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:  # newer Androids do not let an application read it
        return None
