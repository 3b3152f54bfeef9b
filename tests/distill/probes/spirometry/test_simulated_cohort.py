"""Simulated people: their lungs are between healthy and obstructed by GLI, and their table can be fitted."""

import numpy as np

from core.audio import read_waveform
from distill.probes.cohort import read_cohort_table
from distill.probes.spirometry.blow_sound import Place
from distill.probes.spirometry.flow_from_sound import recover
from distill.probes.spirometry.gli_2022 import gli_reference
from distill.probes.spirometry.simulated_cohort import draw_person, simulated_blows
from distill.probes.synthetic_cohorts import write_recordings


def test_people_are_drawn_around_their_reference():
    generator = np.random.default_rng(0)
    drawn = [draw_person(generator) for _ in range(300)]
    z_scores = {"fvc_l": [], "fev1_fvc": []}
    for covariates, lung in drawn:
        person = (covariates["sex"], float(covariates["age_years"]), float(covariates["height_cm"]))
        for name, scores in z_scores.items():
            scores.append(gli_reference(name, *person).z_score(getattr(lung, name)))
    assert abs(np.mean(z_scores["fvc_l"])) < 0.15 and 0.7 < np.std(z_scores["fvc_l"]) < 0.9
    assert -4.1 < min(z_scores["fev1_fvc"]) < -3.5 and max(z_scores["fev1_fvc"]) < 1.1
    assert {covariates["sex"] for covariates, _ in drawn} == {"F", "M"}


def test_a_written_cohort_is_synthetic_has_three_blows_each_and_tells_the_lung(tmp_path):
    rows = read_cohort_table(write_recordings(simulated_blows(2, seed=1), tmp_path / "lungs"), "regression")
    assert [row.subject_id for row in rows] == ["simulated-lung-000"] * 3 + ["simulated-lung-001"] * 3
    assert all(row.is_synthetic for row in rows)
    for row in rows:
        found = recover(read_waveform(row.path), Place())
        assert abs(found.pef_l_per_s / float(row.covariates["pef_l_per_s"]) - 1) < 0.25
        assert found.fev1_l is None or abs(found.fev1_l / row.label - 1) < 0.2


def test_the_same_seed_is_the_same_cohort_and_other_places_are_another():
    first, again = (next(simulated_blows(1, seed=3)) for _ in range(2))
    elsewhere = next(simulated_blows(1, seed=3, places_differ=True))
    assert np.array_equal(first.waveform, again.waveform) and first.covariates == elsewhere.covariates
    assert not np.array_equal(first.waveform, elsewhere.waveform) and first.label == elsewhere.label
