"""Spirometry: audio is always held against age, sex and height alone, and loses where it says nothing."""

import numpy as np
import pytest

from core.errors import DataError
from core.probes import ClipSelection, parse_probe
from distill.probes.cohort import Cohort, load_cohort
from distill.probes.fit_probe import ProbeDescription, fit_probe, probe_json
from distill.probes.spirometry.lung_function import fit_spirometry, read_demographics
from distill.probes.synthetic_cohorts import write_cohort

EVERYTHING = ClipSelection(None, 0.0, 1, "mean")


def made_up_cohort(tmp_path, audio_tells=0.0, demographics_tell=1.0, n_subjects=60, seed=0, prefix="p"):
    """FEV1 = what height tells + what the first embedding value tells + a little that nothing tells."""
    generator = np.random.default_rng(seed)
    height_cm = generator.normal(170, 8, n_subjects)
    features = generator.normal(size=(n_subjects, 512))
    fev1_l = 3.0 + demographics_tell * (height_cm - 170) / 20 + 0.4 * audio_tells * features[:, 0]
    fev1_l = np.clip(fev1_l + 0.05 * generator.normal(size=n_subjects), 0.5, None)
    covariates = tuple({"age_years": "50", "sex": "F", "height_cm": f"{height:.1f}"} for height in height_cm)
    subjects = tuple(f"{prefix}{i}" for i in range(n_subjects))
    return Cohort(tmp_path / "t.csv", "0" * 64, features, fev1_l, subjects, covariates, subjects, 60, 0, False)


def errors(metrics):
    return {name: metrics[name]["mean_percentage_error"]["value"] for name in ("audio", "demographics")}


@pytest.mark.long
def test_audio_that_says_nothing_is_reported_as_worse_than_demographics(tmp_path):
    metrics = fit_spirometry(made_up_cohort(tmp_path)).metrics
    assert metrics["audio_beats_demographics"] is False
    assert errors(metrics)["demographics"] < 3 < errors(metrics)["audio"]


@pytest.mark.long
def test_audio_that_says_it_all_beats_demographics_that_say_nothing(tmp_path):
    cohort = made_up_cohort(tmp_path, audio_tells=1.0, demographics_tell=0.0, n_subjects=100)
    few_columns = Cohort(**{**vars(cohort), "features": cohort.features[:, :20]})
    metrics = fit_spirometry(few_columns).metrics
    assert metrics["audio_beats_demographics"] is True
    assert errors(metrics)["audio"] < 3 < errors(metrics)["demographics"]


@pytest.mark.long
def test_audio_and_demographics_together_beat_either_where_each_tells_a_part(tmp_path):
    cohort = made_up_cohort(tmp_path, audio_tells=1.0, n_subjects=100)
    metrics = fit_spirometry(Cohort(**{**vars(cohort), "features": cohort.features[:, :20]})).metrics
    both = metrics["audio_and_demographics"]["mean_percentage_error"]["value"]
    assert both < 3 < min(errors(metrics).values())


@pytest.mark.long
def test_each_estimate_has_errors_with_intervals_and_limits_of_agreement(tmp_path):
    metrics = fit_spirometry(made_up_cohort(tmp_path)).metrics
    for name in ("audio", "demographics", "audio_and_demographics"):
        measured = metrics[name]
        assert measured["n_participants"] == 60
        error = measured["mean_percentage_error"]
        assert error["low"] < error["value"] < error["high"] and error["n_subjects"] == 60
        assert (
            measured["bland_altman_l"]["low"] < measured["bland_altman_l"]["bias"] < measured["bland_altman_l"]["high"]
        )


