"""Tests on sites and devices that a probe was not fitted on."""

from dataclasses import replace

import numpy as np
import pytest

from distill.probes.group_tests import disjoint_tests
from distill.probes.linear_fit import balanced_cross_entropy, logistic_path, out_of_fold_scores


@pytest.fixture
def confounded(made_up_cohort):
    """Two devices, of which each hears its own offset and records mostly one class; the sound tells nothing else."""
    cohort = made_up_cohort(n_subjects=60, effect=0.0)
    generator = np.random.default_rng(3)
    is_a = np.repeat(generator.random(60) < np.where(np.arange(60) % 2, 0.9, 0.1), 2)
    features = cohort.features + is_a[:, None] * 10 * np.random.default_rng(5).normal(size=512)
    covariates = tuple({"device": "A" if a else "B", "site": "unknown"} for a in is_a)
    return replace(cohort, features=features, covariates=covariates)


def test_a_probe_that_learned_the_device_fails_on_another_device(confounded):
    told = disjoint_tests(confounded, "classification")
    assert told["device"]["n_devices"] == 2 and told["device"]["n_participants"] == 60
    assert told["device"]["auroc"]["value"] < 0.65
    assert told["site"] == "the table names 0 sites; two are needed"


def test_a_subject_heard_with_two_devices_is_never_fitted_on_for_a_test(made_up_cohort):
    cohort, n_fitted = made_up_cohort(n_subjects=30), []

    def spying_path(features, targets, regularizers):
        n_fitted.append(len(targets))
        return logistic_path(features, targets, regularizers)

    # The first ten subjects have a recording of each fold, the next ten two of fold 0, the last ten two of fold 1.
    folds = np.concatenate([np.arange(20) % 2, np.zeros(20, int), np.ones(20, int)])
    fit = (spying_path, balanced_cross_entropy, 0, folds)
    scores = out_of_fold_scores(cohort.features, cohort.labels, cohort.subjects, *fit)
    assert np.isfinite(scores).all() and max(n_fitted) == 20
