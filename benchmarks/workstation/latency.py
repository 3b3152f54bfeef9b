"""The only place for the latency benchmark: the app's screening, its stages and peers in turns (latency)."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from benchmarks.results.device import load_average
from benchmarks.results.result import Result, Row, make_result
from benchmarks.results.row_log import RowLog
from benchmarks.results.yardstick import load_yardstick
from benchmarks.timing.contenders import DETECTOR, MODEL, PEER, YAMNET
from benchmarks.timing.delegates import XNNPACK, check_delegate
from benchmarks.timing.instrument import MAX_SHARE, Instrument, empty_contender, measure_instrument
from benchmarks.timing.interleaved import (
    MIN_RUNS,
    WARM_UP_RUNS,
    Contender,
    Timing,
    check_runs,
    time_interleaved,
)
from benchmarks.timing.screening import SCREENING, ScreeningContender, write_recording
from benchmarks.timing.timed_rows import timed_ratio, timed_row
from benchmarks.workstation.latency_options import (
    BundleOption,
    DelegateOption,
    DetectorOption,
    FloatOption,
    JsonOption,
    MlperfOption,
    ModelOption,
    PeerOption,
    PeerSecondsOption,
    RecordingOption,
    RunsOption,
    SecondsOption,
    ThreadsOption,
    YamnetOption,
)
from benchmarks.workstation.latency_subjects import Subjects, load_subjects
from benchmarks.workstation.latency_table import show
from core.bundle import load_bundle
from core.errors import exit_on_error
from core.files import check_writable

KIND = "latency"
YAMNET_FILE = Path("../shared/models/yamnet.tflite")
MLPERF_RUNS, MLPERF_S = 1024, 60.0
PROTOCOL = (
    "two runs of each in turn, the second timed, for each number of threads apart; warm-up left out; "
    "of a model a run is input copied, "
    "model invoked, all its outputs read; a screening is the app's own, from the file to the result, its stages by its "
    "own stopwatch; YAMNet's frames do not overlap; ratio of medians per second of audio, 95 % bootstrap interval over "
    "rounds; the detector that ratios are to is the fastest of its precisions"
)
Pair = tuple[Contender, Timing]


@dataclass(frozen=True)
class Plan:
    """How to measure: numbers of threads and delegates, runs of each at least, and seconds to go on for at least."""

    threads: tuple[int, ...]
    delegates: tuple[str, ...]
    runs: int
    seconds: float
    is_mlperf: bool

    @property
    def facts(self) -> dict[str, Any]:
        """For the result: MLPerf Mobile's single stream is judged by its 90th percentile."""
        headline = "p90_ms" if self.is_mlperf else "p50_ms"
        return {
            "n_runs": self.runs,
            "warm_up_runs": 1 + WARM_UP_RUNS,
            "headline": headline,
            "is_mlperf": self.is_mlperf,
        }


@dataclass(frozen=True)
class Block:
    """What one number of threads gave: rows, ratios to peers, and what measuring cost."""

    rows: list[Row]
    ratios: list[dict[str, Any]]
    instrument: dict[str, Any]


def measure(subjects: Subjects, plan: Plan, log: RowLog, console: Console) -> Result:
    """Time all subjects with each number of threads; rows are in `log` as soon as they are there."""
    blocks = []
    notes: dict[str, None] = {}
    for threads in plan.threads:
        block = measure_block(subjects, plan, threads, console, notes.setdefault)
        for row in block.rows:
            log.append(row)
        blocks.append(block)
    for note in notes:
        console.print(note)
    ratios = [ratio for block in blocks for ratio in block.ratios]
    facts = {**plan.facts, "instrument": [block.instrument for block in blocks]}
    return make_result(KIND, PROTOCOL, log.rows, ratios, facts=facts)


def measure_block(subjects: Subjects, plan: Plan, threads: int, console: Console, note: Callable[[str], Any]) -> Block:
    """Load all subjects, time them in turns with one another and with a run that does nothing."""
    loaded = load_subjects(subjects, threads, list(plan.delegates), note)
    contenders = [*loaded.contenders, load_yardstick(), empty_contender()]
    load_before = load_average()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"timing, {threads} thread(s)", total=plan.runs)
        on_round = lambda n: progress.update(task, completed=n)  # noqa: E731
        timings = time_interleaved(contenders, plan.runs, plan.seconds, on_round)
    instrument = measure_instrument(timings[-1])
    timed = list(zip(contenders[:-1], timings[:-1], strict=True))
    screenings = {id(its.contender): its for its in loaded.screenings}
    rows = []
    for pair in timed:
        rows += _rows(pair, screenings.get(id(pair[0])), instrument, threads, load_before)
    return Block(rows, ratios_to_peers(timed, threads), instrument_facts(instrument, rows, threads))


