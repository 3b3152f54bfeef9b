"""Tells how warm, charged and busy a desktop is, where Linux says so."""

import os
import platform
from pathlib import Path
from typing import Any

from app.devices.condition import DeviceCondition

THERMAL, POWER, CPU_INFO = Path("/sys/class/thermal"), Path("/sys/class/power_supply"), Path("/proc/cpuinfo")


def read_condition() -> DeviceCondition:
    """The desktop's condition at this moment."""
    heats = [int(text) / 1000 for text in _texts(THERMAL, "thermal_zone*/temp") if text.lstrip("-").isdigit()]
    charges = [int(text) for text in _texts(POWER, "BAT*/capacity") if text.isdigit()]
    states = _texts(POWER, "BAT*/status")
    return DeviceCondition(
        battery_c=None,
        battery_percent=charges[0] if charges else None,
        is_charging=states[0] != "Discharging" if states else None,
        thermal_status=None,
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        processor_c=max(heats, default=None),
    )


def machine_facts() -> dict[str, Any]:
    """What of the desktop decides its speed and stays as it is."""
    machine = platform.machine() or "unknown"
    models = [line.partition(":")[2].strip() for line in _lines(CPU_INFO) if line.startswith("model name")]
    return {
        "device": f"{machine} computer",
        "machine": machine,
        "cpu": models[0] if models else platform.processor() or "unknown",
        "os": f"{platform.system()} {platform.release()}",
        "n_cores": os.cpu_count(),
    }


def _texts(folder: Path, pattern: str) -> list[str]:
    found = (_lines(path) for path in sorted(folder.glob(pattern)))
    return [lines[0].strip() for lines in found if lines]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
