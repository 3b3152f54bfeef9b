"""Triage: the operating point, the abstention band, and what is too little to fit on."""

from dataclasses import replace

import numpy as np
import pytest

from core.errors import DataError
from distill.probes.triage import abstention_band, fit_triage


def test_a_probe_of_noise_is_reported_as_no_better_than_chance(made_up_cohort):
    metrics = fit_triage(made_up_cohort(effect=0.0)).metrics
    assert metrics["auroc"]["low"] < 0.5


def test_the_operating_point_keeps_ninety_percent_sensitivity_out_of_fold(made_up_cohort):
    metrics = fit_triage(made_up_cohort(effect=1.5)).metrics
    assert metrics["at_operating_point"]["sensitivity"]["value"] >= 0.9
    assert metrics["target"] == {"source": "WHO 2014 triage minimum", "sensitivity": 0.9, "specificity": 0.7}


def test_the_abstention_band_holds_a_tenth_of_the_participants_around_the_operating_point():
    probabilities = np.linspace(0.01, 0.99, 99)
    low, high = abstention_band(probabilities, 0.40)
    assert (low, high) == pytest.approx((0.35, 0.44))
    assert abstention_band(probabilities[:5], 0.03) is None
    assert abstention_band(probabilities, 0.01)[0] == 0.01


def test_too_few_subjects_and_one_class_are_refused(made_up_cohort):
    with pytest.raises(DataError, match="has 8 subjects with a usable recording; a probe needs at least 10"):
        fit_triage(made_up_cohort(n_subjects=8))
    cohort = made_up_cohort()
    one_class = replace(cohort, labels=np.zeros(len(cohort.labels)))
    with pytest.raises(DataError, match="has 0 subjects of class 1"):
        fit_triage(one_class)


def test_a_subject_with_both_classes_is_fine_and_stays_in_one_fold(made_up_cohort):
    cohort = made_up_cohort(effect=4.0)
    labels = cohort.labels.copy()
    labels[0] = 1 - labels[1]
    fitted = fit_triage(replace(cohort, labels=labels))
    assert fitted.metrics["n_participants"] == 41 and fitted.metrics["auroc"]["n_subjects"] == 40
