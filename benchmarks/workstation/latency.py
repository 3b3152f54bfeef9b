"""Times the app's screening, its stages, the model, its parts and peers in turns."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results.device import load_average
from benchmarks.results.names import DETECTOR_NAME, MODEL, PEER, XNNPACK, YAMNET_NAME, YARDSTICK
from benchmarks.results.result import Kind, Result
from benchmarks.results.runner import Run
from benchmarks.timing.interleaved import (
    WARM_UP_RUNS,
    Contender,
    Timing,
    check_runs,
    time_interleaved,
    timed_ratio,
    timed_row,
)
from benchmarks.timing.models import load_parts, load_student_model
from benchmarks.timing.peers import load_detectors, load_peer, load_yamnet
from benchmarks.timing.runtime import check_delegate
from benchmarks.timing.screening import ScreeningContender, load_screening, write_recording
from core.bundle import Bundle, load_bundle
from core.errors import InterpreterError

LATENCY = Kind(
    "latency",
    "two runs of each in turn, the second timed, for each number of threads apart; warm-up left out; of a model a run "
    "is input copied, model invoked, all its outputs read; a screening is the app's own, from the file to the result, "
    "its stages by its own stopwatch; YAMNet's frames do not overlap; ratio of medians per second of audio, 95 % "
    "bootstrap interval over rounds; the detector that ratios are to is the fastest of its precisions",
    columns=(
        *("p50_ms", "p90_ms", "p99_ms", "max_ms", "rtf", "p95_ms", "first_run_ms", "load_ms", "allocate_ms"),
        *("model_bytes", "macs", "weight_bytes", "activation_bytes", "partitions"),
    ),
)
N_PRODUCTS, N_ROWS = 60, 48  # products of matrices so small that they stay in the first cache and on one thread
Pair = tuple[Contender, Timing]


@dataclass(frozen=True)
class Lineup:
    """Who stands side by side: the bundle's model and ``models`` in its place, peers, and what is screened.

    ``bundle`` is None for the shipped one, ``recording`` for the demonstration. ``peer_s`` is the audio that a run of a
    peer by file stands for, where its input does not say.
    """

    bundle: Path | None
    models: tuple[Path, ...]
    yamnet: Path
    has_detector: bool = False
    peers: tuple[Path, ...] = ()
    peer_s: float | None = None
    recording: Path | None = None


@dataclass(frozen=True)
class Plan:
    """How to measure: numbers of threads and delegates, runs of each at least, and seconds to go on for at least."""

    threads: tuple[int, ...]
    delegates: tuple[str, ...]
    runs: int
    seconds: float


@dataclass(frozen=True)
class Loaded:
    """All that is timed in turns; ``screenings`` are among ``contenders`` too."""

    contenders: list[Contender]
    screenings: list[ScreeningContender]


def make_plan(threads: Sequence[int] | None, delegates: Sequence[str] | None, runs: int, seconds: float) -> Plan:
    """Check what was asked for; SettingsError or InterpreterError where it cannot be done."""
    check_runs(runs)
    for name in delegates or []:
        check_delegate(name)
    return Plan(tuple(dict.fromkeys(threads or [1])), tuple(dict.fromkeys(delegates or [XNNPACK])), runs, seconds)


def measure_latency(lineup: Lineup, plan: Plan, run: Run) -> Result:
    """Time the lineup with each number of threads; the rows of one number are kept as soon as they are there."""
    ratios: list[dict[str, Any]] = []
    opened, yamnet = load_bundle(lineup.bundle), run.present(lineup.yamnet, YAMNET_NAME)
    with tempfile.TemporaryDirectory() as folder:
        recording = lineup.recording or write_recording(Path(folder) / "demonstration.wav")
        for threads in plan.threads:
            loaded = Loaded([], [])
            for delegate in plan.delegates:
                load_students(opened, lineup.models, recording, threads, delegate, loaded, run)
                loaded.contenders.extend(load_tflite_peers(lineup, yamnet, threads, delegate))
            onnx = [path for path in lineup.peers if path.suffix == ".onnx"]
            loaded.contenders.extend(load_peer(path, threads, lineup.peer_s) for path in onnx)
            ratios += time_loaded(loaded, plan, threads, run)
    return run.result(ratios=ratios, facts={"n_runs": plan.runs, "warm_up_runs": 1 + WARM_UP_RUNS})


def load_students(
    bundle: Bundle, models: Sequence[Path], recording: Path, threads: int, delegate: str, loaded: Loaded, run: Run
) -> None:
    """Load the bundle's model and those in its place into `loaded`: as a screening, alone, and its parts."""
    for path, name in [(bundle.model_path, bundle.name), *((path, path.name) for path in models)]:
        loaded.screenings.append(load_screening(bundle, path, recording, threads, name, delegate))
        loaded.contenders.append(loaded.screenings[-1].contender)
        loaded.contenders.append(load_student_model(path, threads, name, delegate, bundle.model_shape))
        try:
            loaded.contenders.extend(load_parts(path, threads, name, delegate))
        except InterpreterError as reason:
            run.note(f"Front end, body and heads are not told apart: {reason}")


