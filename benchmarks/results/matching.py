"""The only place that finds which rows of two results measure the same thing, and whether on the same machine."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.results.names import MACHINE, MODEL, OURS, PEER, YAMNET_NAME, YARDSTICK
from benchmarks.results.result import Result, Row
from core.errors import DataError

FEWEST_ROUNDS = 5


class Key(NamedTuple):
    """What makes a row of one result the same as a row of another."""

    name: str
    stage: str
    threads: int
    delegate: str

    @property
    def words(self) -> str:
        """For a table."""
        return f"{self.name}, {self.stage}, {self.threads} thread(s), {self.delegate}"


@dataclass(frozen=True)
class Matched:
    """Two rows of the same thing: milliseconds of each run, and of the peer that stood beside it in the same rounds.

    Runs are arrays of shape (n_runs,), of rounds where the tool that timed them (TensorFlow's benchmark_model) tells no
    single runs, and a median where a result holds only percentiles; ``references`` is None where the two
    results share no peer. ``is_ours`` is false of peers and of the yardstick, which are there to compare by.
    """

    key: Key
    first: np.ndarray | float
    second: np.ndarray | float
    references: tuple[np.ndarray, np.ndarray] | None
    reference_name: str | None
    p50_ms: tuple[float, float]
    is_same_model: bool
    is_ours: bool


def check_same_machine(first: Result, second: Result) -> str | None:
    """In words what differs between the machines and runtimes of the rows that two results share; None if nothing."""
    others = _by_key(second)
    for key, row in _by_key(first).items():
        other = others.get(key)
        for name in (*MACHINE, "runtime") if other and key.stage != YARDSTICK else ():
            if row[name] != other[name]:
                return f"{name} ({row[name]} and {other[name]})"
    ours, theirs = ({(row["threads"], row["delegate"]) for row in its["rows"]} for its in (first, second))
    if ours and theirs and not ours & theirs:
        words = [" or ".join(f"{n} thread(s), {delegate}" for n, delegate in sorted(its)) for its in (ours, theirs)]
        return f"threads or delegate ({words[0]} and {words[1]})"
    return None


def match_rows(first: Result, second: Result, is_forced: bool = False) -> list[Matched]:
    """The rows that both results hold, in the order of the second; DataError where a result holds a row twice.

    `is_forced` takes for the same a row of other threads or another delegate too, where there is just one of its name
    and stage.
    """
    ours, theirs = _by_key(first), _by_key(second)
    peers = _shared_peers(ours, theirs)
    if is_forced:
        ours = {**{key: row for key in theirs if (row := _only_namesake(key, ours))}, **ours}
    return [
        _match(key, ours[key], row, peers) for key, row in theirs.items() if key in ours and _has_median(row, ours[key])
    ]


def _match(key: Key, first: Row, second: Row, peers: dict[Key, tuple[Row, Row]]) -> Matched:
    beside = [its for its in peers if its != key and key.stage != YARDSTICK and _is_beside(peers[its], (first, second))]
    reference = min(beside, key=lambda its: _rank(its, key), default=None)
    return Matched(
        key=key,
        first=_runs(first),
        second=_runs(second),
        references=None if reference is None else (_runs(peers[reference][0]), _runs(peers[reference][1])),
        reference_name=None if reference is None else reference.name,
        p50_ms=(first["metrics"]["p50_ms"], second["metrics"]["p50_ms"]),
        is_same_model=first["model_sha256"] == second["model_sha256"],
        is_ours=second.get("facts", {}).get("role", OURS) == OURS,
    )


def _rank(peer: Key, key: Key) -> tuple[bool, bool, bool]:
    """The yardstick first, since where memory fell hardly moves it; then YAMNet, run by the same delegate."""
    return peer.stage != YARDSTICK, peer.name != YAMNET_NAME, peer.delegate != key.delegate


def _only_namesake(key: Key, rows: dict[Key, Row]) -> Row | None:
    namesakes = [row for its, row in rows.items() if its[:2] == key[:2]]
    return namesakes[0] if len(namesakes) == 1 else None


def _shared_peers(ours: dict[Key, Row], theirs: dict[Key, Row]) -> dict[Key, tuple[Row, Row]]:
    """Peers that both results timed with the very same file, and the yardstick."""
    shared = {key: (row, theirs[key]) for key, row in ours.items() if key in theirs}
    return {key: pair for key, pair in shared.items() if _is_unchanged(key, *pair)}


def _is_unchanged(key: Key, first: Row, second: Row) -> bool:
    is_peer = key.stage == MODEL and first.get("facts", {}).get("role") == PEER and first["model_sha256"] is not None
    is_same = all(first[name] == second[name] for name in ("model_sha256", "runtime"))
    return is_same and (is_peer or key.stage == YARDSTICK)


def _is_beside(peers: tuple[Row, Row], rows: tuple[Row, Row]) -> bool:
    """Whether a peer ran in the same rounds as a row, in both results."""
    pairs = list(zip(peers, rows, strict=True))
    n_runs = [(len(_times_ms(peer)), len(_times_ms(row))) for peer, row in pairs]
    return all(peer["threads"] == row["threads"] for peer, row in pairs) and all(its == our > 0 for its, our in n_runs)


def _runs(row: Row) -> np.ndarray | float:
    """Milliseconds of each run or round, or the median alone where that is all that a result holds."""
    times = _times_ms(row)
    return np.array(times, np.float64) if times else float(row["metrics"]["p50_ms"])


def _times_ms(row: Row) -> list[float]:
    """Milliseconds of each run; of each round where a tool tells no single runs and there are enough of these."""
    rounds = row.get("facts", {}).get("round_ms", [])
    return row.get("samples_ms") or (rounds if len(rounds) >= FEWEST_ROUNDS else [])


def _has_median(*rows: Row) -> bool:
    """Whether rows are times that have a ratio."""
    return all(row["metrics"].get("p50_ms", 0) > 0 for row in rows)


def _by_key(result: Result) -> dict[Key, Row]:
    rows: dict[Key, Row] = {}
    for row in result["rows"]:
        key = Key(row["name"], row["stage"], row["threads"], row["delegate"])
        if key in rows:
            raise DataError(f"a result holds the row {key.words} more than once; expected each once.")
        rows[key] = row
    return rows
