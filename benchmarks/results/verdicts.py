"""Decides from single runs whether one thing is faster than another, or whether nobody can tell."""

# The rule (EXPERIMENTS, 2026-11-26, has the measurements behind it):
# 1. Compared is the tenth percentile of the single runs: a machine's fast state, which its neighbours do not move.
# 2. Its 95 % interval comes from a bootstrap over stretches, a twentieth of all runs each: neighbours meet one load.
# 3. If the reference in the same rounds lies 3 % apart itself, each time is divided by the reference's own.
# 4. The margin is what is asked for, or half the distance from the 5th to the 15th percentile where that is wider.
# 5. Slower or faster: the whole interval lies beyond the margin. All else, and medians without runs: cannot tell.

import zlib
from dataclasses import dataclass

import numpy as np

from benchmarks.results.names import INTERVAL_PERCENTILES

N_STRETCHES = 20
N_DRAWS = 2000
SHORTEST_MS = 1e-6
MAX_DRAWN_AT_ONCE = 1_000_000  # times, so that a long benchmark takes no more memory than a short one
MARGIN = 0.05
MARGIN_ALONE = 0.10
MACHINE_MARGIN = 0.03
LOW, MEDIAN = 0.1, 0.5
FASTER, SLOWER, CANNOT_TELL = "faster", "slower", "cannot tell"


@dataclass(frozen=True)
class Comparison:
    """The second's time over the first's, its 95 % interval (None without single runs), margin and verdict."""

    value: float
    low: float | None
    high: float | None
    margin: float
    verdict: str


def compare_samples(
    first: np.ndarray | float,
    second: np.ndarray | float,
    references: tuple[np.ndarray, np.ndarray] | None,
    margin: float,
    quantile: float = LOW,
) -> Comparison:
    """Compare the times of two runs of a benchmark by the rule above, with `margin` as the least margin.

    `first` and `second` are times of each run in the order of rounds, shape (n_runs,), or a median whose runs are not
    known. `references` are times of something that is the same in both, in the same rounds. `quantile`, in (0, 2/3], is
    `LOW`, or `MEDIAN` where the load is what is asked about.
    """
    if isinstance(first, float) or isinstance(second, float):
        medians = _log_time(second, MEDIAN) - _log_time(first, MEDIAN)
        return Comparison(float(np.exp(medians)), None, None, margin, CANNOT_TELL)
    value = _log_time(second, quantile) - _log_time(first, quantile)
    margin = max(margin, *(_restlessness(runs, quantile) for runs in (first, second)))
    starts = _starts(first), _starts(second)
    draws = _draw(second, starts[1], quantile) - _draw(first, starts[0], quantile)
    if references is not None:
        ours, theirs = references
        of_machine = _draw(theirs, starts[1], quantile) - _draw(ours, starts[0], quantile)
        if _verdict(*_interval(of_machine), MACHINE_MARGIN) != CANNOT_TELL:
            draws = draws - of_machine
            value = value - _log_time(theirs, quantile) + _log_time(ours, quantile)
    low, high = _interval(draws)
    return Comparison(float(np.exp(value)), low, high, margin, _verdict(low, high, margin))


def _interval(draws: np.ndarray) -> tuple[float, float]:
    low, high = np.exp(np.percentile(draws, INTERVAL_PERCENTILES))
    return float(low), float(high)


def _verdict(low: float, high: float, margin: float) -> str:
    if low > 1 + margin:
        return SLOWER
    return FASTER if high < 1 / (1 + margin) else CANNOT_TELL


def _restlessness(runs: np.ndarray, quantile: float) -> float:
    """Half the distance between the quantiles around `quantile`, as a part of the time."""
    low, high = np.quantile(_log_runs(runs), (quantile / 2, 3 * quantile / 2))
    return float(np.expm1((high - low) / 2))


def _log_time(runs: np.ndarray | float, quantile: float) -> np.ndarray:
    """Logarithm of the quantile along the last axis."""
    return np.quantile(_log_runs(runs), quantile, axis=-1)


def _log_runs(runs: np.ndarray | float) -> np.ndarray:
    """Logarithms of the times; a clock too coarse to see a run gives `SHORTEST_MS`."""
    return np.log(np.maximum(np.atleast_1d(runs), SHORTEST_MS))


def _starts(runs: np.ndarray) -> np.ndarray:
    """First runs of the drawn stretches, shape (N_DRAWS, n_stretches); they depend on nothing but the times."""
    generator = np.random.default_rng(zlib.crc32(runs.tobytes()))
    return generator.integers(len(runs) - _stretch(runs) + 1, size=(N_DRAWS, min(N_STRETCHES, len(runs))))


def _stretch(runs: np.ndarray) -> int:
    return -(-len(runs) // N_STRETCHES)


def _draw(runs: np.ndarray, starts: np.ndarray, quantile: float) -> np.ndarray:
    """Logarithms of the time for the stretches that begin at `starts`, shape (N_DRAWS,)."""
    drawn = []
    for some in np.array_split(starts, max(1, N_DRAWS * len(runs) // MAX_DRAWN_AT_ONCE)):
        rounds = (some[..., None] + np.arange(_stretch(runs))).reshape(len(some), -1)
        drawn.append(_log_time(runs[rounds], quantile))
    return np.concatenate(drawn)
