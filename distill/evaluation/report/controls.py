"""Asks whether a result could be there for another reason: by chance, or because the channel gives the label away."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.evaluation.metrics import INTERVAL, auroc, auroc_difference_with_interval, auroc_with_interval
from distill.evaluation.report.reliability import folds_by_subject

MIN_SUBJECTS_PER_CLASS = 5  # fewer leave a fold of the channel's model without one class

Array = NDArray[np.float64]
Truth = NDArray[np.bool_]


def permutation_control(
    scores: Array, positives: Truth, subjects: Sequence[str], n_draws: int, seed: int
) -> dict[str, Any]:
    """AUROC with the labels shuffled: its mean is 0.5 where nothing but the labels makes the result.

    Labels change places between subjects where every subject has one label and, so that each keeps its recordings
    together, else between recordings.

    Returns
    -------
    dict
        ``mean``, ``low`` and ``high`` (the central 95 %), ``p_value`` (share of shuffles that reach the result, itself
        counted), ``shuffled`` ("subjects" or "recordings"), ``n_draws``.
    """
    _, index = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    shares = np.bincount(index, weights=positives) / np.bincount(index)
    is_by_subject = bool(np.isin(shares, (0.0, 1.0)).all())
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(n_draws):
        labels = generator.permutation(shares)[index] > 0.5 if is_by_subject else generator.permutation(positives)
        drawn.append(auroc(scores, labels))
    reached = 1 + sum(value >= auroc(scores, positives) - 1e-12 for value in drawn)
    low, high = np.percentile(drawn, INTERVAL)
    return {
        "mean": float(np.mean(drawn)),
        "low": float(low),
        "high": float(high),
        "p_value": reached / (n_draws + 1),
        "shuffled": "subjects" if is_by_subject else "recordings",
        "n_draws": n_draws,
    }


def confounder_control(
    channels: Sequence[Mapping[str, float | str]],
    scores: Array,
    positives: Truth,
    subjects: Sequence[str],
    n_draws: int,
    seed: int,
) -> dict[str, Any]:
    """How well the channel alone tells the label, by a logistic regression tested on subjects that it did not see.

    Returns
    -------
    dict
        ``auroc`` of the channel, ``above_channel`` (AUROC of the scores less it; estimates), and ``features``: AUROC of
        each by itself. Where there are too few subjects, or nothing varies, only ``reason``.
    """
    if reason := _why_not(channels, positives, subjects):
        return {"reason": reason}
    from sklearn.feature_extraction import DictVectorizer

    vectorizer = DictVectorizer(sparse=False)
    features = vectorizer.fit_transform([dict(channel) for channel in channels])
    varies = np.ptp(features, axis=0) > 0
    names = vectorizer.get_feature_names_out()[varies]
    alone = channel_scores(features[:, varies], positives, subjects, seed)
    return {
        "auroc": asdict(auroc_with_interval(alone, positives, subjects, n_draws)),
        "above_channel": asdict(auroc_difference_with_interval(scores, alone, positives, subjects, n_draws)),
        "features": {str(name): auroc(features[:, varies][:, i], positives) for i, name in enumerate(names)},
    }


def channel_scores(features: Array, positives: Truth, subjects: Sequence[str], seed: int) -> Array:
    """Log-odds (n,) of each item by a model of ``features`` (n, d) that was fitted on other subjects."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = folds_by_subject(positives, subjects, seed)
    scores = np.empty(len(positives))
    for fold in np.unique(folds):
        others = folds != fold
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
        model.fit(features[others], positives[others])
        scores[~others] = model.decision_function(features[~others])
    return scores


def _why_not(channels: Sequence[Mapping[str, float | str]], positives: Truth, subjects: Sequence[str]) -> str:
    for is_positive, word in ((True, "positive"), (False, "negative")):
        n = len({subject for subject, positive in zip(subjects, positives, strict=True) if positive == is_positive})
        if n < MIN_SUBJECTS_PER_CLASS:
            return f"{n} {word} subjects are too few; {MIN_SUBJECTS_PER_CLASS} are needed"
    if all(dict(channel) == dict(channels[0]) for channel in channels):
        return "nothing of the channel varies"
    return ""
