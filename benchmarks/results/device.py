"""Describes the machine a measurement was made on: processor, system and load, never its name."""

import os
import platform
from pathlib import Path
from typing import Any

# Instructions that decide how fast int8 runs against float32: dot products of 8-bit integers, and wide vectors.
TELLING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm", "sve")
_CPUS = Path("/sys/devices/system/cpu")
_CPU0 = _CPUS / "cpu0" / "cpufreq"
_THERMAL = Path("/sys/class/thermal")
_BOARD = Path("/proc/device-tree/model")  # of ARM boards: "Raspberry Pi 4 Model B Rev 1.4"


def describe_device() -> dict[str, Any]:
    """Processor, telling instruction sets, cores, clock, heat and system; None for what the system does not say."""
    info = _cpu_info()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    machine = platform.machine() or "unknown"
    return {
        "device": (_text(_BOARD) or "").strip("\0") or f"{machine} computer",
        "machine": machine,
        "cpu": info.get("model name") or info.get("Hardware") or platform.processor() or "unknown",
        "n_cores": os.cpu_count(),
        "instructions": [flag for flag in TELLING_FLAGS if flag in flags],
        "governor": _text(_CPU0 / "scaling_governor"),
        "cpu_mhz": _cpu_mhz(info),
        "temperature_c": temperature_c(),
        "os": f"{platform.system()} {platform.release()}",
    }


def load_average() -> float | None:
    """Processes that wanted to run over the last minute; None where the system does not say."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def temperature_c(folder: Path = _THERMAL) -> float | None:
    """The hottest thermal zone in degrees Celsius; None where none can be read."""
    return max(thermal_zones(folder).values(), default=None)


def thermal_zones(folder: Path = _THERMAL) -> dict[str, float]:
    """Degrees Celsius of each thermal zone that can be read, by its number and type: ``thermal_zone0 cpu-thermal``."""
    texts = {path.parent: _text(path) for path in sorted(folder.glob("thermal_zone*/temp"))}
    return {
        f"{zone.name} {_text(zone / 'type') or ''}".strip(): int(text) / 1000
        for zone, text in texts.items()
        if text and text.lstrip("-").isdigit()
    }


def fastest_clock_mhz(folder: Path = _CPUS) -> float | None:
    """Clock of the fastest core as it is now, which is where work is; None where the system tells none."""
    texts = [_text(path) for path in folder.glob("cpu[0-9]*/cpufreq/scaling_cur_freq")]
    clocks = [int(text) / 1000 for text in texts if text and text.isdigit()]
    return max(clocks, default=None) or _cpu_mhz(_cpu_info())


def _cpu_mhz(info: dict[str, str]) -> float | None:
    """Clock of the first core as it is now."""
    khz = _text(_CPU0 / "scaling_cur_freq") or ""
    if khz.isdigit():
        return int(khz) / 1000
    try:
        return round(float(info["cpu MHz"]), 1)
    except (KeyError, ValueError):
        return None


def _text(path: Path) -> str | None:
    """What a file of the system says; None where it is absent, empty or may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _cpu_info() -> dict[str, str]:
    """/proc/cpuinfo of the first processor, and what is said of the machine as a whole."""
    lines = (_text(Path("/proc/cpuinfo")) or "").splitlines()
    pairs = (line.partition(":") for line in reversed(lines) if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}
