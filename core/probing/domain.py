"""Says how far an embedding lies from those that a probe was fitted on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.interpreter import EMBEDDING_SIZE
from core.json_fields import Fields

MAX_DIRECTIONS = 32
MAX_MEASURED = 200  # values in what was measured of it
SMALLEST_DIVISOR = 1e-9


@dataclass(frozen=True)
class Domain:
    """One Gaussian over the training embeddings of all classes: the directions in which they vary most, and the rest.

    ``mean`` and ``scale`` (512,) standardize an embedding; ``directions`` (k, 512) are orthonormal, with the
    ``variances`` (k,); every direction beside them has ``rest_variance``. Farther than ``threshold`` is far.
    ``measured`` tells how well the distance tells other sound from the training recordings.
    """

    mean: np.ndarray
    scale: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    rest_variance: float
    threshold: float
    measured: Mapping[str, Any]

    def distance(self, embeddings: np.ndarray) -> np.ndarray:
        """Mahalanobis distance over the root of 512, usually about 1 or less, of embeddings (..., 512); (...)."""
        standard = (np.asarray(embeddings, np.float64) - self.mean) / self.scale
        along = standard @ self.directions.T
        rest = np.maximum(np.sum(standard**2, axis=-1) - np.sum(along**2, axis=-1), 0)
        squared = np.sum(along**2 / self.variances, axis=-1) + rest / self.rest_variance
        return np.sqrt(squared / EMBEDDING_SIZE)


def parse_domain(fields: Fields, mean: np.ndarray, scale: np.ndarray) -> Domain:
    """Read the object ``domain`` of a probe file, whose own ``mean`` and ``scale`` standardize its embeddings."""
    n_directions = fields.integer("n_directions", 1, MAX_DIRECTIONS)
    return Domain(
        mean=mean,
        scale=scale,
        directions=fields.numbers("directions", n_directions * EMBEDDING_SIZE).reshape(n_directions, EMBEDDING_SIZE),
        variances=fields.numbers("variances", n_directions, lowest=SMALLEST_DIVISOR),
        rest_variance=fields.number("rest_variance", lowest=SMALLEST_DIVISOR),
        threshold=fields.number("threshold", lowest=0),
        measured=fields.small_object("measured", MAX_MEASURED),
    )
