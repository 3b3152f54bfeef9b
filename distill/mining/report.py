"""Writes what mining into a pack has heard, kept and cost: report.json beside the clips."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from core.errors import DataError
from core.files import write_atomically
from distill.mining.miner import Heard
from distill.mining.pack import MinedPack, MinedRecording
from distill.settings import Settings

REPORT_FILE = "report.json"
Engine = Literal["processes", "ray"]


class MiningRun(Settings):
    """One run. ``core_s`` is processor time of this process and of the miners, not that of Ray's own processes."""

    started_utc: str
    engine: Engine
    workers: int
    recordings: int
    hours_heard: float
    wall_s: float
    core_s: float
    audio_hours_per_core_hour: float
    audio_hours_per_hour: float


class MiningReport(Settings):
    """What the pack holds, from all runs; ``runs`` lacks those that were killed before they could say anything."""

    format: Literal["tussis.mining_report/1"] = "tussis.mining_report/1"
    recordings: int
    hours_heard: float
    clips: int
    hours_kept: float
    duplicates_dropped: int
    recordings_skipped: int
    runs: tuple[MiningRun, ...] = Field(default=())


class RunMeter:
    """Counts one run while it goes on."""

    def __init__(self, engine: Engine, workers: int) -> None:
        self._engine, self._workers = engine, workers
        self._started_utc = datetime.now(UTC).isoformat(timespec="seconds")
        self._wall_s, self._core_s = time.monotonic(), time.process_time()
        self._heard_s = self._miners_s = 0.0
        self._n_recordings = 0

    def count(self, heard: Heard) -> None:
        """Count a recording; one that was skipped is no sound heard, but time spent."""
        self._n_recordings += 1
        if isinstance(heard.result, MinedRecording):
            self._heard_s += heard.result.duration_s
        if self._engine == "ray" or self._workers > 1:  # a miner in this process is in this process's time
            self._miners_s += heard.core_s

    def run(self) -> MiningRun:
        """The run up to now."""
        wall_s = time.monotonic() - self._wall_s
        core_s = time.process_time() - self._core_s + self._miners_s
        return MiningRun(
            started_utc=self._started_utc,
            engine=self._engine,
            workers=self._workers,
            recordings=self._n_recordings,
            hours_heard=round(self._heard_s / 3600, 6),
            wall_s=round(wall_s, 3),
            core_s=round(core_s, 3),
            audio_hours_per_core_hour=round(self._heard_s / core_s, 1) if core_s else 0.0,
            audio_hours_per_hour=round(self._heard_s / wall_s, 1) if wall_s else 0.0,
        )


def add_to_report(pack: MinedPack, run: MiningRun) -> MiningReport:
    """Write the pack's report with this run added; one in which no recording was mined is no run."""
    path = pack.folder / REPORT_FILE
    report = MiningReport(
        recordings=pack.n_done,
        hours_heard=round(pack.heard_s / 3600, 6),
        clips=pack.n_clips,
        hours_kept=round(pack.kept_s / 3600, 6),
        duplicates_dropped=pack.n_duplicates,
        recordings_skipped=pack.n_skipped,
        runs=(*_earlier_runs(path), *((run,) if run.recordings else ())),
    )
    write_atomically(path, report.model_dump_json(indent=1) + "\n")
    return report


def _earlier_runs(path: Path) -> tuple[MiningRun, ...]:
    try:
        return MiningReport.model_validate_json(path.read_bytes()).runs
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        raise DataError(f"{path} is no report of tussis-mine; remove it and run the command again.") from error
