"""Clinical columns in a probe: the file gives the model's score, and a missing value is never guessed."""

from dataclasses import replace

import numpy as np
import pytest

from core.errors import DataError
from core.probes import Decision, apply_probe, parse_probes
from core.quality import Quality
from distill.probes.clinical_fit import learn_columns, with_columns
from distill.probes.cohort import WHOLE_RECORDING
from distill.probes.fit_probe import ProbeDescription, fit_probe, probe_json

GOOD = Quality(True, (), -3.0, -20.0, 0.0, 30.0, 5.0)


@pytest.fixture
def cohort(made_up_cohort):
    """Age tells the label and the sound does not; two recordings have no usable age."""
    cohort = made_up_cohort(n_subjects=24, effect=0.0)
    ages = [f"{45 + 20 * label + i % 7}" for i, label in enumerate(cohort.labels)]
    ages[0], ages[1] = "nan", ""
    sexes = ["Female", "m", "f", "M"] * 12
    covariates = [
        {"age_years": age, "sex": sex, "town": f"t{i}"} for i, (age, sex) in enumerate(zip(ages, sexes, strict=True))
    ]
    return replace(cohort, covariates=tuple(covariates))


@pytest.mark.long
def test_a_probe_takes_the_columns_and_core_scores_as_the_fit_did(cohort, capsys):
    description = ProbeDescription(
        "tb", "TB", "research", "classification", "Tests.", WHOLE_RECORDING, "made up", columns=("age_years", "sex")
    )
    content = fit_probe(description, cohort, "0" * 64)
    assert "2 recordings lack a usable value of age_years, sex, and are left out" in capsys.readouterr().err
    assert content["heads"][0]["metrics"]["auroc"]["value"] > 0.95
    (probe,) = parse_probes(probe_json(content), "tb.json")
    old, young = ({"age_years": age, "sex": "male"} for age in ("70", "46"))
    assert probe.score(cohort.features[5], old) > 0.5 > probe.score(cohort.features[5], young)
    result = apply_probe(probe, cohort.features[5], 1, GOOD, {"age_years": "", "sex": "F"})
    assert (result.decision, result.reason) == (Decision.UNSCORED, "the probe needs age_years, which was not given")
    assert apply_probe(probe, cohort.features[5], 1, GOOD, old).reason != result.reason


def test_recordings_with_every_value_are_kept_with_standardized_columns(cohort):
    columns = learn_columns(cohort, ("age_years", "sex"))
    kept = with_columns(cohort, columns)
    assert len(kept.labels) == 46 and kept.features.shape == (46, 1024)
    np.testing.assert_allclose(kept.features[:, 512:].mean(axis=0), 0, atol=0.05)
    np.testing.assert_array_equal(kept.features[:, :512], cohort.features[2:])
    assert columns[1].codes == dict.fromkeys(("f", "female", "woman"), 0.0) | dict.fromkeys(("m", "male", "man"), 1.0)


@pytest.mark.parametrize(
    ("name", "cells", "sentence"),
    [
        ("weight", None, "lacks the column weight; its others are"),
        ("a=b", None, "the column 'a=b' cannot stand in a probe"),
        ("x", ["", "nan"], "column x is empty; expected values that differ"),
        ("x", ["3", ""], "column x holds nothing but '3'"),
        ("x", ["red", "green", "blue"], "column x holds 3 different words, as 'blue', 'green', 'red'"),
    ],
)
def test_a_column_that_cannot_be_used_is_refused_by_name(cohort, name, cells, sentence):
    if cells:
        covariates = tuple({"x": cells[i % len(cells)]} for i in range(48))
        cohort = replace(cohort, covariates=covariates)
    with pytest.raises(DataError, match=sentence):
        learn_columns(cohort, (name,))


def test_yes_and_no_in_any_spelling_are_one_and_nought(cohort):
    covariates = tuple({"hiv": ["Yes", "no", "TRUE", "0"][i % 4]} for i in range(48))
    (hiv,) = learn_columns(replace(cohort, covariates=covariates), ("hiv",))
    assert [hiv.number_of(word) for word in ("1", "YES", "false", "maybe")] == [1.0, 1.0, 0.0, None]
