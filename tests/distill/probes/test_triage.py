"""Triage: the operating point, the abstention band, and what is too little to fit on."""

from dataclasses import replace

import numpy as np
import pytest

from core.errors import DataError
from distill.probes.operating_points import TARGETS
from distill.probes.triage import calibration_part, fit_triage


def test_a_probe_of_noise_is_reported_as_no_better_than_chance(made_up_cohort):
    metrics = fit_triage(made_up_cohort(effect=0.0)).metrics
    assert metrics["auroc"]["low"] < 0.5


@pytest.mark.long
def test_the_operating_point_is_conformal_where_there_are_enough_positives(made_up_cohort):
    cohort = made_up_cohort(n_subjects=90, effect=1.5)
    fitted = fit_triage(cohort)
    point = fitted.metrics["operating_point"]
    assert (point["method"], point["n"], point["target_sensitivity"]) == ("split_conformal", 15, 0.9)
    assert (point["threshold"], (point["lower"], point["upper"])) == (fitted.operating_point, fitted.abstention_band)
    assert fitted.metrics["target"] == {"source": "WHO 2014 triage minimum", "sensitivity": 0.9, "specificity": 0.7}
    # floor(0.1 · 16) = 1: none of the 15 lies below the lowest.
    assert fitted.metrics["at_operating_point"]["sensitivity"]["value"] == 1.0
    assert fitted.metrics["at_operating_point"]["sensitivity"]["n"] == 15
    again = fit_triage(cohort, target=TARGETS["who_2014_triage_optimal"]).metrics["operating_point"]
    assert (again["n"], again["target_sensitivity"]) == (19, 0.95)


@pytest.mark.long
def test_nobody_who_sets_the_operating_point_is_fitted_on(made_up_cohort):
    cohort = made_up_cohort(n_subjects=90)
    held_out = calibration_part(cohort.subjects, cohort.labels, 0.9)
    assert held_out.sum() == 60 and not set(np.array(cohort.subjects)[held_out]) & set(
        np.array(cohort.subjects)[~held_out]
    )
    unlike = cohort.features.copy()
    unlike[held_out] += np.random.default_rng(1).normal(size=unlike[held_out].shape)
    ours, other = fit_triage(cohort), fit_triage(replace(cohort, features=unlike))
    assert np.array_equal(ours.model.weights, other.model.weights) and ours.operating_point != other.operating_point


@pytest.mark.long
def test_too_few_positives_for_a_guarantee_get_a_point_that_promises_nothing(made_up_cohort):
    metrics = fit_triage(made_up_cohort(n_subjects=26, effect=1.5)).metrics
    assert metrics["operating_point"]["method"] == "out_of_fold" and "too few positives" in metrics["how"]
    assert metrics["at_operating_point"]["sensitivity"]["value"] >= 0.9
    assert calibration_part(["a"] * 4, np.array([0.0, 1, 0, 1]), 0.9) is None


def test_too_few_subjects_and_one_class_are_refused(made_up_cohort):
    with pytest.raises(DataError, match="has 8 subjects with a usable recording; a probe needs at least 10"):
        fit_triage(made_up_cohort(n_subjects=8))
    cohort = made_up_cohort()
    one_class = replace(cohort, labels=np.zeros(len(cohort.labels)))
    with pytest.raises(DataError, match="has 0 subjects of class 1"):
        fit_triage(one_class)


@pytest.mark.long
def test_a_subject_with_both_classes_is_fine_and_stays_in_one_fold(made_up_cohort):
    cohort = made_up_cohort(effect=4.0)
    labels = cohort.labels.copy()
    labels[0] = 1 - labels[1]
    fitted = fit_triage(replace(cohort, labels=labels))
    assert fitted.metrics["n_participants"] == 41 and fitted.metrics["auroc"]["n_subjects"] == 40
