"""Measures one model in one setting on this device, for the latency page and its file."""

import hashlib
import json
import threading
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.devices.condition import DeviceCondition
from app.devices.platform import machine_facts, open_interpreter, read_condition
from app.imported_model import IMPORTED_NAME
from app.latency.page import MIN_RUNS, Latency, time_screenings
from app.latency.request import BUILTIN, XNNPACK
from core.audio import SAMPLE_RATE_HZ
from core.bundle import load_bundle
from core.demonstration import synthesize_demonstration
from core.errors import TussisError
from core.screener import Screener
from core.signing import TrustPolicy

SCHEMA, KIND = "tussis.benchmark/1", "latency"
PROTOCOL = (
    "Screens a synthetic recording again and again on the device, as it would arrive, with a model that nothing else "
    "uses; the first run is told apart."
)
RUNS = 50
THREADS = (1, 2, 4)


class StoppedError(TussisError):
    """Somebody stopped a measurement before it had runs enough."""


@dataclass(frozen=True)
class Setting:
    """Which model, the one that comes with Tussis or the imported one, and how it is run."""

    is_imported: bool = False
    threads: int = 1
    xnnpack: bool = True


@dataclass(frozen=True)
class Measurement:
    """What was found; ``result`` is a whole tussis.benchmark/1."""

    model: str
    setting: Setting
    load_ms: float
    latency: Latency
    before: DeviceCondition
    after: DeviceCondition
    result: dict[str, Any]

    @property
    def as_json(self) -> str:
        """The file's text."""
        return json.dumps(self.result, indent=2) + "\n"


class Measuring:
    """One measurement while it runs: `measure` is for a thread, the rest for any other.

    Attributes
    ----------
    n_done, n_runs : int
        Screenings that are done, of how many.
    """

    def __init__(self, setting: Setting, folder: Path, trust: TrustPolicy, n_runs: int = RUNS) -> None:
        self.setting, self.n_done, self.n_runs = setting, 0, n_runs
        self._folder, self._trust = folder, trust
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End after the screening that runs; with `MIN_RUNS` and more they count."""
        self._stopped.set()

    def measure(self) -> Measurement:
        """Load the model, and time it; raises `StoppedError`, and as loading and screening do."""
        setting, waveform = self.setting, synthesize_demonstration()
        before, began_s = read_condition(), time.perf_counter()
        bundle = load_bundle(self._folder / IMPORTED_NAME if setting.is_imported else None, self._trust)
        interpreter = open_interpreter(bundle.read_model(), setting.threads, bundle.model_shape, setting.xnnpack)
        load_ms = 1000 * (time.perf_counter() - began_s)
        try:
            latency = time_screenings(
                Screener(bundle, interpreter=interpreter),
                waveform,
                SAMPLE_RATE_HZ,
                self.n_runs,
                self._stopped.is_set,
                self._follow,
            )
            runtime = interpreter.runtime
        finally:
            getattr(interpreter, "close", lambda: None)()
        after = read_condition()
        facts = _machine(before, after) | {
            "runtime": runtime,
            "delegate": XNNPACK if setting.xnnpack else BUILTIN,
            "threads": setting.threads,
            "model_sha256": bundle.model_sha256,
        }
        row = latency.row(facts) | {"name": bundle.name}
        row["metrics"]["load_ms"] = load_ms
        row["facts"] = {
            "before": _told(before), "after": _told(after), "app_sha256": app_sha256(), "stages": latency.stages,
        }  # fmt: skip
        row["commit"] = f"app {row['facts']['app_sha256'][:12]}"
        result = {"schema": SCHEMA, "kind": KIND, "protocol": PROTOCOL, "rows": [row]}
        return Measurement(bundle.name, setting, load_ms, latency, before, after, result)

    def _follow(self, n_done: int) -> None:
        self.n_done = n_done
        if self._stopped.is_set() and n_done < MIN_RUNS:
            raise StoppedError("The measurement was stopped before it had runs enough.")


def app_sha256() -> str:
    """Of the names and contents of what runs here, `app` and `core`, so that two results tell one app from another."""
    digest, root = hashlib.sha256(), Path(__file__).parents[2]
    for folder in ("app", "core"):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _machine(before: DeviceCondition, after: DeviceCondition) -> dict[str, Any]:
    """The keys of a row that are of the device."""
    facts = machine_facts()
    facts["machine"] = facts.pop("abi", None) or facts["machine"]
    return facts | {
        "instructions": [],
        "governor": None,
        "cpu_mhz": None,
        "temperature_c": after.warmest_c,
        "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "load_average": {"before": before.load, "after": after.load},
    }


def _told(condition: DeviceCondition) -> dict[str, Any]:
    return {key: value for key, value in asdict(condition).items() if value is not None}
