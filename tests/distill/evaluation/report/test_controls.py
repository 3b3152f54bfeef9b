"""Controls: chance gives 0.5, and a channel that tells the label is found out."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from distill.evaluation.report.controls import confounder_control, permutation_control


def arrays(items):
    return (
        np.array([item.score for item in items]),
        np.array([item.is_positive for item in items]),
        [item.subject_id for item in items],
    )


def test_shuffled_labels_give_one_half_and_the_effect_is_beyond_them(people):
    control = permutation_control(*arrays(people(80, n_each=2)), 400, 0)
    assert control["shuffled"] == "subjects"
    assert control["mean"] == pytest.approx(0.5, abs=0.02)
    assert 0.3 < control["low"] < 0.5 < control["high"] < 0.7
    assert control["p_value"] == pytest.approx(1 / 401)


def test_without_an_effect_the_p_value_is_that_of_mann_and_whitney(people):
    scores, positives, subjects = arrays(people(60, effect=0.3, seed=3))
    control = permutation_control(scores, positives, subjects, 2000, 0)
    expected = mannwhitneyu(scores[positives], scores[~positives], alternative="greater").pvalue
    assert control["p_value"] == pytest.approx(expected, abs=0.04)


def test_recordings_are_shuffled_where_a_subject_has_both_labels(people):
    scores, positives, _ = arrays(people(40))
    assert permutation_control(scores, positives, [str(i // 2) for i in range(40)], 100, 0)["shuffled"] == "recordings"


def test_a_channel_that_tells_the_label_is_found_out(people):
    def channel(person, generator):
        return {"level_dbfs": -20 - 6.0 * (person % 2) + generator.normal(), "format": "mp3" if person % 3 else "wav"}

    items = people(80, effect=1.0, channel=channel)
    scores, positives, subjects = arrays(items)
    control = confounder_control([item.channel for item in items], scores, positives, subjects, 200, 0)
    assert control["auroc"]["value"] > 0.95
    levels = [item.channel["level_dbfs"] for item in items]
    assert control["features"]["level_dbfs"] == pytest.approx(roc_auc_score(positives, levels), abs=1e-9)
    assert set(control["features"]) == {"level_dbfs", "format=mp3", "format=wav"}
    difference = roc_auc_score(positives, scores) - control["auroc"]["value"]
    assert control["above_channel"]["value"] == pytest.approx(difference, abs=1e-9) and difference < 0


def test_a_channel_that_tells_nothing_is_about_one_half(people):
    found = []
    for seed in range(8):
        items = people(80, seed=seed)
        scores, positives, subjects = arrays(items)
        control = confounder_control([item.channel for item in items], scores, positives, subjects, 100, seed)
        found.append(control["auroc"]["value"])
    assert np.mean(found) == pytest.approx(0.5, abs=0.08)


def test_too_few_people_or_one_channel_are_said(people):
    scores, positives, subjects = arrays(people(8))
    assert confounder_control([{"a": i} for i in range(8)], scores, positives, subjects, 100, 0) == {
        "reason": "4 positive subjects are too few; 5 are needed"
    }
    scores, positives, subjects = arrays(people(40))
    assert confounder_control([{"a": 1.0}] * 40, scores, positives, subjects, 100, 0) == {
        "reason": "nothing of the channel varies"
    }
