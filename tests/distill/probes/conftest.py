"""Cohorts of made-up embeddings, for whatever fits a probe."""

import numpy as np
import pytest

from distill.probes.cohort import Cohort


@pytest.fixture
def made_up_cohort(tmp_path):
    """Makes embeddings of 8 hidden values, two recordings a subject; the first value moves with the label."""

    def cohort(n_subjects=40, effect=2.0, seed=0, prefix="p", is_synthetic=False):
        generator, mixing = np.random.default_rng(seed), np.random.default_rng(99).normal(size=(8, 512))
        labels = np.repeat(np.arange(n_subjects) % 2, 2).astype(float)
        hidden = np.repeat(generator.normal(size=(n_subjects, 8)), 2, axis=0)
        hidden += 0.2 * generator.normal(size=hidden.shape)
        hidden[:, 0] += effect * labels
        subjects = tuple(f"{prefix}{i // 2:03d}" for i in range(2 * n_subjects))
        return Cohort(
            table=tmp_path / f"{prefix}.csv",
            table_sha256="0" * 64,
            features=hidden @ mixing,
            labels=labels,
            subjects=subjects,
            covariates=({},) * len(labels),
            sha256s=tuple(f"{prefix}-{i}" for i in range(2 * n_subjects)),
            n_clips=300,
            n_unscored=0,
            is_synthetic=is_synthetic,
        )

    return cohort
