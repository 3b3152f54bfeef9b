"""Mines recordings on a Ray cluster, with the same miner as on one machine."""

import logging
import os
import re
import tempfile
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.bundle import Bundle
from core.errors import DataError, OutputError, SettingsError, TussisError, one_line
from core.files import write_atomically
from core.interpreter import LiteRtInterpreter, ModelShape
from distill.mining.miner import Heard, Miner, MiningSettings
from distill.mining.pack import MinedRecording
from distill.mining.recordings import Skipped, Source

LOCAL_CLUSTER = "local"
_ADDRESS = re.compile(r"local|auto|[^\s:/]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")
MAX_TASKS = 20_000  # what Ray still schedules without delay; with more recordings than that, several make a task
MAX_RETRIES = 3  # of a recording whose node was lost; one that ends its process each time shall not go on for ever


@dataclass(frozen=True)
class SentClip:
    """A clip on its way from a node to the pack: the key of its recording, the name and content of its file."""

    key: str
    name: str
    content: bytes


def check_ray_address(address: str) -> None:
    """Raise SettingsError where `address` is none, or Ray is not installed."""
    if not _ADDRESS.fullmatch(address):
        raise SettingsError(f"--ray-address is {address!r}; expected local, auto or HOST:PORT of a running head node.")
    try:
        _import_ray()
    except ImportError as error:
        raise SettingsError(f"--ray-address needs Ray: pip install -e '.[cluster]' ({one_line(error)}).") from error


def _import_ray() -> Any:
    """Ray, which reads these variables when it is imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # mining tells nobody outside that it runs
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray.data

    return ray


@contextmanager
def ray_cluster(address: str, workers: int | None) -> Iterator[int]:
    """Join the cluster at `address`, or start one on this machine; gives the number of workers it can have.

    Raises
    ------
    SettingsError
        If no cluster of the same version of Ray and Python answers there, or none starts here.
    """
    ray = _import_ray()
    started_here = {"num_cpus": workers or os.cpu_count(), "include_dashboard": False}
    options = started_here if address == LOCAL_CLUSTER else {}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:  # Ray raises Exception itself where a node does not start in time
        here = "no Ray node starts on this machine; try again when it has less to do"
        there = "expected the address of a running Ray head node with the same versions of Ray and Python"
        reason = here if address == LOCAL_CLUSTER else there
        raise SettingsError(f"--ray-address {address} cannot be used: {reason} ({one_line(error)}).") from error
    try:
        yield workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        ray.shutdown()


def mine_on_cluster(
    sources: Sequence[Source], settings: MiningSettings, bundle: Bundle, scratch: Path, workers: int
) -> Generator[Heard]:
    """Mine in Ray Data actors, at most `workers`, each with a model and a core; the results come in order.

    Every node reads the recordings at the same paths, as from a network file system, and has Tussis installed. Clips
    travel through Ray into `scratch`, so that only this machine has to see the pack.

    Raises
    ------
    DataError
        If an actor was lost more than three times over the same recordings, or the cluster is gone.
    """
    from ray.exceptions import RayError

    model = (bundle.read_model(), bundle.model_shape, settings)
    try:
        for row in _mined_pieces(_import_ray().data, sources, model, workers):
            if isinstance(piece := row["piece"], SentClip):
                _receive(scratch / piece.key, piece)
            else:
                yield replace(piece, result=_placed(piece.result, scratch / piece.source.key))
    except RayError as error:
        if isinstance(cause := getattr(error, "cause", None), TussisError):
            raise cause from None
        remedy = "run the command again to go on, with --workers 1 and without --ray-address to see which recording"
        raise DataError(f"the cluster lost what it was mining ({one_line(error)}); {remedy}.") from error


def _mined_pieces(data: Any, sources: Sequence[Source], model: tuple[Any, ...], workers: int) -> Iterator[dict]:
    """The actors' rows, in the order of the sources: of each recording its clips, then what was heard."""
    context = data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if not sources:
        return iter(())
    n_tasks = min(len(sources), MAX_TASKS)
    recordings = data.from_items([{"source": source} for source in sources], override_num_blocks=n_tasks)
    with warnings.catch_warnings():
        # Ray 2.60 has no other way to say how often a task is tried again, and without it would try for ever.
        warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
        mined = recordings.map_batches(
            NodeMiner,
            fn_constructor_args=model,
            batch_size=1,
            batch_format="numpy",
            compute=data.ActorPoolStrategy(min_size=1, max_size=workers, max_tasks_in_flight_per_actor=2),
            num_cpus=1,
            max_task_retries=MAX_RETRIES,
        )
    return mined.iter_rows()


class NodeMiner:
    """A model on one node of the cluster: takes batches of recordings, gives one row a piece."""

    def __init__(self, model: bytes, shape: ModelShape, settings: MiningSettings) -> None:
        self._interpreter, self._settings = LiteRtInterpreter(model, 1, shape), settings
        self._frame_step_s = shape.activity_frame_step_s

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        for source in batch["source"]:
            with tempfile.TemporaryDirectory(prefix="tussis-mining-") as scratch:
                heard = Miner(self._interpreter, self._settings, Path(scratch), self._frame_step_s).hear(source)
                if isinstance(heard.result, MinedRecording):
                    for clip in heard.result.clips:
                        yield _row(SentClip(source.key, clip.file.name, clip.file.read_bytes()))
                yield _row(heard)


def _row(piece: SentClip | Heard) -> dict[str, np.ndarray]:
    column = np.empty(1, object)
    column[0] = piece
    return {"piece": column}


def _receive(folder: Path, clip: SentClip) -> None:
    """Write a clip where a miner on this machine would have left it."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}.") from error
    write_atomically(folder / clip.name, clip.content)


def _placed(result: MinedRecording | Skipped, folder: Path) -> MinedRecording | Skipped:
    """What was heard, with its clips' files on this machine."""
    if isinstance(result, Skipped):
        return result
    return replace(result, clips=tuple(replace(clip, file=folder / clip.file.name) for clip in result.clips))
