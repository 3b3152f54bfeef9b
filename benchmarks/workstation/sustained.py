"""The only place for the benchmark of sustained load: a monitor that listens for minutes on end (sustained)."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.results.device import load_average
from benchmarks.results.names import XNNPACK
from benchmarks.results.result import Result, Row, describe_run, make_result, make_row, timing_metrics
from benchmarks.results.row_log import RowLog
from benchmarks.results.verdicts import MARGIN, MEDIAN, compare_samples
from benchmarks.workstation.looped_sound import endless_blocks
from benchmarks.workstation.sustained_listening import BLOCK_S, N_PARTS, Part, listen, paced, warm_up
from core.audio import SAMPLE_RATE_HZ
from core.bundle import Bundle, load_bundle
from core.errors import SettingsError, exit_on_error
from core.files import check_writable
from core.interpreter import LiteRtInterpreter
from core.monitoring.gate import GateSettings
from core.monitoring.monitor import Monitor, MonitorSettings

KIND = "sustained"
DRIFT = "last tenth over the first"
MIN_PART_S, MIN_PACED_PART_S = 0.3, 3.0
MAX_KEPT_SAMPLES = 1000
MIN_SLOPE_S = 60.0  # a slope an hour from less would be made of noise
PROTOCOL = (
    f"one monitor hears a synthesized minute again and again in blocks of {BLOCK_S:g} s, two hops; a run is one block: "
    "gate where asked for, model, quality, events and totals; a row is a tenth of the time, its single runs kept where "
    f"there are at most {MAX_KEPT_SAMPLES}; drift is the median of the last tenth over that of the first, 95 % "
    "bootstrap interval over stretches; memory is what the process holds without mapped files; memory, heat and clock "
    "are read every 10 s"
)


@dataclass(frozen=True)
class Load:
    """For how long and how: `gate` None runs every clip, which is the worst case; paced is in real time."""

    seconds: float
    gate: GateSettings | None
    is_paced: bool
    threads: int = 1

    def __post_init__(self) -> None:
        least_s = N_PARTS * (MIN_PACED_PART_S if self.is_paced else MIN_PART_S)
        if not self.seconds >= least_s:  # so that NaN is refused too
            how = "in real time" if self.is_paced else "as fast as possible"
            raise SettingsError(
                f"--minutes is {self.seconds / 60:g}; drift {how} needs at least {least_s / 60:g} minutes."
            )


def measure(bundle: Bundle, load: Load, log: RowLog, console: Console) -> Result:
    """Let one monitor listen; each tenth is a row in `log` as soon as it is over."""
    model, load_before = bundle.read_model(), load_average()
    monitor = Monitor(
        bundle,
        LiteRtInterpreter(model, load.threads, bundle.model_shape),
        SAMPLE_RATE_HZ,
        MonitorSettings(gate=load.gate),
    )
    sound, parts = endless_blocks(BLOCK_S), []
    warm_up(monitor, sound)
    blocks = paced(sound, BLOCK_S) if load.is_paced else sound
    with Progress(
        console=console, transient=True, disable=not console.is_terminal, refresh_per_second=1
    ) as progress:  # drawn seldom: it takes the same processor
        task = progress.add_task("listening", total=N_PARTS)
        for part in listen(monitor, blocks, load.seconds):
            keep_part(parts, part)
            log.append(part_row(bundle, load, part, len(parts), model, load_before))
            progress.advance(task)
    monitor.finish()
    drift = drift_comparison(bundle.name, load.threads, parts)
    return make_result(KIND, PROTOCOL, log.rows, comparisons=[drift], facts=run_facts(load, monitor, parts))


def keep_part(parts: list[Part], part: Part) -> None:
    """Add a tenth; of those between the first and the last only the points stay, as times would look like a leak."""
    if len(parts) > 1:
        parts[-1] = replace(parts[-1], times_s=np.zeros(0))
    parts.append(part)


def part_row(bundle: Bundle, load: Load, part: Part, number: int, model: bytes, load_before: float | None) -> Row:
    """The row of tenth `number`, from 1: latency of a block, and memory, heat and clock at its end."""
    samples_ms, last = 1000 * part.times_s, part.points[-1]
    metrics = {
        **timing_metrics(samples_ms, BLOCK_S),
        "p50_ms_per_hop": float(np.median(samples_ms)) * MonitorSettings.hop_s / BLOCK_S,
        "audio_s_per_s": part.audio_s_per_s,
        "busy_share": float(part.times_s.sum()) / (part.end_s - part.begin_s),
        "n_late": int((part.times_s > BLOCK_S).sum()),
        "resident_bytes": last["resident_bytes"],
        "clock_mhz": last["clock_mhz"],
        "hottest_c": max((last["temperatures_c"] or {}).values(), default=None),
    }
    metrics = {key: its for key, its in metrics.items() if its is not None}
    run = describe_run(load.threads, XNNPACK, model, load_before=load_before)
    stage = f"{100 * (number - 1) // N_PARTS} to {100 * number // N_PARTS} %"
    kept = samples_ms if len(samples_ms) <= MAX_KEPT_SAMPLES else None
    points = {"points": part.points}
    return make_row(bundle.name, stage, run, metrics, BLOCK_S, len(samples_ms), kept, points)


def drift_comparison(name: str, threads: int, parts: list[Part]) -> dict[str, Any]:
    """The last tenth's median over the first's, with interval and verdict: slower where the device cannot keep up."""
    first, last = (1000 * its.times_s for its in (parts[0], parts[-1]))
    key = {"name": name, "stage": DRIFT, "threads": threads, "delegate": XNNPACK}
    return key | asdict(compare_samples(first, last, None, MARGIN, MEDIAN))


def run_facts(load: Load, monitor: Monitor, parts: list[Part]) -> dict[str, Any]:
    """How it was heard, what the gate left out, what each stage took, and how memory grew."""
    totals, timing_ms = monitor.totals, monitor.timing_ms
    spent_ms = sum(its for stage, its in timing_ms.items() if stage != "total")
    stages = {stage: its / spent_ms for stage, its in timing_ms.items() if stage != "total" and its}
    return {
        "pace": "real time" if load.is_paced else "as fast as possible",
        "gate": None if load.gate is None else asdict(load.gate),
        "gated_share": totals.gated_share or 0.0,
        "minutes": load.seconds / 60,
        "audio_hours": monitor.duration_s / 3600,
        "hop_s": monitor.settings.hop_s,
        "share_of_time": stages,
        "memory": memory_growth(parts),
    }


def memory_growth(parts: list[Part]) -> dict[str, float | None]:
    """Bytes after a tenth and at the end, and the slope over all points in between, None over less than a minute."""
    after = [(its["at_s"], its["resident_bytes"]) for part in parts[1:] for its in part.points]
    at_a_tenth, at_the_end = (part.points[-1]["resident_bytes"] for part in (parts[0], parts[-1]))
    is_told = after[-1][0] - after[0][0] >= MIN_SLOPE_S and None not in (at_a_tenth, *(held for _, held in after))
    slope = float(np.polyfit(*np.array(after).T, 1)[0]) * 3600 if is_told else None
    return {"at_a_tenth_bytes": at_a_tenth, "at_the_end_bytes": at_the_end, "growth_bytes_per_hour": slope}


def show(result: Result, console: Console) -> None:
    """Print a result for a person: a row a tenth, drift, memory, and what heat and clock did."""
    rows, facts = result["rows"], result["facts"]
    title = f"{rows[0]['name']}, {facts['pace']}, {facts['minutes']:g} minutes, a run is {BLOCK_S:g} s of sound"
    table = Table("time", title=title)
    for column in ("p50", "p99", "most ms", "MB", "MHz", "C"):
        table.add_column(column, justify="right")
    for row in rows:
        its = row["metrics"]
        times = (f"{its[key]:.3f}" for key in ("p50_ms", "p99_ms", "max_ms"))
        held = f"{its['resident_bytes'] / 1e6:.1f}" if "resident_bytes" in its else "-"
        state = (f"{its[key]:.0f}" if key in its else "-" for key in ("clock_mhz", "hottest_c"))
        table.add_row(row["stage"], *times, held, *state)
    console.print(table)
    drift, memory = result["comparisons"][0], facts["memory"]
    span = f"{drift['value']:.3f} ({drift['low']:.3f} to {drift['high']:.3f})"
    console.print(f"median of the {DRIFT}: {span}, {drift['verdict']}")
    if None not in (memory["at_a_tenth_bytes"], memory["at_the_end_bytes"]):
        grown = memory["at_the_end_bytes"] - memory["at_a_tenth_bytes"]
        console.print(f"memory from a tenth to the end: {grown / 1e6:+.2f} MB")
    if memory["growth_bytes_per_hour"] is not None:
        console.print(f"its slope over all points: {memory['growth_bytes_per_hour'] / 1e6:+.2f} MB an hour")
    n_late = sum(row["metrics"]["n_late"] for row in rows)
    left_out = f"{100 * facts['gated_share']:.0f} % of the clips left out"
    console.print(f"{facts['audio_hours']:.2f} hours heard, {left_out}, {n_late} blocks took longer than they last")
    console.print(f"{rows[0]['cpu']}, {rows[0]['runtime']}, commit {rows[0]['commit']}")


def sustained(
    bundle: Path | None, minutes: float, gated: bool, real_time: bool, threads: int, json_path: Path | None
) -> None:
    """Measure, write and show."""
    with exit_on_error("tussis-benchmark"):
        load = Load(60 * minutes, GateSettings() if gated else None, real_time, threads)
        console, notes = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
        if json_path is not None:
            check_writable(json_path)
        with RowLog(json_path, KIND, PROTOCOL) as log:
            result = measure(load_bundle(bundle), load, log, notes)
            log.finish(result)
        show(result, console)
