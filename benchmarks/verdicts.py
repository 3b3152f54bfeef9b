"""The only place that decides from single runs whether one thing is faster than another, or whether nobody can tell."""

import zlib
from dataclasses import dataclass

import numpy as np

N_STRETCHES = 20
N_DRAWS = 2000
SHORTEST_MS = 1e-6
MAX_DRAWN_AT_ONCE = 1_000_000  # times, so that a long benchmark takes no more memory than a short one
INTERVAL = (2.5, 97.5)
MARGIN = 0.03
MARGIN_ALONE = 0.10
FASTER, SLOWER, CANNOT_TELL = "faster", "slower", "cannot tell"


@dataclass(frozen=True)
class Comparison:
    """The second's time over the first's, its 95 % interval (None without single runs), and what that says."""

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
) -> Comparison:
    """Compare the times of two runs of a benchmark.

    Runs that follow each other meet the same load, so single ones must not be drawn as if each were new: drawn are
    stretches, a twentieth of all rounds each. That covers what changes within a benchmark. What changes from one to the
    next (clock, neighbours, where memory fell) no bootstrap sees: a peer that is the same in both, timed in the same
    rounds, takes out what slows everything, because the ratio within a round is compared. The margin stands for what
    is left; where single rounds lie further apart than it, as on a machine with more to do than it has cores, it is
    half the distance between their quartiles.

    Parameters
    ----------
    first, second : ndarray, shape (n_runs,), or float
        Times of each run in the order of rounds; a float is a median whose runs are not known.
    references : pair of ndarray or None
        Times of the peer in the rounds of `first`, and in those of `second`.
    margin : float
        The least margin. A whole interval beyond 1 + margin is slower, below 1 / (1 + margin) faster.
    """
    ours, theirs = references or (None, None)
    value = float(np.exp(_log_time(second, theirs) - _log_time(first, ours)))
    if isinstance(first, float) or isinstance(second, float):
        return Comparison(value, None, None, margin, CANNOT_TELL)
    margin = max(margin, _restlessness(first, ours), _restlessness(second, theirs))
    draws = _draw(second, theirs) - _draw(first, ours)
    low, high = (float(np.exp(its)) for its in np.percentile(draws, INTERVAL))
    return Comparison(value, low, high, margin, _verdict(low, high, margin))


def _verdict(low: float, high: float, margin: float) -> str:
    if low > 1 + margin:
        return SLOWER
    return FASTER if high < 1 / (1 + margin) else CANNOT_TELL


def _restlessness(runs: np.ndarray, reference: np.ndarray | None) -> float:
    """Half the distance between the quartiles of single rounds, as a part of the time."""
    low, high = np.percentile(_log_rounds(runs, reference), (25, 75))
    return float(np.expm1((high - low) / 2))


def _log_time(runs: np.ndarray | float, reference: np.ndarray | None) -> np.ndarray:
    """Logarithm of the median time along the last axis; with a reference, of the time over the reference's, by round.

    A processor whose neighbour works is half as fast, a state that lasts for rounds: medians jump between the two, the
    ratio within a round does not.
    """
    return np.median(_log_rounds(runs, reference), axis=-1)


def _log_rounds(runs: np.ndarray | float, reference: np.ndarray | None) -> np.ndarray:
    """Logarithms of the times; a clock too coarse to see a run gives `SHORTEST_MS`."""
    of_peer = 0.0 if reference is None else np.log(np.maximum(reference, SHORTEST_MS))
    return np.log(np.maximum(np.atleast_1d(runs), SHORTEST_MS)) - of_peer


def _draw(runs: np.ndarray, reference: np.ndarray | None) -> np.ndarray:
    """Logarithms of the time for drawn stretches, shape (N_DRAWS,); the draws depend on nothing but the times."""
    stretch = -(-len(runs) // N_STRETCHES)
    generator = np.random.default_rng(zlib.crc32(runs.tobytes()))
    shape = (N_DRAWS, min(N_STRETCHES, len(runs)))
    starts = generator.integers(len(runs) - stretch + 1, size=shape)
    drawn = []
    for some in np.array_split(starts, max(1, N_DRAWS * len(runs) // MAX_DRAWN_AT_ONCE)):
        rounds = (some[..., None] + np.arange(stretch)).reshape(len(some), -1)
        drawn.append(_log_time(runs[rounds], None if reference is None else reference[rounds]))
    return np.concatenate(drawn)
