"""Subgroups: counts, bands, gaps; a planted gap is found, and none is mostly not."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from core.errors import DataError
from distill.evaluation.report.items import Item
from distill.evaluation.report.subgroups import find_columns, gaps_in_words, group_of, measure_subgroups


def sex_and_age(person, generator):
    return {"Sex": "m" if person // 2 % 2 else "Female", "age": str(20 + person % 50), "ward": f"w{person % 4 // 2}"}


def test_groups_have_their_counts_and_scikit_learns_auroc(people, question):
    items = people(120, covariates=sex_and_age)
    measured = measure_subgroups(question(items), (), 100, 0)
    assert list(measured) == ["sex", "age"]
    groups = {group["group"]: group for group in measured["sex"]["groups"]}
    assert set(groups) == {"male", "female"}
    chosen = [item for item in items if item.covariates["Sex"] == "m"]
    assert groups["male"]["n"] == len(chosen) == 60 and groups["male"]["n_positive"] == 30
    expected = roc_auc_score([item.is_positive for item in chosen], [item.score for item in chosen])
    assert groups["male"]["auroc"]["value"] == pytest.approx(expected, abs=1e-9)
    aurocs = [group["auroc"]["value"] for group in groups.values()]
    assert measured["sex"]["gap"]["gap"]["value"] == pytest.approx(max(aurocs) - min(aurocs), abs=1e-9)
    found = sum(item.score >= 0.5 for item in chosen if item.is_positive) / 30
    assert groups["male"]["sensitivity"]["value"] == pytest.approx(found, abs=1e-9)


def test_a_further_covariate_is_measured_where_it_is_asked_for(people, question):
    measured = measure_subgroups(question(people(80, covariates=sex_and_age)), ("ward",), 100, 0)
    assert [group["group"] for group in measured["ward"]["groups"]] == ["w0", "w1"]


def planted(people, gap, seed):
    """Half of the people at a site where the scores mean nothing if there is a gap."""
    items = people(
        160, effect=2.5, seed=seed, covariates=lambda person, _: {"site": "north" if person < 80 else "south"}
    )
    noise = np.random.default_rng(seed + 100).random(len(items))
    if not gap:
        return items
    return [
        Item(i.path, i.subject_id, i.is_positive, float(noise[n]) if n >= 80 else i.score, "", i.covariates, i.channel)
        for n, i in enumerate(items)
    ]


def test_a_planted_gap_is_found_and_said(people, question):
    measured = measure_subgroups(question(planted(people, True, 0)), (), 200, 0)
    assert measured["site"]["gap"]["p_value"] < 0.02
    assert gaps_in_words(measured)[0].startswith("AUROC differs by site: a gap of 0.")


def test_without_a_gap_chance_makes_one_as_often_as_it_should(people, question):
    values = [
        measure_subgroups(question(planted(people, False, seed)), (), 100, seed)["site"]["gap"]["p_value"]
        for seed in range(20)
    ]
    assert sum(value < 0.05 for value in values) <= 4
    assert 0.3 < np.mean(values) < 0.7


def test_a_subject_of_two_sites_leaves_the_gap_untested(people, question):
    items = people(80, covariates=lambda person, generator: {"site": "ab"[int(generator.random() < 0.5)]}, n_each=2)
    gap = measure_subgroups(question(items), (), 100, 0)["site"]["gap"]
    assert gap["p_value"] is None and gap["reason"] == "a subject is in several groups, so they cannot change places"


def test_small_groups_have_counts_and_no_auroc(people, question):
    items = people(40, covariates=lambda person, _: {"hiv": "yes" if person < 4 else "no"})
    measured = measure_subgroups(question(items), (), 100, 0)["HIV"]
    assert [(group["group"], group["n"], group["auroc"] is None) for group in measured["groups"]] == [
        ("no", 36, False),
        ("yes", 4, True),
    ]
    assert "fewer than two groups" in measured["gap"]["reason"]


@pytest.mark.parametrize(
    ("age", "band"),
    [
        ("0", "under 18"),
        ("17.9", "under 18"),
        ("18", "18 to 29"),
        ("59", "45 to 59"),
        ("60", "60 and over"),
        ("", "unknown"),
        ("n/a", "unknown"),
    ],
)
def test_ages_are_banded(age, band):
    assert group_of(Item("a.wav", "p", True, 0.5, "", {"age": age}), "age", "age") == band


@pytest.mark.parametrize(
    ("column", "cell", "sentence"),
    [
        ("age", "nan", "a.wav, column age holds 'nan'; leave a cell empty where nobody knows"),
        ("sex", "NaN", "column sex holds 'NaN'"),
        ("age", "old", "expected an age in years"),
        ("age", "-3000", "unknown"),
        ("age", "300", "expected an age in years"),
    ],
)
def test_a_covariate_that_cannot_be_meant_is_refused(column, cell, sentence):
    item = Item("a.wav", "p", True, 0.5, "", {column: cell})
    if sentence == "unknown":
        assert group_of(item, column, column) == sentence
        return
    with pytest.raises(DataError, match=sentence):
        group_of(item, column, column)


def test_a_covariate_that_nobody_has_is_refused_by_name(people):
    with pytest.raises(DataError, match="there is no covariate 'wards'; the covariates are age, sex, ward"):
        find_columns(people(4, covariates=sex_and_age), ("wards",))