def load_tflite_peers(lineup: Lineup, yamnet: Path | None, threads: int, delegate: str) -> list[Contender]:
    """The peers that LiteRT runs, with one delegate."""
    peers = [] if yamnet is None else [load_yamnet(yamnet, threads, delegate)]
    peers += load_detectors(threads, delegate) if lineup.has_detector else []
    files = [path for path in lineup.peers if path.suffix != ".onnx"]
    return peers + [load_peer(path, threads, lineup.peer_s, delegate) for path in files]


def time_loaded(loaded: Loaded, plan: Plan, threads: int, run: Run) -> list[dict[str, Any]]:
    """Time all that is loaded in turns, beside the yardstick; rows go to `run`, ratios to peers come back."""
    contenders, load_before = [*loaded.contenders, load_yardstick()], load_average()
    with run.progress(f"timing, {threads} thread(s)", plan.runs) as step:
        timings = time_interleaved(contenders, plan.runs, plan.seconds, step)
    timed = list(zip(contenders, timings, strict=True))
    screenings = {id(screening.contender): screening for screening in loaded.screenings}
    for pair in timed:  # a screening's stages come after it
        screening = screenings.get(id(pair[0]))
        stages = screening.stages(len(pair[1].runs_s)) if screening else []
        run.append(*(timed_row(*part, threads, load_before) for part in (pair, *stages)))
    return ratios_to_peers(timed, threads)


def ratios_to_peers(timed: list[Pair], threads: int) -> list[dict[str, Any]]:
    """Ratio of each of our models to each peer that ran with the same delegate, or with another runtime."""
    return [
        timed_ratio(ours, peer, to, threads)
        for ours in timed
        if ours[0].stage == MODEL and ours[0].facts["role"] != PEER
        for to, peer in _fastest_peers(timed, ours[0]).items()
    ]


def _fastest_peers(timed: list[Pair], ours: Contender) -> dict[str, Pair]:
    """Peers by name; of those that are one model in several precisions the fastest."""
    fastest: dict[str, Pair] = {}
    for pair in timed:
        peer = pair[0]
        if peer.facts["role"] != PEER or (peer.runtime is None and peer.delegate != ours.delegate):
            continue
        name = DETECTOR_NAME if peer.name.startswith(DETECTOR_NAME) else peer.name
        if name not in fastest or np.median(pair[1].runs_s) < np.median(fastest[name][1].runs_s):
            fastest[name] = pair
    return fastest


def load_yardstick() -> Contender:
    """Products of small float32 matrices through NumPy: it tells how fast the machine was, round by round.

    It must never change: results of different versions of Tussis are compared by it.
    """
    matrix = np.random.default_rng(0).normal(size=(N_ROWS, N_ROWS)).astype(np.float32)

    def run() -> None:
        for _ in range(N_PRODUCTS):
            matrix @ matrix

    facts, runtime = {"role": YARDSTICK}, f"numpy {np.__version__}"
    return Contender(YARDSTICK, run, None, None, facts, stage=YARDSTICK, delegate="none", runtime=runtime)
