"""The whole report: what it holds, what it warns of, and a planted effect that its interval covers."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from core.errors import DataError, SettingsError
from distill.evaluation.report.discrimination import measure_discrimination
from distill.evaluation.report.items import Question
from distill.evaluation.report.leaks import Identity
from distill.evaluation.report.measure import ReportOptions, make_report
from distill.evaluation.report.packs import Asked

OPTIONS = ReportOptions(n_draws=100)
ABOUT = {"kind": "events", "bundle": {"name": "b", "sha256": "0" * 64}, "model_sha256": "1" * 64}


def report_on(*questions, training=(), test=()):
    return make_report(Asked(questions, training, test), ABOUT, OPTIONS)


def test_the_report_counts_the_unscored_by_reason_and_never_as_negative(people, question):
    items = people(60)
    items[1] = replace(items[1], score=None, unscored="silent")
    items[3] = replace(items[3], unscored="too close to the operating point")
    result = report_on(question(items))
    measured = result["questions"][0]
    assert (measured["n"], measured["n_positive"], measured["n_with_score"]) == (60, 30, 59)
    assert measured["unscored"] == {"silent": 1, "too close to the operating point": 1}
    assert measured["unscored_positive"] == 2 and measured["auroc"]["n"] == 59
    assert result["warnings"] == [] and result["schema"] == "tussis.report/1"
    json.dumps(result, allow_nan=False)


def test_few_positives_and_what_is_shared_are_warned_of(people, question):
    shared = [Identity("p001", device="phone")]
    warnings = report_on(question(people(30)), training=shared, test=shared)["warnings"]
    assert warnings[0].startswith("The headline, cough in a test, rests on 15 positives")
    assert warnings[1:] == [
        "Training and test share a subject: 'p001', in 1 recordings of the test.",
        "Training and test share a device: 'phone', in 1 recordings of the test.",
    ]


def test_many_recordings_of_few_people_are_warned_of(people, question):
    warnings = report_on(question(people(30, n_each=3)))["warnings"]
    assert warnings[0].startswith("The headline, cough in a test, rests on positives of 15 subjects")


def test_a_channel_that_does_as_well_is_warned_of(people, question):
    items = people(80, effect=1.0, channel=lambda person, _: {"band_hz": float(person % 2)})
    assert (
        "The channel alone tells cough in a test with an AUROC of 1.000" in report_on(question(items))["warnings"][-1]
    )


def test_what_has_too_few_people_is_named_and_the_rest_is_measured(people, question):
    few = Question("snore", "a test", people(4))
    result = report_on(few, question(people(60)))
    assert [each["name"] for each in result["questions"]] == ["cough"]
    assert result["not_measured"][0]["name"] == "snore" and "4 subjects" in result["not_measured"][0]["reason"]
    with pytest.raises(DataError, match="snore in a test has 4 subjects"):
        report_on(few)


@pytest.mark.parametrize("prevalence", [0.0, 1.0, -0.1, float("nan")])
def test_a_prevalence_is_a_share(prevalence):
    with pytest.raises(SettingsError, match="--prevalence is"):
        ReportOptions(prevalence)


@pytest.mark.long
def test_the_interval_of_a_planted_effect_covers_the_true_auroc_and_none_covers_one_half(people, question):
    for effect in (1.0, 0.0):
        truth, covered = norm.cdf(effect / np.sqrt(2)), 0
        for seed in range(100):
            scored = question(people(100, effect=effect, seed=seed)).scored
            measured = measure_discrimination(scored.scores, scored.positives, scored.subjects, None, 0.1, 200)
            covered += measured["auroc"]["low"] <= truth <= measured["auroc"]["high"]
        assert covered >= 90, f"{covered} of 100 intervals cover {truth:.3f}"
