"""Mines folders of recordings for clips with a health sound, as HeAR's corpus was."""

import os
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from core.bundle import Bundle
from core.errors import DataError, SettingsError
from core.interpreter import Interpreter, LiteRtInterpreter
from distill.corpus.manifests import AUGMENT_PACKS, TEST_PACKS
from distill.mining.miner import Heard, Miner, MiningSettings
from distill.mining.pack import SKIPPED_FILE, MinedPack
from distill.mining.ray_cluster import check_ray_address, mine_on_cluster, ray_cluster
from distill.mining.recordings import FoundRecordings, Skipped, Source
from distill.mining.report import REPORT_FILE, MiningReport, RunMeter, add_to_report
from distill.mining.workers import mine_in_processes
from distill.shown_text import PlainConsole

SPEECH = "speech"  # of all events the one that is no health sound: alone it would fill a pack


@dataclass(frozen=True)
class Labour:
    """Who mines: `workers` of this machine, one per core where it is None, or of the Ray cluster at `ray_address`."""

    workers: int | None = 1
    ray_address: str | None = None


def mine(
    pack: MinedPack,
    sources: Sequence[Source],
    settings: MiningSettings,
    bundle: Bundle,
    labour: Labour = Labour(),
    interpreter: Interpreter | None = None,
) -> MiningReport:
    """Mine recordings into a pack, in their order, whoever does the work; those it has are passed over.

    `interpreter` replaces the bundle's model where there is one worker. The report is written also where the run is
    interrupted.
    """
    waiting = [source for source in sources if not pack.has(source)]
    interpreter = interpreter or LiteRtInterpreter(bundle.read_model(), 1, bundle.model_shape)
    miner = Miner(interpreter, settings, pack.scratch, bundle.model_shape.activity_frame_step_s)
    with _labourers(miner, bundle, labour, waiting) as (meter, results):
        try:
            _take(pack, results, meter, len(waiting))
        finally:
            report = add_to_report(pack, meter.run())
    return report


@contextmanager
def _labourers(
    miner: Miner, bundle: Bundle, labour: Labour, waiting: Sequence[Source]
) -> Generator[tuple[RunMeter, Generator[Heard]]]:
    """Start those who mine; gives the meter of the run and what they hear, in order."""
    shared = (waiting, miner.settings, bundle, miner.scratch)
    if labour.ray_address is not None:
        with ray_cluster(labour.ray_address, labour.workers) as workers:
            yield RunMeter("ray", workers), mine_on_cluster(*shared, workers)
    elif (workers := labour.workers or os.cpu_count() or 1) > 1:
        yield RunMeter("processes", workers), mine_in_processes(*shared, workers)
    else:
        yield RunMeter("processes", 1), (miner.hear(source) for source in waiting)


def _take(pack: MinedPack, results: Generator[Heard], meter: RunMeter, n_waiting: int) -> None:
    """Take what was heard into the pack, one recording after the other."""
    console = PlainConsole(stderr=True)
    with closing(results):
        for heard in track(results, "mining", n_waiting, console=console, disable=not console.is_terminal):
            if isinstance(heard.result, Skipped):
                pack.skip(heard.result)
            else:
                pack.commit(heard.source, heard.result)
            meter.count(heard)


def mining_settings(bundle: Bundle, out: Path, name: str | None, labels: str | None, minimum: float) -> MiningSettings:
    """Check what was asked for; raises SettingsError with a sentence."""
    if (reserved := Path(os.path.realpath(out)).name) in TEST_PACKS | AUGMENT_PACKS:
        raise SettingsError(f"{out}: a pack called {reserved} is never trained on; choose another name for the folder.")
    if not 0 < minimum <= 1:
        raise SettingsError(f"--min-probability is {minimum:g}; expected a number above 0 and at most 1.")
    asked = set(bundle.event_labels) - {SPEECH} if labels is None else {label.strip() for label in labels.split(",")}
    if unknown := sorted(asked - set(bundle.event_labels)):
        raise SettingsError(f"unknown label {unknown[0]!r}; the bundle's labels are {', '.join(bundle.event_labels)}.")
    if SPEECH in asked:
        raise SettingsError(f"{SPEECH} alone does not make a clip worth keeping; leave it out of --labels.")
    chosen = tuple(label for label in bundle.event_labels if label in asked)
    name = name or Path(os.path.realpath(out)).name
    return MiningSettings(
        name=name, labels=chosen, min_probability=minimum,
        event_labels=bundle.event_labels, model_sha256=bundle.model_sha256,
    )  # fmt: skip


def checked_labour(workers: int | None, ray_address: str | None) -> Labour:
    """Check who shall mine; raises SettingsError with a sentence."""
    if workers is not None and workers < 1:
        raise SettingsError(f"--workers is {workers}; expected at least 1.")
    if ray_address is not None:
        check_ray_address(ray_address)
    return Labour(workers, ray_address)


def mine_into_pack(
    settings: MiningSettings, recordings: FoundRecordings, bundle: Bundle, out: Path, labour: Labour
) -> str:
    """Mine into the pack `out` and say what came of it.

    Raises
    ------
    DataError
        If no recording could be read, in this run or before.
    """
    with MinedPack(out, settings.model_dump(mode="json")) as pack:
        for skipped in recordings.skipped:
            pack.skip(skipped)
        report = mine(pack, recordings.sources, settings, bundle, labour)
    if not report.recordings:
        raise DataError(
            f"none of the {len(recordings.sources)} recordings could be read; {out / SKIPPED_FILE} says why."
        )
    return summarize_report(report, out)


def summarize_report(report: MiningReport, out: Path) -> str:
    """What the pack holds, what the last run cost, and where the files are that say more."""
    kept = f"{report.clips} clips ({report.hours_kept:.2f} h) of {report.recordings} recordings"
    lines = [f"{out}: {kept}, {report.hours_heard:.2f} h heard, {report.duplicates_dropped} duplicates dropped"]
    if report.runs:
        run = report.runs[-1]
        cost = f"{run.wall_s:.1f} s with {run.workers} {'worker' if run.workers == 1 else 'workers'} ({run.engine})"
        rate = f"{run.audio_hours_per_core_hour:.0f} audio-hours per core-hour"
        lines.append(f"last run: {run.hours_heard:.2f} h in {cost}, {rate}; all runs in {out / REPORT_FILE}")
    if report.recordings_skipped:
        lines.append(f"{report.recordings_skipped} skipped, listed with the reason in {out / SKIPPED_FILE}")
    return "\n".join(lines)
