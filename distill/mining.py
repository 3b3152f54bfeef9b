"""The only place that mines folders of recordings for clips with a health sound, as HeAR's corpus was (tussis-mine)."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from core.bundle import Bundle, load_bundle
from core.errors import DataError, SettingsError, exit_on_error
from core.interpreter import Interpreter, LiteRtInterpreter, ModelShape
from distill.clip_miner import Miner, MiningSettings
from distill.manifests import AUGMENT_PACKS, TEST_PACKS
from distill.mined_pack import SKIPPED_FILE, MinedPack, MinedRecording, check_pack_folder
from distill.recording_folders import Found, Skipped, Source, find_recordings, printable

SPEECH = "speech"  # of all events the one that is no health sound: alone it would fill a pack
QUEUED_PER_WORKER = 4

Results = Generator[tuple[Source, MinedRecording | Skipped], None, None]


def mine(
    pack: MinedPack,
    sources: Sequence[Source],
    settings: MiningSettings,
    bundle: Bundle,
    workers: int = 1,
    interpreter: Interpreter | None = None,
) -> float:
    """Mine recordings into a pack, in their order, whatever the number of workers; those it has are passed over.

    `interpreter` replaces the bundle's model where there is one worker. Returns the seconds of sound that were heard.
    """
    waiting = [source for source in sources if not pack.has(source)]
    interpreter = interpreter or LiteRtInterpreter(bundle.read_model(), 1, bundle.model_shape)
    miner = Miner(interpreter, settings, pack.scratch)
    console = Console(stderr=True)
    heard_s = 0.0
    results = _in_parallel(waiting, miner, bundle, workers) if workers > 1 else _one_by_one(waiting, miner)
    with closing(results):
        for source, mined in track(results, "mining", len(waiting), console=console, disable=not console.is_terminal):
            if isinstance(mined, Skipped):
                pack.skip(mined)
            else:
                pack.commit(source, mined)
                heard_s += mined.duration_s
    return heard_s


def _one_by_one(sources: Sequence[Source], miner: Miner) -> Results:
    for source in sources:
        yield source, miner.mine(source)


def _in_parallel(sources: Sequence[Source], miner: Miner, bundle: Bundle, workers: int) -> Results:
    """Mine in processes, with a bounded number of recordings on their way; the results come in order."""
    start = partial(_start_worker, bundle.read_model(), bundle.model_shape, miner.settings, miner.scratch)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the workers, each of which has a core to itself
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), start)
    running: deque[tuple[Source, Future]] = deque()
    try:
        for source in sources:
            running.append((source, pool.submit(_mine_in_worker, source)))
            if len(running) >= QUEUED_PER_WORKER * workers:
                yield running[0][0], running.popleft()[1].result()
        while running:
            yield running[0][0], running.popleft()[1].result()
    except BrokenProcessPool as error:
        remedy = "run the command again to go on, with --workers 1 to see which recording it is"
        raise DataError(f"a worker process ended before its recording was mined; {remedy}.") from error
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()  # rather than wait until hours of sound have been heard
        raise
    finally:
        pool.shutdown(cancel_futures=True)


_miner: Miner | None = None  # of a worker process


def _start_worker(model: bytes, shape: ModelShape, settings: MiningSettings, scratch: Path) -> None:
    global _miner
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends without a traceback
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _miner = Miner(LiteRtInterpreter(model, 1, shape), settings, scratch)


def _end_with_parent() -> None:
    """A parent killed with SIGKILL can tell nobody; without this its workers would wait for ever."""
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _mine_in_worker(source: Source) -> MinedRecording | Skipped:
    return _miner.mine(source)


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


def mine_into_pack(settings: MiningSettings, found: Found, bundle: Bundle, out: Path, workers: int) -> str:
    """Mine into the pack `out` and say what came of it.

    Raises
    ------
    DataError
        If no recording could be read, in this run or before.
    """
    spent_s = sum(os.times()[:4])
    with MinedPack(out, settings.model_dump(mode="json")) as pack:
        for skipped in found.skipped:
            pack.skip(skipped)
        heard_s = mine(pack, found.sources, settings, bundle, workers)
    spent_s = sum(os.times()[:4]) - spent_s
    if not pack.n_done:
        raise DataError(f"none of the {len(found.sources)} recordings could be read; {out / SKIPPED_FILE} says why.")
    rate = f", {heard_s / spent_s:.0f} audio-hours per core-hour" if heard_s else ""
    lines = [f"{out}: {pack.n_clips} clips of {pack.n_done} recordings; {heard_s / 3600:.2f} h heard in this run{rate}"]
    if pack.n_skipped:
        lines.append(f"{pack.n_skipped} skipped, listed with the reason in {out / SKIPPED_FILE}")
    return "\n".join(lines)


app = typer.Typer(add_completion=False)


@app.command()
def command(
    folders: Annotated[list[Path], typer.Argument(help="Folders with recordings of any length: WAV, FLAC, Ogg, MP3.")],
    out: Annotated[Path, typer.Option(help="Pack to write: a new folder, or one to go on with.")],
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the shipped one when left out.")] = None,
    min_probability: Annotated[float, typer.Option(help="Least probability of one of the labels, 0 to 1.")] = 0.3,
    labels: Annotated[str | None, typer.Option(help="Event labels, with commas; all but speech when left out.")] = None,
    licence: Annotated[str, typer.Option(help="Of recordings of which no pack's manifest.csv says it.")] = "unknown",
    name: Annotated[str | None, typer.Option(help="Name of the data set; the pack folder's when left out.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; one per core when left out.")] = None,
) -> None:
    """Keep the 2-s clips that hold a health sound, as a pack that training takes as unlabelled data.

    Clips are 16 kHz FLAC; clips that overlap a better one and near-duplicates are left out. A recording that a pack's
    manifest.csv lists keeps its subject; else the first folder below FOLDER is one subject, and a recording that lies
    directly in FOLDER another. A run that was stopped goes on when it is started again.

    Example: tussis-mine recordings --out data/mined --licence "CC BY 4.0"
    """
    with exit_on_error("tussis-mine"):
        opened = load_bundle(bundle)
        settings = mining_settings(opened, out, name, labels, min_probability)
        if workers is not None and workers < 1:
            raise SettingsError(f"--workers is {workers}; expected at least 1.")
        check_pack_folder(out)
        found = find_recordings(folders, out, settings.name, licence)
        print(printable(mine_into_pack(settings, found, opened, out, workers or os.cpu_count() or 1)))


def main() -> None:
    """Entry point of ``tussis-mine``."""
    app()


if __name__ == "__main__":
    main()
