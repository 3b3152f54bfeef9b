"""The only place that describes the machine a measurement was made on: processor, system and load, never its name."""

import os
import platform
from pathlib import Path
from typing import Any

# Instructions that decide how fast int8 runs against float32: dot products of 8-bit integers, and wide vectors.
TELLING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm", "sve")


def describe_device() -> dict[str, Any]:
    """Processor, telling instruction sets, cores, system and Python."""
    info = _cpu_info()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    return {
        "cpu": info.get("model name") or info.get("Hardware") or platform.processor() or "unknown",
        "machine": platform.machine(),
        "instructions": [flag for flag in TELLING_FLAGS if flag in flags],
        "n_cores": os.cpu_count(),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def load_average() -> float | None:
    """Processes that wanted to run over the last minute; None where the system does not say."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def _cpu_info() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in reversed(lines) if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}
