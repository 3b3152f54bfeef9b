"""The only place for the benchmark of scale: cost against length, files and workers (scale)."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.results.result import Result, Row, make_result
from benchmarks.results.row_log import RowLog
from benchmarks.workstation.scale_mining import measure_mining, worker_counts
from benchmarks.workstation.scale_screening import (
    N_FILES,
    Subject,
    fit_line,
    lengths_up_to,
    measure_batches,
    measure_lengths,
)
from core.bundle import load_bundle
from core.errors import DataError, exit_on_error
from core.files import check_writable

KIND = "scale"
FULL_S = 60  # a shorter recording does not fill all the blocks that are held of a longer one
PROTOCOL = (
    "lengths: the app's screening of a WAV at 16 kHz on disk, from the file to the result, all lengths in turns, short "
    "ones several times a round; their memory: the most that tussis-screen took in a fresh process; files: the wall "
    "time of tussis-screen from the start of its process, in turns; lines are fitted to medians by relative error; "
    "mining: tussis-mine's own report, each number of workers in turns, its wall time with the start of the workers"
)


@dataclass(frozen=True)
class Plan:
    """What is measured: lengths in seconds, numbers of files and workers, and how often all of it.

    ``mined`` is a folder to mine, None for synthesized recordings of `mined_minutes`; with 0 minutes nothing is mined.
    """

    lengths_s: tuple[int, ...]
    counts: tuple[int, ...] = N_FILES
    workers: tuple[int, ...] = (1,)
    rounds: int = 3
    mined: Path | None = None
    mined_minutes: float = 240.0

    @property
    def has_mining(self) -> bool:
        """Whether mining is measured."""
        return self.mined is not None or self.mined_minutes > 0

    @property
    def n_steps(self) -> int:
        """How often `on_step` is called."""
        n_mined = self.rounds * len(self.workers) if self.has_mining else 0
        return (self.rounds + 1) * len(self.lengths_s) + self.rounds * len(self.counts) + n_mined


def measure(subject: Subject, plan: Plan, log: RowLog, console: Console) -> Result:
    """Measure all of the plan; rows are in `log` as soon as they are there."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("measuring", total=plan.n_steps)
        for row in _rows(subject, plan, lambda: progress.advance(task)):
            log.append(row)
    return make_result(KIND, PROTOCOL, log.rows, facts=scale_facts(log.rows))


def _rows(subject: Subject, plan: Plan, on_step: Any) -> Iterator[Row]:
    yield from measure_lengths(subject, plan.lengths_s, plan.rounds, on_step)
    yield from measure_batches(subject, plan.counts, plan.rounds, on_step)
    if plan.has_mining:
        mined = plan.mined, plan.mined_minutes, plan.workers, plan.rounds
        yield from measure_mining(subject.bundle, *mined, on_step)


def scale_facts(rows: list[Row]) -> dict[str, Any]:
    """Lines through lengths and through numbers of files, and how far memory is from flat."""
    lengths, batches, _ = kinds_of_rows(rows)
    by_length = fit_line([its["audio_s"] for its in lengths], [its["metrics"]["p50_ms"] for its in lengths])
    peaks = [its["metrics"]["peak_bytes"] for its in lengths if its["audio_s"] >= FULL_S]
    flat = {"minute_peak_bytes": peaks[0], "most_peak_bytes": max(peaks), "most_over_minute": max(peaks) / peaks[0]}
    facts = {"line_over_audio_s": asdict(by_length), "memory": flat}
    if len(batches) > 2:  # a line lies on any two
        n_files = [its["metrics"]["n_files"] for its in batches]
        facts["line_over_files"] = asdict(fit_line(n_files, [its["metrics"]["p50_ms"] for its in batches]))
    return facts


def kinds_of_rows(rows: list[Row]) -> tuple[list[Row], list[Row], list[Row]]:
    """Rows of lengths, of numbers of files and of numbers of workers."""
    batches = [row for row in rows if "n_files" in row["metrics"]]
    mining = [row for row in rows if "workers" in row["metrics"]]
    return [row for row in rows if row not in batches and row not in mining], batches, mining


def show(result: Result, console: Console) -> None:
    """Print a result for a person: a table of lengths and files, what mining did, lines and memory."""
    lengths, batches, mining = kinds_of_rows(result["rows"])
    table = Table("what", title=f"{lengths[0]['name']}, medians")
    for column in ("runs", "s", "RTF", "most MB"):
        table.add_column(column, justify="right")
    for row in (*lengths, *batches):
        its = row["metrics"]
        cost = f"{its['p50_ms'] / 1000:.4g}", f"{its['rtf']:.5f}", f"{its['peak_bytes'] / 1e6:.1f}"
        table.add_row(row["stage"], str(row["n_runs"]), *cost)
    console.print(table)
    facts = result["facts"]
    for key, unit in (("line_over_audio_s", "second of sound"), ("line_over_files", "file")):
        if its := facts.get(key):
            line = f"{its['fixed_ms']:.2f} ms + {its['ms_per_unit']:.4f} ms a {unit}"
            console.print(
                f"time is {line}; off by at most {100 * its['largest_deviation']:.1f} % (at {its['largest_at']:g})"
            )
    its = facts["memory"]
    minute, most = (f"{its[key] / 1e6:.1f} MB" for key in ("minute_peak_bytes", "most_peak_bytes"))
    console.print(f"memory: {minute} for a minute, {most} at most for longer ones, {its['most_over_minute']:.3f} of it")
    for row in mining:
        its = row["metrics"]
        rates = (
            f"{its['audio_hours_per_hour']:.0f} h of sound an hour, {its['audio_hours_per_core_hour']:.0f} a core-hour"
        )
        console.print(f"{row['stage']}: {rates}, {its['speed_up']:.2f} times one worker")
    console.print(f"{lengths[0]['cpu']}, {lengths[0]['runtime']}, commit {lengths[0]['commit']}")


def scale(
    bundle: Path | None,
    longest: float,
    files: list[int] | None,
    workers: list[int] | None,
    data: Path | None,
    mined_minutes: float,
    rounds: int,
    json_path: Path | None,
) -> None:
    """Measure, write and show."""
    with exit_on_error("tussis-benchmark"):
        counts, n_workers = sorted(set(files or N_FILES)), sorted({1, *(workers or worker_counts())})
        plan = Plan(lengths_up_to(longest), tuple(counts), tuple(n_workers), rounds, data, mined_minutes)
        console, notes = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
        if data is not None and not data.is_dir():
            raise DataError(f"{data}: there is no such folder of recordings.")
        if json_path is not None:
            check_writable(json_path)
        with RowLog(json_path, KIND, PROTOCOL) as log:
            result = measure(Subject(load_bundle(bundle), bundle), plan, log, notes)
            log.finish(result)
        show(result, console)
