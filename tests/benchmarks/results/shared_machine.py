"""Times as a machine gives them that others use as well."""

import numpy as np


def shared_machine(seed: int, n_runs: int = 200, ms: float = 2.0, whole: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Times of a model and of a peer in the same rounds: neighbours slow spells of them, `whole` slows all of them."""
    generator = np.random.default_rng(seed)
    spells = np.repeat(generator.random(-(-n_runs // 10)) < generator.uniform(0.2, 0.5), 10)[:n_runs]
    load = whole * np.where(spells, generator.uniform(1.1, 1.6, n_runs), 1.0)
    own = [np.exp(generator.normal(0, 0.015, n_runs)) + (generator.random(n_runs) < 0.05) * 3 for _ in range(2)]
    return ms * load * own[0], 3.0 * load * own[1]
