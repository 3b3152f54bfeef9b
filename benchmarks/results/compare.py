"""The only place that says whether one result is faster than another (tussis-benchmark compare)."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.results.matching import Matched, check_same_machine, match_rows
from benchmarks.results.result import Result, make_result, read_result, write_result
from benchmarks.results.verdicts import CANNOT_TELL, MARGIN, MARGIN_ALONE, SLOWER, Comparison, compare_samples
from core.errors import DataError, SettingsError, exit_on_error
from core.files import check_writable

KIND = "comparison"
BUSY_MARGIN = 0.15
PROTOCOL = (
    "ratio of the second file's time to the first's, row by row, by the tenth percentile of single runs, which is the "
    "machine's fast state; 95 % interval by a bootstrap of 20 stretches of rounds in each file; where the yardstick "
    "(or, without one, a peer that both files timed) is itself 3 % apart, times are divided by its own, so that a "
    "machine that was slower as a whole does not count; faster or slower only where the whole interval lies beyond the "
    "margin, which is at least half the distance between the 5th and the 15th percentile"
)


def compare_results(
    first: Result, second: Result, margin: float | None = None, is_forced: bool = False
) -> list[dict[str, Any]]:
    """Compare the rows that two results share, in the order of the second.

    Parameters
    ----------
    first, second : Result
    margin : float or None
        Part of the time by which two runs of the same thing may differ; None for `MARGIN` where a peer stands beside,
        `MARGIN_ALONE` where none does.
    is_forced : bool
        Compare rows of other threads or another delegate too.
    """
    matched = match_rows(first, second, is_forced)
    if not matched:
        raise DataError("the two results share no row: the same name, stage, threads and delegate.")
    return [_entry(its, _compare(its, margin)) for its in matched]


def _compare(its: Matched, margin: float | None) -> Comparison:
    default = MARGIN_ALONE if its.references is None else MARGIN
    return compare_samples(its.first, its.second, its.references, default if margin is None else margin)


def _entry(its: Matched, found: Comparison) -> dict[str, Any]:
    return {
        **its.key._asdict(),
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "verdict": found.verdict,
        "margin": found.margin,
        "reference": its.reference_name,
        "p50_ms": list(its.p50_ms),
        "is_same_model": its.is_same_model,
        "is_ours": its.is_ours,
    }


def too_slow(comparisons: list[dict[str, Any]], fail_above: float) -> list[dict[str, Any]]:
    """The comparisons that are told to be slower, and by more than `fail_above`; a peer that is slower is no fault."""
    return [its for its in comparisons if its["is_ours"] and its["verdict"] == SLOWER and its["value"] > fail_above]


def show(comparisons: list[dict[str, Any]], console: Console) -> None:
    """Print tables: second over first, its interval, the noise margin and the verdict."""
    for threads, delegate in dict.fromkeys((its["threads"], its["delegate"]) for its in comparisons):
        some = [its for its in comparisons if (its["threads"], its["delegate"]) == (threads, delegate)]
        console.print(_table(f"time of the second over that of the first: {threads} thread(s), {delegate}", some))
    beside = dict.fromkeys(its["reference"] for its in comparisons if its["reference"])
    if beside:
        console.print(f"Compared beside {' and '.join(beside)}, timed in the same rounds of both files.")
    if any(its["reference"] is None for its in comparisons):
        console.print("Rows with nothing beside them that is in both files have the wider margin.")
    if any(its["low"] is None for its in comparisons):
        console.print(f"Rows without their single runs have no interval: {CANNOT_TELL}.")
    if any(its["margin"] > BUSY_MARGIN for its in comparisons):
        console.print("A margin this wide says that the machine was busy: measure again when it is idle.")


def _table(title: str, comparisons: list[dict[str, Any]]) -> Table:
    table = Table(title=title)
    table.add_column("what", overflow="fold", min_width=24)
    for column in ("ratio", "95 % interval", "margin", "verdict"):
        table.add_column(column, justify="right", no_wrap=True)
    for its in comparisons:
        interval = "-" if its["low"] is None else f"{its['low']:.3f} to {its['high']:.3f}"
        numbers = (f"{its['value']:.3f}", interval, f"{100 * its['margin']:.0f} %")
        table.add_row(f"{its['name']}, {its['stage']}", *numbers, its["verdict"])
    return table


def compare(
    first: Annotated[Path, typer.Argument(help="Result to compare with, JSON.")],
    second: Annotated[Path, typer.Argument(help="Result that is faster or slower, JSON.")],
    fail_above: Annotated[
        float | None, typer.Option(min=1, help="Exit with 1 where a row is told to be slower by more, such as 1.05.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(min=0, max=1, help=f"Noise margin; {MARGIN} beside a peer, else {MARGIN_ALONE}.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Compare results of different machines or runtimes too.")] = False,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
) -> None:
    """Say row by row whether the second result is faster, slower, or whether that cannot be told.

    Example: tussis-benchmark compare main.json branch.json --fail-above 1.05
    """
    console, notes = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    with exit_on_error("tussis-benchmark"):
        if json_path is not None:
            check_writable(json_path)
        results = read_result(first), read_result(second)
        if (difference := check_same_machine(*results)) and not force:
            raise SettingsError(
                f"{first} and {second} differ in {difference}; with --force they are compared all the same."
            )
        if difference:
            notes.print(f"These results differ in {difference}: what is compared is not the code alone.")
        comparisons = compare_results(*results, margin, force)
        if json_path is not None:
            write_result(json_path, make_result(KIND, PROTOCOL, [], comparisons=comparisons))
        show(comparisons, console)
    if fail_above is not None and (slow := too_slow(comparisons, fail_above)):
        notes.print(f"{len(slow)} row(s) are slower by more than {fail_above:g}.")
        raise typer.Exit(1)
