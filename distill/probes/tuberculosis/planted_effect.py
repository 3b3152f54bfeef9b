"""Draws cohorts of made-up embeddings whose true AUROC is known, to show that the machinery reports it."""

from dataclasses import dataclass
from math import erf
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from distill.probes.cohort import Cohort
from distill.probes.linear_fit import LinearModel

N_FEATURES = 16
WITHIN = 0.5  # standard deviation of a subject's recordings around the subject, where that of subjects is 1


@dataclass(frozen=True)
class PlantedEffect:
    """Subjects are normal with variance 1 in each feature; the label moves their mean by ``effect`` along one line.

    ``effect`` is in standard deviations between subjects; 0 plants nothing.
    """

    effect: float

    def draw(self, n_subjects: int, n_recordings: int = 2, seed: int = 0, n_features: int = N_FEATURES) -> Cohort:
        """A cohort of embeddings (n, n_features), every other subject positive; status ``synthetic``."""
        generator = np.random.default_rng([seed, 4])
        labels = np.repeat(np.arange(n_subjects) % 2, n_recordings).astype(np.float64)
        subjects = np.repeat(generator.standard_normal((n_subjects, n_features)), n_recordings, axis=0)
        features = subjects + WITHIN * generator.standard_normal(subjects.shape)
        features += np.outer(labels, self.effect * _direction(n_features))
        ids = [f"planted-{seed}-{number // n_recordings:04d}" for number in range(len(labels))]
        sites = [{"site": f"site {number % 3}"} for number in np.repeat(np.arange(n_subjects), n_recordings)]
        return Cohort(
            table=Path("planted.csv"),
            table_sha256="0" * 64,
            features=features,
            labels=labels,
            subjects=tuple(ids),
            covariates=tuple(sites),
            sha256s=tuple(f"{subject}-{number}" for number, subject in enumerate(ids)),
            n_clips=len(labels),
            n_unscored=0,
            is_synthetic=True,
        )

    def true_auroc(self, model: LinearModel, n_recordings: int = 2) -> float:
        """The AUROC that this fitted model has over all participants that could be drawn, in closed form.

        A participant's score, the mean over the recordings, is normal in both classes with one variance.
        """
        weights = model.weights / model.scale
        variance = (1 + WITHIN**2 / n_recordings) * float(weights @ weights)
        if variance == 0:
            return 0.5
        shift = self.effect * float(weights @ _direction(len(weights)))
        return 0.5 * (1 + erf(shift / np.sqrt(2 * variance) / np.sqrt(2)))


def _direction(n_features: int) -> NDArray[np.float64]:
    generator: Generator = np.random.default_rng([n_features, 5])
    direction = generator.standard_normal(n_features)
    return direction / np.linalg.norm(direction)
