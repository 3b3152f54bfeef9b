"""Probe files with several heads: what core reads scores as the fits did."""

from dataclasses import replace

import numpy as np
import pytest

from core.errors import DataError
from core.probes import MAX_PROBE_BYTES, parse_probes
from distill.probes.cohort import WHOLE_RECORDING, labelled_by
from distill.probes.fit_probe import ProbeDescription, fit_probe, probe_json
from distill.probes.kinds import kinds_of_heads
from distill.probes.linear_fit import fit_with_best_regularizer, mean_absolute_error, ridge_path


@pytest.fixture
def lungs(made_up_cohort):
    """People with a measured FEV1, an FVC that some lack, COPD in words, and what spirometry is compared with."""
    cohort = made_up_cohort(n_subjects=24)
    fev1_l = 3 + 0.02 * np.repeat(cohort.features[::2, 0], 2)
    covariates = tuple(
        {
            "fev1_l": f"{fev1_l[i]:.4f}",
            "fvc_l": "" if i < 4 else f"{fev1_l[i] + 0.8:.4f}",
            "copd": "yes" if label else "No",
            "age_years": str(30 + i % 40),
            "sex": "F" if i % 4 < 2 else "M",
            "height_cm": str(160 + i % 20),
        }
        for i, label in enumerate(cohort.labels)
    )
    return replace(cohort, covariates=covariates)


def describe(*heads, columns=()):
    texts = ("lungs", "Lungs", "research", "classification", "Tests.", WHOLE_RECORDING, "made up")
    return ProbeDescription(*texts, kinds_of_heads(heads), columns)


@pytest.mark.long
def test_heads_of_one_file_have_their_own_units_metrics_and_recordings(lungs):
    content = fit_probe(describe("fev1_l", "fvc_l", "copd"), lungs, "0" * 64)
    probes = {probe.name: probe for probe in parse_probes(probe_json(content), "lungs.json")}
    assert {name: probe.unit for name, probe in probes.items()} == {
        "lungs.fev1_l": "L",
        "lungs.fvc_l": "L",
        "lungs.copd": "probability",
    }
    assert probes["lungs.fvc_l"].title == "FVC" and probes["lungs.fvc_l"].metrics["audio"]["n_participants"] == 22
    assert probes["lungs.copd"].chosen_by["n"] == 12 and probes["lungs.copd"].operating_point is not None
    labelled = labelled_by(lungs, "fvc_l", "regression")
    fit = (labelled.features, labelled.labels, labelled.subjects, ridge_path, mean_absolute_error)
    expected = fit_with_best_regularizer(*fit).scores(lungs.features)
    ours = [probes["lungs.fvc_l"].score(each) for each in lungs.features]
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert len(probe_json(content)) < MAX_PROBE_BYTES


@pytest.mark.long
def test_a_value_with_columns_keeps_the_verdict_on_sound_alone_and_tells_the_error_with_them(lungs):
    fvc = fit_probe(describe("fvc_l", columns=("age_years",)), lungs, "0" * 64)["heads"][0]["metrics"]
    alone = fit_probe(describe("fvc_l"), lungs, "0" * 64)["heads"][0]["metrics"]
    assert fvc["verdict"] == alone["verdict"] and fvc["audio"] == alone["audio"]
    assert fvc["with_columns"]["n_participants"] == 22 and "with_columns" not in alone


@pytest.mark.parametrize(
    ("column", "output", "sentence"),
    [
        ("tb", "classification", "lacks the column tb, which a head is fitted on"),
        ("sex", "classification", "has the sex 'M'; expected 0 or 1"),
        ("copd", "regression", "has the copd 'No'; expected a number"),
    ],
)
def test_a_column_that_holds_no_labels_is_refused_with_its_subject(lungs, column, output, sentence):
    with pytest.raises(DataError, match=sentence):
        labelled_by(lungs, column, output)
