"""The synthetic cohorts: the same every time, marked as synthetic, and steered by what they claim to be steered by."""

import csv

import numpy as np
import pytest

from core.audio import open_recording, read_waveform
from distill.probes.synthetic_cohorts import spirometry_cohort, synthesize_blow, tb_cohort, write_cohort


@pytest.mark.parametrize("cohort", [tb_cohort, spirometry_cohort])
def test_a_seed_gives_the_same_sound_and_another_seed_another(cohort):
    first, again, other = (list(cohort(2, 2, seed=seed)) for seed in (0, 0, 1))
    assert [recording.label for recording in first] == [recording.label for recording in again]
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one.waveform, same.waveform)
        assert not np.array_equal(one.waveform, different.waveform)


@pytest.mark.parametrize("cohort", [tb_cohort, spirometry_cohort])
def test_recordings_are_finite_not_clipped_and_not_silent(cohort):
    for recording in cohort(6):
        assert np.isfinite(recording.waveform).all()
        assert 0.05 < np.abs(recording.waveform).max() < 1.0


def test_half_of_the_tb_subjects_have_label_one_and_nobody_both():
    labels = {}
    for recording in tb_cohort(10, 3):
        labels.setdefault(recording.subject_id, set()).add(recording.label)
    assert sorted(label for of_subject in labels.values() for label in of_subject) == [0] * 5 + [1] * 5


@pytest.mark.long
def test_simulated_lungs_stay_in_human_range():
    for recording in spirometry_cohort(200, 1):
        assert 0.4 < recording.label < 7.0
        assert 25 <= int(recording.covariates["age_years"]) <= 70
        assert 130 < float(recording.covariates["height_cm"]) < 210
        assert recording.covariates["sex"] in ("F", "M")


def test_an_obstructed_lung_blows_for_longer():
    def share_after_a_second(fev1_l):
        blow = synthesize_blow(fev1_l, 4.0, 64_000, np.random.default_rng(0)).astype(float)
        return np.sum(blow[16_000:] ** 2) / np.sum(blow**2)

    assert share_after_a_second(1.6) > 5 * share_after_a_second(3.4)


def test_a_written_cohort_is_16_khz_sound_and_a_table_that_says_synthetic(tmp_path):
    table = write_cohort("spirometry", tmp_path / "cohort", n_subjects=2)
    rows = list(csv.DictReader(table.open()))
    assert list(rows[0]) == ["path", "subject_id", "label", "synthetic", "age_years", "sex", "height_cm"]
    assert len(rows) == 6 and {row["synthetic"] for row in rows} == {"1"}
    for row, recording in zip(rows, spirometry_cohort(2), strict=True):
        assert (row["subject_id"], float(row["label"])) == (recording.subject_id, recording.label)
        with open_recording(table.parent / row["path"]) as reader:
            assert reader.sample_rate_hz == 16_000
        np.testing.assert_allclose(read_waveform(table.parent / row["path"]), recording.waveform, atol=1 / 32768)
