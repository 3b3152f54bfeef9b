"""Describes a phone by its model, processor, cores, battery, heat and load, never by its serial number."""

import re
import shlex
from dataclasses import dataclass
from typing import Any

from benchmarks.phone.adb import Phone
from benchmarks.results.device import TELLING_FLAGS

UNKNOWN = "unknown"
_CPUFREQ = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq"
_CONDITION = ("dumpsys battery", "dumpsys thermalservice", "cat /proc/loadavg")
_DIVIDER = "tussis-divider"
_PROPERTY = re.compile(r"^\[(?P<key>[^\]]+)\]: \[(?P<value>.*)\]$")
_CORE_FILE = re.compile(
    r"^\S*/cpu(?P<core>[0-9]{1,3})/cpufreq/(?P<name>cpuinfo_max_freq|scaling_governor):(?P<value>\S+)$"
)
_FIELD = re.compile(r"^\s*(?P<key>[A-Za-z ]+): (?P<value>-?\w+)\s*$")
_THERMAL_STATUS = re.compile(r"^\s*Thermal Status: (?P<status>[0-6])\s*$", re.MULTILINE)
# Android's Temperature.TYPE_CPU is 0, TYPE_SKIN is 3.
_SENSOR = re.compile(r"Temperature\{mValue=(?P<value>-?[0-9]{1,4}(?:\.[0-9]+)?), mType=(?P<kind>-?[0-9]+), ")
CPU_SENSOR, SKIN_SENSOR = 0, 3
THERMAL_WORDS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")  # PowerManager's, 0 to 6
_MACHINES = {"arm64-v8a": "aarch64", "armeabi-v7a": "armv7l", "x86_64": "x86_64", "x86": "i686"}


@dataclass(frozen=True)
class Core:
    """One processor core; its highest clock in kHz and its governor, None where Android does not say."""

    index: int
    max_khz: int | None
    governor: str | None


@dataclass(frozen=True)
class PhoneDescription:
    """What of a phone decides its speed and stays as it is."""

    model: str
    processor: str
    android: str
    sdk: int
    abi: str
    instructions: tuple[str, ...]
    cores: tuple[Core, ...]

    def big_cores(self) -> tuple[int, ...]:
        """Cores clocked higher than the slowest ones; all where they are alike; none where clocks are unknown."""
        clocks = {core.index: core.max_khz for core in self.cores if core.max_khz}
        slowest = min(clocks.values(), default=0)
        return tuple(index for index, khz in clocks.items() if khz > slowest) or tuple(clocks)

    def core_facts(self) -> dict[str, Any]:
        """Cores and clocks, for the facts of a result."""
        cores = [{"core": core.index, "max_khz": core.max_khz, "governor": core.governor} for core in self.cores]
        return {"cores": cores, "big_cores": list(self.big_cores())}

    def provenance(self) -> dict[str, Any]:
        """The fields of a row of tussis.benchmark/1 that are of the machine alone."""
        return {
            "device": self.model,
            "machine": _MACHINES.get(self.abi, self.abi),
            "cpu": self.processor,
            "n_cores": len(self.cores) or None,
            "instructions": list(self.instructions),
            "governor": ", ".join(sorted({core.governor for core in self.cores if core.governor})) or None,
            "cpu_mhz": max((core.max_khz / 1000 for core in self.cores if core.max_khz), default=None),
            "os": f"Android {self.android} (SDK {self.sdk})",
        }


@dataclass(frozen=True)
class PhoneCondition:
    """What of a phone changes while one measures; None for what it does not say. Temperatures in Celsius."""

    battery_c: float | None
    battery_percent: int | None
    is_charging: bool | None
    thermal_status: str | None
    cpu_c: float | None
    skin_c: float | None
    load: float | None

    def facts(self) -> dict[str, Any]:
        """For a row's facts, without what is not known."""
        return {key: value for key, value in vars(self).items() if value is not None}