@pytest.mark.long
def test_the_probe_file_is_a_regression_in_litres_that_core_reads(tmp_path):
    cohort = made_up_cohort(tmp_path, audio_tells=1.0)
    other = made_up_cohort(tmp_path, audio_tells=1.0, n_subjects=12, seed=1, prefix="q")
    description = ProbeDescription("fev1", "FEV1", "research", "regression", "Tests only.", EVERYTHING, "made up")
    content = fit_probe(description, cohort, "0" * 64, external=other)
    probe = parse_probe(probe_json(content), "fev1.json")
    assert (probe.kind, probe.unit, probe.operating_point, probe.abstention_band) == ("regression", "L", None, None)
    assert 1.5 < probe.score(cohort.features[0]) < 4.5
    external = probe.metrics["external_test"]
    for name in ("audio", "demographics", "audio_and_demographics"):
        assert external[name]["n_participants"] == 12


def test_demographics_are_read_in_their_units(tmp_path, stand_in):
    table = write_cohort("spirometry", tmp_path / "cohort", n_subjects=3)
    cohort = load_cohort(table, "regression", EVERYTHING, stand_in)
    demographics = read_demographics(cohort)
    assert demographics.shape == (9, 3)
    assert ((demographics >= [25, 0, 130]) & (demographics <= [70, 1, 210])).all()
    assert cohort.is_synthetic


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("sex", "x", "the sex 'x'; expected F or M"),
        ("age_years", "200", "the age_years '200'; expected 4 to 110 years"),
        ("height_cm", "1.7", "the height_cm '1.7'; expected 80 to 230 cm"),
        ("height_cm", "", "the height_cm ''"),
    ],
)
def test_an_unreadable_demographic_is_refused_with_its_subject(tmp_path, name, text, sentence):
    cohort = made_up_cohort(tmp_path)
    covariates = ({**cohort.covariates[0], name: text}, *cohort.covariates[1:])
    with pytest.raises(DataError, match=f"subject 'p0' has {sentence}"):
        fit_spirometry(Cohort(**{**vars(cohort), "covariates": covariates}))


def test_spirometry_without_demographics_is_refused(tmp_path):
    cohort = made_up_cohort(tmp_path)
    without = Cohort(**{**vars(cohort), "covariates": ({},) * 60})
    with pytest.raises(DataError, match="lacks the column age_years, sex, height_cm"):
        fit_spirometry(without)
    with pytest.raises(DataError, match="FEV1 of 3200 L; expected values above 0 L, at most 12 L"):
        fit_spirometry(Cohort(**{**vars(cohort), "labels": np.append(cohort.labels[1:], 3200.0)}))
    with pytest.raises(DataError, match="FEV1 of 0 L; expected values above 0 L"):
        fit_spirometry(Cohort(**{**vars(cohort), "labels": np.append(cohort.labels[1:], 0.0)}))


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "unit", "scale", "key"),
    [
        ("fvc", "L", 1.2, "mean_absolute_error_l"),
        ("fev1_fvc", "ratio", 0.2, "mean_absolute_error"),
        ("pef", "L/s", 2.2, "mean_absolute_error_l_per_s"),
    ],
)
def test_other_measures_are_probes_with_units_of_their_own(tmp_path, kind, unit, scale, key):
    cohort = made_up_cohort(tmp_path, audio_tells=1.0)
    other = made_up_cohort(tmp_path, audio_tells=1.0, n_subjects=12, seed=1, prefix="q")
    cohort, other = (Cohort(**{**vars(one), "labels": np.minimum(scale * one.labels, 20)}) for one in (cohort, other))
    if kind == "fev1_fvc":
        cohort, other = (Cohort(**{**vars(one), "labels": np.minimum(one.labels, 0.95)}) for one in (cohort, other))
    description = ProbeDescription(kind, kind, "research", kind, "Tests only.", EVERYTHING, "made up")
    probe = parse_probe(probe_json(fit_probe(description, cohort, "0" * 64, external=other)), f"{kind}.json")
    assert (probe.kind, probe.unit) == ("regression", unit)
    for measured in (probe.metrics, probe.metrics["external_test"]):
        for name in ("mean", "demographics", "audio", "audio_and_demographics"):
            assert measured[name][key]["value"] > 0
        assert measured["verdict"].endswith(".")


def test_a_ratio_above_1_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"has an FEV1/FVC of .*; expected values above 0, at most 1"):
        fit_spirometry(made_up_cohort(tmp_path), measure="fev1_fvc")
