"""The protocols of CODA and CIDRZ: by subject, by site, by device, and through real sound once."""

from dataclasses import replace

import numpy as np
import pytest

from core.errors import DataError
from distill.probes.embed import model_of_bundle
from distill.probes.operating_points import TARGETS, WHO_2014_TRIAGE_MINIMUM
from distill.probes.tuberculosis.planted_effect import PlantedEffect
from distill.probes.tuberculosis.protocol import measure_protocol, run_protocol


@pytest.mark.long
def test_a_planted_effect_is_found_by_subject_and_at_each_site():
    result = measure_protocol(PlantedEffect(3.0).draw(90), ("site",), WHO_2014_TRIAGE_MINIMUM)
    by_subject = result["by_subject"]
    assert by_subject["auroc"]["low"] > 0.85 and by_subject["operating_points"] == {"split_conformal": 5}
    assert (by_subject["n_participants"], by_subject["n_positive"]) == (90, 45)
    assert [(group["covariate"], group["value"]) for group in result["held_out"]] == [
        ("site", f"site {number}") for number in range(3)
    ]
    assert all(group["result"]["auroc"]["value"] > 0.85 for group in result["held_out"])
    assert all(group["result"]["n_participants"] == 30 for group in result["held_out"])
    assert by_subject["outside_abstention_band"]["n_unscored"] > 0


def test_without_an_effect_there_is_chance_and_no_target_is_reached():
    result = measure_protocol(PlantedEffect(0.0).draw(90, seed=1), (), WHO_2014_TRIAGE_MINIMUM)["by_subject"]
    assert result["auroc"]["low"] < 0.5 < result["auroc"]["high"]
    assert result["reaches_target"] == {"at_operating_point": False, "outside_abstention_band": False}


@pytest.mark.long
def test_nobody_who_is_tested_at_a_device_was_heard_by_another_in_training():
    """Each person is a direction of their own; only somebody heard in training could be told."""
    generator = np.random.default_rng(0)
    people = generator.normal(size=(60, 200))
    cohort = PlantedEffect(0.0).draw(60)
    devices = [{"device": "phone A" if i % 2 else "recorder"} for i in range(120)]
    cohort = replace(cohort, features=np.repeat(people, 2, axis=0), covariates=tuple(devices))
    result = measure_protocol(cohort, ("device",), TARGETS["coda_2022"])
    for group in result["held_out"]:
        assert group["result"]["auroc"]["low"] < 0.5 < group["result"]["auroc"]["high"]


@pytest.mark.long
def test_a_site_with_one_class_has_a_reason_and_no_result():
    cohort = PlantedEffect(2.0).draw(60)
    sites = [{"site": "Chainda South" if label == 0 and i < 40 else "Kanyama"} for i, label in enumerate(cohort.labels)]
    result = measure_protocol(replace(cohort, covariates=tuple(sites)), ("site",), WHO_2014_TRIAGE_MINIMUM)
    first, second = result["held_out"]
    assert (first["result"], first["reason"]) == (None, "the test part has 0 people with tb 1; 1 are needed")
    assert second["result"] is None and "the training part has 0 people with tb 1" in second["reason"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": np.zeros(40)}, "the cohort has 0 people with tb 1; 5 are needed"),
        ({"subjects": ("one",) * 40}, "the cohort has 1 people with tb 0; 5 are needed"),
    ],
)
def test_too_few_people_are_refused(changes, sentence):
    with pytest.raises(DataError, match=sentence):
        measure_protocol(replace(PlantedEffect(1.0).draw(20), **changes), (), WHO_2014_TRIAGE_MINIMUM)


def test_another_protocol_is_refused(tmp_path, stand_in):
    with pytest.raises(DataError, match="a protocol is coda or cidrz, not 'codo'"):
        run_protocol("codo", tmp_path, stand_in, WHO_2014_TRIAGE_MINIMUM)


@pytest.mark.long
def test_coda_runs_from_its_folder_to_its_figures(write_coda, stand_in):
    folder = write_coda(37, 1, ())
    (folder / "solicited_data" / "36.wav").unlink()
    result = run_protocol("coda", folder, stand_in, WHO_2014_TRIAGE_MINIMUM)
    assert (result["schema"], result["left_out"], result["held_out"]) == ("tussis.tuberculosis/1", {"missing": 1}, [])
    assert result["by_subject"]["n_participants"] == 36 and result["by_subject"]["auroc"]["value"] > 0.6
    assert result["target"]["source"] == "WHO 2014 triage minimum" and result["status"] == "demonstration"


@pytest.mark.slow
def test_a_whole_cohort_goes_through_the_shipped_model(write_coda, default_bundle):
    folder = write_coda(60, 2, ("UG", "VN"))
    result = run_protocol("coda", folder, model_of_bundle(default_bundle), WHO_2014_TRIAGE_MINIMUM)
    found = result["by_subject"]
    assert found["auroc"]["value"] > 0.7 and found["auroc"]["low"] > 0.5
    assert found["at_operating_point"]["sensitivity"]["value"] > 0.7
    assert [group["value"] for group in result["held_out"]] == ["UG", "VN"]
    assert all(group["result"]["n_participants"] == 30 for group in result["held_out"])
