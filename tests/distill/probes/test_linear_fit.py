"""The probes' linear algebra: equal to scikit-learn's, and no subject on both sides of a split."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge

from distill.evaluation.metrics import auroc
from distill.probes.linear_fit import (
    REGULARIZERS,
    balanced_cross_entropy,
    fit_with_best_regularizer,
    logistic_path,
    mean_absolute_error,
    out_of_fold_scores,
    participant_means,
    ridge_path,
    subject_folds,
)


def made_up(n=90, n_features=120, seed=0):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(n, n_features))
    score = features[:, :4].sum(axis=1) + generator.normal(size=n)
    return features, score, [f"s{i // 3}" for i in range(n)]


@pytest.mark.parametrize("which", [12, 25, 40])
def test_logistic_regression_equals_scikit_learns_with_balanced_classes(which):
    features, score, _ = made_up()
    targets = (score > 1).astype(float)
    weights, intercepts = logistic_path(features, targets, REGULARIZERS)
    theirs = LogisticRegression(C=1 / REGULARIZERS[which], class_weight="balanced", tol=1e-10, max_iter=10_000)
    theirs.fit(features, targets)
    np.testing.assert_allclose(weights[which], theirs.coef_[0], atol=1e-4)
    assert intercepts[which] == pytest.approx(theirs.intercept_[0], abs=1e-3)


@pytest.mark.parametrize("which", [0, 25, 49])
def test_ridge_equals_scikit_learns(which):
    features, score, _ = made_up()
    weights, intercepts = ridge_path(features, score, REGULARIZERS)
    theirs = Ridge(alpha=REGULARIZERS[which]).fit(features, score)
    np.testing.assert_allclose(weights[which], theirs.coef_, atol=1e-8)
    assert intercepts[which] == pytest.approx(theirs.intercept_)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 15), st.booleans()), min_size=1, max_size=80), st.integers(0, 100))
def test_a_subject_sits_in_exactly_one_fold(items, seed):
    subjects = [f"s{subject}" for subject, _ in items]
    folds = subject_folds(subjects, np.array([float(label) for _, label in items]), seed=seed)
    for subject in set(subjects):
        assert len({fold for fold, other in zip(folds, subjects, strict=True) if other == subject}) == 1


def test_folds_hold_equal_numbers_of_subjects_of_each_class():
    subjects = [f"s{i}" for i in range(50)]
    targets = np.array([float(i < 20) for i in range(50)])
    folds = subject_folds(subjects, targets)
    assert [int(targets[folds == fold].sum()) for fold in range(5)] == [4] * 5
    assert [int((folds == fold).sum()) for fold in range(5)] == [10] * 5


@pytest.mark.long
def test_out_of_fold_scores_know_nothing_of_a_subject_that_is_only_noise():
    # A subject's recordings share a fingerprint: only a fit that saw the subject can tell the label from it.
    generator = np.random.default_rng(3)
    fingerprints = generator.normal(size=(40, 70))
    subjects = [f"s{i // 4:02d}" for i in range(160)]
    targets = np.repeat(generator.permutation([0.0, 1.0] * 20), 4)
    features = np.repeat(fingerprints, 4, axis=0) + 0.01 * generator.normal(size=(160, 70))
    fit = (logistic_path, balanced_cross_entropy)
    leaking = out_of_fold_scores(features, targets, [str(i) for i in range(160)], *fit)
    honest = out_of_fold_scores(features, targets, subjects, *fit)
    assert auroc(leaking, targets == 1) > 0.95
    assert auroc(honest, targets == 1) < 0.65


def test_noise_gets_the_strong_penalty_and_a_clean_signal_a_weak_one():
    features, _, subjects = made_up(n_features=20)
    clean = fit_with_best_regularizer(features, features[:, 0], subjects, ridge_path, mean_absolute_error)
    noise = np.random.default_rng(9).normal(size=90)
    lost = fit_with_best_regularizer(features, noise, subjects, ridge_path, mean_absolute_error)
    assert clean.regularizer < 1 < lost.regularizer
    np.testing.assert_allclose(clean.scores(features), features[:, 0], atol=1e-3)


def test_a_constant_feature_does_no_harm():
    features, score, subjects = made_up(n_features=10)
    features[:, 3] = 5.0
    model = fit_with_best_regularizer(features, score, subjects, ridge_path, mean_absolute_error)
    assert model.scale[3] == 1.0 and np.isfinite(model.scores(features)).all()


def test_a_subject_in_both_classes_counts_once_in_each():
    values, targets, subjects = participant_means(
        np.array([1.0, 3.0, 5.0, 7.0]), np.array([0.0, 0.0, 1.0, 1.0]), ["a", "a", "a", "b"]
    )
    assert list(zip(values, targets, subjects, strict=True)) == [(2.0, 0.0, "a"), (5.0, 1.0, "a"), (7.0, 1.0, "b")]