def describe_phone(phone: Phone) -> PhoneDescription:
    """Ask a phone what it is."""
    properties = _properties(phone.read(["getprop"]))

    def first(*keys: str) -> str:
        return next((properties[key] for key in keys if properties.get(key)), UNKNOWN)

    maker, model = first("ro.product.manufacturer"), first("ro.product.model")
    soc = first("ro.soc.model", "ro.board.platform", "ro.hardware")
    sdk = first("ro.build.version.sdk")
    return PhoneDescription(
        model=model if maker == UNKNOWN or model.lower().startswith(maker.lower()) else f"{maker} {model}",
        processor=" ".join(filter(None, (properties.get("ro.soc.manufacturer"), soc))),
        android=first("ro.build.version.release"),
        sdk=int(sdk) if re.fullmatch("[0-9]{1,4}", sdk) else 0,
        abi=first("ro.product.cpu.abi"),
        instructions=_instructions(phone.run(["cat", "/proc/cpuinfo"]).text),
        cores=_cores(phone.run_script(f"grep -H '' {_CPUFREQ}/cpuinfo_max_freq {_CPUFREQ}/scaling_governor").text),
    )


def read_condition(phone: Phone) -> PhoneCondition:
    """Ask a phone how warm, charged and busy it is now; what cannot be read is None."""
    # One call, because each one wakes the phone for a moment.
    answers = phone.run_script(f"; echo {_DIVIDER}; ".join(_CONDITION)).text.split(f"{_DIVIDER}\n")
    power, thermal, load = answers if len(answers) == len(_CONDITION) else ("", "", "")
    battery = {field["key"].strip(): field["value"] for line in power.splitlines() if (field := _FIELD.match(line))}
    status = _THERMAL_STATUS.search(thermal)
    # Those that the service remembers come first, the hardware's own of this moment after.
    current = thermal.partition("Current temperatures from HAL")[2] or thermal
    plugs = [battery[key] == "true" for key in ("AC powered", "USB powered", "Wireless powered") if key in battery]
    tenths = _whole(battery.get("temperature"))
    return PhoneCondition(
        battery_c=None if tenths is None else tenths / 10,
        battery_percent=_whole(battery.get("level")),
        is_charging=any(plugs) if plugs else None,
        thermal_status=None if status is None else THERMAL_WORDS[int(status["status"])],
        cpu_c=_hottest(current, CPU_SENSOR),
        skin_c=_hottest(current, SKIN_SENSOR),
        load=None if (match := re.match(r"[0-9]{1,4}\.[0-9]{1,2}\b", load.strip())) is None else float(match[0]),
    )


def pinned(command: list[str], cores: tuple[int, ...]) -> list[str]:
    """`command` kept to `cores` by Android's taskset, whose mask is hexadecimal; as it is where `cores` is empty."""
    return ["taskset", f"{sum(1 << core for core in cores):x}", *command] if cores else command


def remove_folder(phone: Phone, folder: str) -> None:
    """Remove a folder of ours from the phone, with all that is in it."""
    answer = phone.run_script(f"rm -rf {shlex.quote(folder)}")
    if answer.status != 0:
        phone.refuse(f"cannot remove {folder}", answer.text)


def _properties(text: str) -> dict[str, str]:
    matches = (_PROPERTY.match(line) for line in text.splitlines())
    return {match["key"]: match["value"].strip() for match in matches if match}


def _instructions(cpuinfo: str) -> tuple[str, ...]:
    lines = (line for line in cpuinfo.splitlines() if line.startswith(("Features", "flags")))
    features = {word for line in lines for word in line.split()}
    return tuple(flag for flag in TELLING_FLAGS if flag in features)


def _cores(text: str) -> tuple[Core, ...]:
    cores: dict[int, dict[str, str]] = {}
    for line in text.splitlines():
        if match := _CORE_FILE.match(line):
            cores.setdefault(int(match["core"]), {})[match["name"]] = match["value"]
    return tuple(
        Core(index, _whole(files.get("cpuinfo_max_freq")), files.get("scaling_governor"))
        for index, files in sorted(cores.items())
    )


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch("-?[0-9]{1,9}", text) else None


def _hottest(thermal: str, kind: int) -> float | None:
    """Of the sensors of one kind; a phone reports several for its processor."""
    sensors = _SENSOR.finditer(thermal)
    return max((float(sensor["value"]) for sensor in sensors if int(sensor["kind"]) == kind), default=None)
