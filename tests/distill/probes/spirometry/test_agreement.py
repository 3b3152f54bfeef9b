"""Agreement: left-out estimates never saw their subject, and the verdict is what the gains show."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from distill.evaluation.metrics import Estimate
from distill.probes.linear_fit import fit_with_best_regularizer, mean_absolute_error, ridge_path
from distill.probes.spirometry.agreement import (
    MAX_LEFT_OUT_RECORDINGS,
    MAX_LEFT_OUT_SUBJECTS,
    MEASURES,
    LungTable,
    compare_estimates,
    left_out_estimates,
    left_out_folds,
    verdict,
)

FEV1 = MEASURES["fev1_l"]


def made_up(n_subjects=30, audio_tells=1.0, demographics_tell=1.0, n_recordings=2, seed=0):
    """FEV1 = 3 + what the first embedding value tells + what height tells + a little that nothing tells."""
    generator = np.random.default_rng(seed)
    hidden, height = generator.normal(size=(n_subjects, 12)), generator.normal(170, 8, n_subjects)
    targets = 3 + 0.4 * audio_tells * hidden[:, 0] + demographics_tell * (height - 170) / 20
    targets = np.clip(targets + 0.05 * generator.normal(size=n_subjects), 0.5, 6)
    demographics = np.column_stack([np.full(n_subjects, 50.0), np.arange(n_subjects) % 2, height])
    subjects = [f"p{i}" for i in range(n_subjects)]
    parts = (hidden, demographics, targets, np.array(subjects))
    return LungTable(*(np.repeat(part, n_recordings, axis=0) for part in parts))


def test_the_mean_is_that_of_the_other_participants():
    table = made_up(n_subjects=12)
    estimate = left_out_estimates(table)["mean"]
    others = [table.targets[::2][np.arange(12) != i].mean() for i in range(12)]
    assert estimate[::2] == pytest.approx(others) and estimate[1::2] == pytest.approx(others)


def test_a_left_out_estimate_does_not_change_with_its_subjects_own_values():
    table = made_up(n_subjects=14)
    changed = table.targets.copy()
    changed[:2] = 6.0  # of the first subject alone
    before = left_out_estimates(table)
    after = left_out_estimates(LungTable(table.features, table.demographics, changed, table.subjects))
    for name, estimate in before.items():
        assert np.array_equal(estimate[:2], after[name][:2]), name
        assert not np.array_equal(estimate[2:], after[name][2:]), name


def test_a_left_out_estimate_is_that_of_scikit_learns_ridge_at_the_chosen_penalty():
    table = made_up(n_subjects=12, n_recordings=1)
    estimate = left_out_estimates(table)["audio"]
    for i in range(12):
        others = np.arange(12) != i
        features, targets, subjects = table.features[others], table.targets[others], table.subjects[others]
        chosen = fit_with_best_regularizer(features, targets, subjects, ridge_path, mean_absolute_error, 1)
        fitted = Ridge(alpha=chosen.regularizer).fit((features - chosen.mean) / chosen.scale, targets)
        theirs = fitted.predict((table.features[i : i + 1] - chosen.mean) / chosen.scale)[0]
        assert estimate[i] == pytest.approx(theirs, abs=1e-9)


def test_many_subjects_or_recordings_are_left_out_by_fifths():
    recordings = made_up(n_subjects=20, n_recordings=MAX_LEFT_OUT_RECORDINGS // 20 + 1)
    assert len(set(left_out_folds(recordings).tolist())) == 5
    few, many = made_up(MAX_LEFT_OUT_SUBJECTS), made_up(MAX_LEFT_OUT_SUBJECTS + 1)
    assert len(set(left_out_folds(few).tolist())) == MAX_LEFT_OUT_SUBJECTS
    folds = left_out_folds(many)
    assert set(folds.tolist()) == {0, 1, 2, 3, 4} and np.array_equal(folds[::2], folds[1::2])


@pytest.mark.parametrize(
    ("audio_tells", "demographics_tell", "words", "missing"),
    [
        (1.0, 1.0, "It adds to age, sex and height: the error falls by", "adds nothing"),
        (0.0, 1.0, "Beside age, sex and height it adds nothing that these 30 participants show", "It adds to"),
        (0.0, 0.0, "Sound alone tells nothing of the FEV1 that these 30 participants show", "closer"),
    ],
)
def test_the_verdict_is_what_was_planted(audio_tells, demographics_tell, words, missing):
    table = made_up(audio_tells=audio_tells, demographics_tell=demographics_tell)
    compared = compare_estimates(left_out_estimates(table), table, FEV1)
    assert words in compared["verdict"] and missing not in compared["verdict"]


def test_errors_and_limits_are_as_worked_by_hand():
    table = LungTable(np.zeros((4, 1)), np.zeros((4, 3)), np.array([2.0, 2.0, 4.0, 5.0]), ["a", "a", "b", "c"])
    better = np.array([2.2, 2.4, 4.0, 4.5])  # participants: 2.3, 4.0, 4.5
    worse = np.array([3.0, 3.0, 3.0, 3.0])
    estimates = {"mean": worse, "demographics": worse, "audio": better, "audio_and_demographics": worse}
    compared = compare_estimates(estimates, table, FEV1)
    audio = compared["audio"]
    assert audio["n_participants"] == 3
    assert audio["mean_absolute_error_l"]["value"] == pytest.approx((0.3 + 0 + 0.5) / 3)
    assert audio["mean_percentage_error"]["value"] == pytest.approx((15 + 0 + 10) / 3)
    differences = np.array([0.3, 0.0, -0.5])
    assert audio["bland_altman_l"]["bias"] == pytest.approx(differences.mean())
    assert audio["bland_altman_l"]["high"] == pytest.approx(differences.mean() + 1.96 * differences.std(ddof=1))
    assert compared["gains"]["audio_over_mean"]["value"] == pytest.approx(4 / 3 - 0.8 / 3)
    assert compared["gains"]["audio_and_demographics_over_demographics"]["value"] == 0
    assert compared["audio_beats_demographics"] is True


def test_a_gain_whose_interval_holds_zero_shows_nothing():
    def gains(low):
        gain = Estimate(0.2, low, 0.4, 20, 20)
        return {"audio_over_mean": gain, "audio_and_demographics_over_demographics": gain}

    assert "0.2 L (0.1 to 0.4)" in verdict(gains(0.1), FEV1)
    for low in (0.0, -0.1, None):
        assert "tells nothing" in verdict(gains(low), FEV1) and "adds nothing" in verdict(gains(low), FEV1)
    assert "by 0.2 (0.1 to 0.4)" in verdict(gains(0.1), MEASURES["fev1_fvc"])
    assert "by 0.2 L/s (0.1 to 0.4)" in verdict(gains(0.1), MEASURES["pef_l_per_s"])