def _rows(
    pair: Pair, screening: ScreeningContender | None, instrument: Instrument, threads: int, load_before: float | None
) -> list[Row]:
    """The row of a contender, and of a screening's stages after it, each with the share that measuring takes of it."""
    contender, timing = pair
    p50_s = float(np.median(timing.runs_s))
    n_entries = sum(screening.n_entries.values()) if screening else 0
    share = {"instrument_share": instrument.share_of_run(p50_s, n_entries)}
    rows = [timed_row(contender, timing, threads, load_before, share)]
    for stage, its in screening.stages(len(timing.runs_s)) if screening else []:
        entries = screening.n_entries[stage.stage.partition(": ")[2]]
        share = {"instrument_share": instrument.share_of_stage(float(np.median(its.runs_s)), entries)}
        rows.append(timed_row(stage, its, threads, load_before, share))
    return rows


def ratios_to_peers(timed: list[Pair], threads: int) -> list[dict[str, Any]]:
    """Ratio of each of our models to each peer that ran with the same delegate, or with another runtime."""
    ratios = []
    for ours in (pair for pair in timed if pair[0].stage == MODEL and pair[0].facts["role"] != PEER):
        for to, peer in _fastest_peers(timed, ours[0]).items():
            ratios.append(timed_ratio(ours, peer, to, threads))
    return ratios


def _fastest_peers(timed: list[Pair], ours: Contender) -> dict[str, Pair]:
    """Peers by name; of those that are one model in several precisions the fastest."""
    fastest: dict[str, Pair] = {}
    for pair in timed:
        peer = pair[0]
        if peer.facts["role"] != PEER or (peer.runtime is None and peer.delegate != ours.delegate):
            continue
        name = DETECTOR if peer.name.startswith(DETECTOR) else peer.name
        if name not in fastest or np.median(pair[1].runs_s) < np.median(fastest[name][1].runs_s):
            fastest[name] = pair
    return fastest


def instrument_facts(instrument: Instrument, rows: list[Row], threads: int) -> dict[str, Any]:
    """What measuring costs, the row of which it is the largest share, and stages too short for a stopwatch."""
    shares = {f"{row['name']}, {row['stage']}": row["metrics"]["instrument_share"] for row in rows}
    short = {what: its for what, its in shares.items() if f"{SCREENING}: " in what and its > MAX_SHARE}
    worst = max((what for what in shares if what not in short), key=lambda what: shares[what])
    return {
        "threads": threads,
        "empty_run_ms": 1000 * instrument.empty_run_s,
        "stage_entry_ms": 1000 * instrument.stage_entry_s,
        "largest_share": shares[worst],
        "of": worst,
        "max_share": MAX_SHARE,
        "too_short": short,
    }


def make_plan(threads: list[int] | None, delegates: list[str] | None, runs: int, seconds: float, mlperf: bool) -> Plan:
    """Check what was asked for; SettingsError or InterpreterError where it cannot be done."""
    check_runs(runs)
    for name in delegates or []:
        check_delegate(name)
    if mlperf:
        runs, seconds = max(runs, MLPERF_RUNS), max(seconds, MLPERF_S)
    return Plan(
        tuple(dict.fromkeys(threads or [1])), tuple(dict.fromkeys(delegates or [XNNPACK])), runs, seconds, mlperf
    )


def latency(
    bundle: BundleOption = None,
    model: ModelOption = None,
    float_model: FloatOption = None,
    yamnet: YamnetOption = YAMNET_FILE,
    detector: DetectorOption = False,
    peer: PeerOption = None,
    peer_seconds: PeerSecondsOption = None,
    recording: RecordingOption = None,
    runs: RunsOption = MIN_RUNS,
    seconds: SecondsOption = 0,
    mlperf: MlperfOption = False,
    threads: ThreadsOption = None,
    delegate: DelegateOption = None,
    json_path: JsonOption = None,
) -> None:
    """Time the app's screening, its stages, the model and peers, run by run in turns: percentiles in milliseconds.

    Example: tussis-benchmark latency --threads 1 --threads 2 --json latency.json
    """
    with exit_on_error("tussis-benchmark"), tempfile.TemporaryDirectory() as folder:
        plan = make_plan(threads, delegate, runs, seconds, mlperf)
        console, notes = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
        if json_path is not None:
            check_writable(json_path)
        subjects = Subjects(
            bundle=load_bundle(bundle),
            models=(*(model or []), *(float_model or [])),
            yamnet=_present(yamnet, notes),
            peers=tuple(peer or []),
            peer_s=peer_seconds,
            has_detector=detector,
            recording=recording or write_recording(Path(folder) / "demonstration.wav"),
        )
        with RowLog(json_path, KIND, PROTOCOL) as log:
            result = measure(subjects, plan, log, notes)
            log.finish(result)
        show(result, console)


def _present(yamnet: Path, console: Console) -> Path | None:
    if yamnet.exists():
        return yamnet
    console.print(f"{YAMNET} is left out: there is no file {yamnet}")
    return None
