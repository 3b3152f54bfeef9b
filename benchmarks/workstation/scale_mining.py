"""The only place that measures how many hours of sound tussis-mine hears with more and more workers."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.results.device import load_average
from benchmarks.results.names import XNNPACK
from benchmarks.results.result import Row, describe_run, make_row, timing_metrics
from benchmarks.workstation.looped_sound import write_long_wav
from core.bundle import Bundle
from distill.mining.mine import Labour, mine_into_pack, mining_settings
from distill.mining.recordings import find_recordings
from distill.mining.report import REPORT_FILE, MiningReport, MiningRun

RECORDINGS_PER_WORKER = 4
MIN_PROBABILITY = 0.3  # the command's default


def worker_counts(n_cores: int | None = None) -> tuple[int, ...]:
    """1, 2, 4 ... and the number of cores."""
    n_cores = n_cores or os.cpu_count() or 1
    return tuple(dict.fromkeys([2**power for power in range(n_cores.bit_length()) if 2**power <= n_cores] + [n_cores]))


def write_mined_recordings(folder: Path, minutes: float, most_workers: int) -> Path:
    """Write recordings of `minutes` together, several for each worker; the folder."""
    folder.mkdir()
    n_recordings = RECORDINGS_PER_WORKER * most_workers
    for number in range(n_recordings):
        write_long_wav(folder / f"{number}.wav", 60 * minutes / n_recordings)
    return folder


def mine_once(bundle: Bundle, recordings: Path, out: Path, workers: int) -> MiningRun:
    """Mine a folder into a new pack, through the command's own code; what the run cost, as its report says."""
    settings = mining_settings(bundle, out, None, None, MIN_PROBABILITY)
    found = find_recordings([recordings], out, settings.name, "unknown")
    mine_into_pack(settings, found, bundle, out, Labour(workers))
    return MiningReport.model_validate_json((out / REPORT_FILE).read_bytes()).runs[-1]


def measure_mining(
    bundle: Bundle,
    data: Path | None,
    minutes: float,
    counts: tuple[int, ...],
    rounds: int,
    on_step: Callable[[], None],
) -> Iterator[Row]:
    """Mine the folder `data`, or synthesized recordings where it is None, in turns with each of `counts`, 1 among them.

    A row a number of workers; ``speed_up`` is over one.
    """
    load_before = load_average()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recordings = data or write_mined_recordings(folder / "recordings", minutes, max(counts))
        runs: dict[int, list[MiningRun]] = {count: [] for count in counts}
        for number in range(rounds):
            for count in counts:
                runs[count].append(mine_once(bundle, recordings, folder / f"pack {number} {count}", count))
                on_step()
    provenance = describe_run(1, XNNPACK, bundle.read_model(), load_before=load_before)
    alone_s = float(np.median([its.wall_s for its in runs[1]]))
    for count in counts:
        samples_ms, audio_s = [1000 * its.wall_s for its in runs[count]], 3600 * runs[count][0].hours_heard
        speed_up = alone_s / float(np.median([its.wall_s for its in runs[count]]))
        metrics = {**timing_metrics(samples_ms, audio_s), **_rates(runs[count]), "speed_up": speed_up}
        metrics |= {"workers": count, "share_of_ideal": speed_up / count}
        stage = f"mining, {count} {'worker' if count == 1 else 'workers'}"
        yield make_row(bundle.name, stage, provenance, metrics, audio_s, len(samples_ms), samples_ms)


def _rates(runs: list[MiningRun]) -> dict[str, float]:
    """Medians of what each run's report says."""
    names = ("recordings", "core_s", "audio_hours_per_core_hour", "audio_hours_per_hour")
    return {name: float(np.median([getattr(its, name) for its in runs])) for name in names}
