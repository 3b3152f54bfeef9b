"""Compares two results row by row: which rows measure the same thing, and whether the second is faster."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.results.names import MACHINE, MODEL, OURS, PEER, YAMNET_NAME, YARDSTICK
from benchmarks.results.result import Kind, Result, Row, read_result
from benchmarks.results.runner import Run
from benchmarks.results.verdicts import CANNOT_TELL, MARGIN, MARGIN_ALONE, SLOWER, compare_samples
from core.errors import DataError, SettingsError
from core.json_fields import is_number

COMPARISON = Kind(
    "comparison",
    "ratio of the second file's time to the first's, row by row, by the tenth percentile of single runs, which is the "
    "machine's fast state; 95 % interval by a bootstrap of 20 stretches of rounds in each file; where the yardstick "
    "(or, without one, a peer that both files timed) is itself 3 % apart, times are divided by its own, so that a "
    "machine that was slower as a whole does not count; faster or slower only where the whole interval lies beyond the "
    "margin, which is at least half the distance between the 5th and the 15th percentile",
)
FEWEST_ROUNDS = 5
BUSY_MARGIN = 0.15


class Key(NamedTuple):
    """What makes a row of one result the same as a row of another."""

    name: str
    stage: str
    threads: int
    delegate: str


def compare_files(first: Path, second: Path, margin: float | None, is_forced: bool, run: Run) -> Result:
    """Compare two files; SettingsError where they are of different machines and nobody forces it."""
    results = read_result(first), read_result(second)
    difference = check_same_machine(*results)
    if difference and not is_forced:
        differ = f"{first} and {second} differ in {difference}"
        raise SettingsError(f"{differ}; with --force they are compared all the same.")
    if difference:
        run.note(f"These results differ in {difference}: what is compared is not the code alone.")
    comparisons = compare_results(*results, margin, is_forced)
    return run.result(comparisons=comparisons, facts={"notes": " ".join(_notes(comparisons))})


def compare_results(
    first: Result, second: Result, margin: float | None = None, is_forced: bool = False
) -> list[dict[str, Any]]:
    """Compare the rows that two results share, in the order of the second.

    `margin` is the part of the time by which two runs of the same thing may differ; None for `MARGIN` where a peer
    stands beside, `MARGIN_ALONE` where none does. `is_forced` compares rows of other threads or another delegate too,
    where there is just one of their name and stage.
    """
    ours, theirs = _by_key(first), _by_key(second)
    shared = {key: (row, theirs[key]) for key, row in ours.items() if key in theirs}
    peers = {key: pair for key, pair in shared.items() if _is_unchanged_peer(key, *pair)}
    if is_forced:
        ours = {**{key: row for key in theirs if (row := _only_namesake(key, ours))}, **ours}
    pairs = {key: (ours[key], row) for key, row in theirs.items() if key in ours}
    pairs = {key: pair for key, pair in pairs.items() if all(row["metrics"].get("p50_ms", 0) > 0 for row in pair)}
    if not pairs:
        raise DataError("the two results share no row: the same name, stage, threads and delegate.")
    return [_compare(key, pair, peers, margin) for key, pair in pairs.items()]


def too_slow(comparisons: Sequence[dict[str, Any]], fail_above: float) -> list[dict[str, Any]]:
    """The comparisons that are told to be slower, and by more than `fail_above`; a peer that is slower is no fault."""
    slow = [entry for entry in comparisons if entry["verdict"] == SLOWER and entry["is_ours"]]
    return [entry for entry in slow if entry["value"] > fail_above]


def _notes(comparisons: Sequence[dict[str, Any]]) -> list[str]:
    """What a reader must know of the margins and intervals."""
    beside = " and ".join(dict.fromkeys(entry["reference"] for entry in comparisons if entry["reference"]))
    notes = {
        f"Compared beside {beside}, timed in the same rounds of both files.": bool(beside),
        "Rows with nothing beside them that is in both files have the wider margin.": any(
            entry["reference"] is None for entry in comparisons
        ),
        f"Rows without their single runs have no interval: {CANNOT_TELL}.": any(
            entry["low"] is None for entry in comparisons
        ),
        "A margin this wide means that the machine was busy: measure again when it is idle.": any(
            entry["margin"] > BUSY_MARGIN for entry in comparisons
        ),
    }
    return [note for note, holds in notes.items() if holds]


def check_same_machine(first: Result, second: Result) -> str | None:
    """In words what differs between the machines and runtimes of the rows that two results share; None if nothing."""
    others = _by_key(second)
    for key, row in _by_key(first).items():
        other = others.get(key)
        for name in (*MACHINE, "runtime") if other and key.stage != YARDSTICK else ():
            if row[name] != other[name]:
                return f"{name} ({row[name]} and {other[name]})"
    settings = [{(row["threads"], row["delegate"]) for row in result["rows"]} for result in (first, second)]
    if all(settings) and not settings[0] & settings[1]:
        both = [" or ".join(f"{n} thread(s), {delegate}" for n, delegate in sorted(pairs)) for pairs in settings]
        return f"threads or delegate ({both[0]} and {both[1]})"
    return None


def _compare(
    key: Key, pair: tuple[Row, Row], peers: dict[Key, tuple[Row, Row]], margin: float | None
) -> dict[str, Any]:
    """Compare two rows of the same thing, beside the peer of the same rounds; ``is_ours`` is false of peers."""
    first, second = pair
    beside = [peer for peer in peers if peer != key and key.stage != YARDSTICK and _is_beside(peers[peer], pair)]
    # The yardstick first, since where memory fell hardly moves it; then YAMNet, run by the same delegate.
    ranks = [(peer.stage != YARDSTICK, peer.name != YAMNET_NAME, peer.delegate != key.delegate) for peer in beside]
    reference = beside[ranks.index(min(ranks))] if beside else None
    references = None if reference is None else (_runs(peers[reference][0]), _runs(peers[reference][1]))
    default = MARGIN_ALONE if references is None else MARGIN
    comparison = compare_samples(_runs(first), _runs(second), references, default if margin is None else margin)
    about = {
        "reference": None if reference is None else reference.name,
        "p50_ms": [row["metrics"]["p50_ms"] for row in pair],
        "is_same_model": first["model_sha256"] == second["model_sha256"],
        "is_ours": second.get("facts", {}).get("role", OURS) == OURS,
    }
    return {**key._asdict(), **asdict(comparison), **about}


def _only_namesake(key: Key, rows: dict[Key, Row]) -> Row | None:
    namesakes = [row for other, row in rows.items() if other[:2] == key[:2]]
    return namesakes[0] if len(namesakes) == 1 else None


def _is_unchanged_peer(key: Key, first: Row, second: Row) -> bool:
    """Whether both results timed the very same file of a peer, or the yardstick."""
    is_peer = key.stage == MODEL and first.get("facts", {}).get("role") == PEER and first["model_sha256"] is not None
    is_same = all(first[name] == second[name] for name in ("model_sha256", "runtime"))
    return is_same and (is_peer or key.stage == YARDSTICK)


def _is_beside(peers: tuple[Row, Row], rows: tuple[Row, Row]) -> bool:
    """Whether a peer ran in the same rounds as a row, in both results."""
    pairs = list(zip(peers, rows, strict=True))
    n_runs = [(len(_times_ms(peer)), len(_times_ms(row))) for peer, row in pairs]
    return all(peer["threads"] == row["threads"] for peer, row in pairs) and all(a == b > 0 for a, b in n_runs)


def _runs(row: Row) -> np.ndarray | float:
    """Milliseconds of each run or round, or the median alone where that is all that a result holds."""
    times = _times_ms(row)
    return np.array(times, np.float64) if times else float(row["metrics"]["p50_ms"])


def _times_ms(row: Row) -> list[float]:
    """Milliseconds of each run; of each round where a tool tells no single runs and there are enough of these."""
    rounds = row.get("facts", {}).get("round_ms")
    has_rounds = isinstance(rounds, list) and len(rounds) >= FEWEST_ROUNDS and all(map(is_number, rounds))
    return row.get("samples_ms") or (rounds if has_rounds else [])


def _by_key(result: Result) -> dict[Key, Row]:
    rows: dict[Key, Row] = {}
    for row in result["rows"]:
        key = Key(row["name"], row["stage"], row["threads"], row["delegate"])
        if key in rows:
            row_words = f"{key.name}, {key.stage}, {key.threads} thread(s), {key.delegate}"
            raise DataError(f"a result holds the row {row_words} more than once; expected each once.")
        rows[key] = row
    return rows
