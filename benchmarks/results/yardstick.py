"""The only place for the fixed computation that every latency result times beside its models, to be compared by."""

import numpy as np

from benchmarks.timing.interleaved import Contender

YARDSTICK = "yardstick"
N_PRODUCTS, N_ROWS = 60, 48  # products of matrices so small that they stay in the first cache and on one thread


def load_yardstick() -> Contender:
    """Products of small float32 matrices through NumPy: it tells how fast the machine was, round by round.

    It must never change: results of different versions of Tussis are compared by it.
    """
    matrix = np.random.default_rng(0).normal(size=(N_ROWS, N_ROWS)).astype(np.float32)

    def run() -> None:
        for _ in range(N_PRODUCTS):
            matrix @ matrix

    return Contender(
        name=YARDSTICK,
        run=run,
        audio_s=None,
        load_s=None,
        facts={"role": YARDSTICK},
        stage=YARDSTICK,
        delegate="none",
        runtime=f"numpy {np.__version__}",
    )
