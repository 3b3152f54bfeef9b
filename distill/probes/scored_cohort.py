"""Asks a probe about people: each person's score, or why there is none, from a table of recordings."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.bundle import Bundle
from core.errors import ProbeError
from core.files import sha256_of_file
from core.pooling import PooledEmbedding
from core.probes import ClipSelection, Probe, apply_probe, sigmoid
from core.probing.clinical import missing_reason
from core.quality import Quality
from core.screening.journal import Journal
from distill.evaluation.metrics import auroc
from distill.evaluation.report.items import Item, Question
from distill.evaluation.report.leaks import Identity
from distill.evaluation.report.packs import Asked
from distill.evaluation.report.reliability import logits_of
from distill.evaluation.report.scores import Answer, go_through
from distill.probes.cohort import SITE, Cohort, LabelledRecording, check_enough, load_cohort, read_cohort_table
from distill.probes.embed import EmbeddedRecording, EmbeddingModel, embed_recording, model_of_bundle
from distill.probes.linear_fit import balanced_cross_entropy, logistic_path, out_of_fold_scores
from distill.probes.triage import fit_triage

CLASSIFICATION = "classification"
NO_CLIP = "no acceptable clip that the probe selects"
N_REFITS = 5


@dataclass(frozen=True)
class AskedProbe:
    """The question about a probe, what the report says of the probe, and warnings that go with it."""

    asked: Asked
    about: Mapping[str, Any]
    warnings: Sequence[str]


def ask_shipped_probe(
    bundle: Bundle, name: str, recordings: Path, training: Path | None, journal: Journal
) -> AskedProbe:
    """Ask a probe of a bundle, as a phone would, about the people of a table.

    Parameters
    ----------
    bundle : Bundle
    name : of the probe
    recordings : table of `read_cohort_table`
    training : the table that the probe was fitted on, where it is known
    journal : Journal
        Of what was scored.

    Raises
    ------
    ProbeError
        If the bundle has no such probe, or it gives a value and no probability.
    DataError, AudioError
        If a table or a recording cannot be used.
    """
    probes = {probe.name: probe for probe in bundle.probes}
    if name not in probes:
        raise ProbeError(f"{bundle.name} has no probe {name!r}; it has {', '.join(probes) or 'none'}")
    probe = probes[name]
    if probe.kind != CLASSIFICATION:
        raise ProbeError(f"probe {name!r} gives a value in {probe.unit}; tussis-probe spirometry agreement measures it")
    rows = read_cohort_table(recordings, CLASSIFICATION)
    given = {row.path: row.covariates for row in rows}
    of_people = sha256_of_file(recordings) if probe.columns else ""
    answer, asked = _answered_by(probe, model_of_bundle(bundle), given), f"probe {name} of {bundle.sha256} {of_people}"
    found = go_through([row.path for row in rows], answer, asked.strip(), journal, "scoring")
    scores = [(facts["answer"]["score"], facts["answer"]["reason"]) for facts in found]
    question = Question(name, recordings.name, _people(rows, found, scores), probe.operating_point, "person")
    warnings = [f"The probe's status is {probe.status}."] if probe.status != "validated" else []
    if probe.training.get("recordings_csv_sha256") == sha256_of_file(recordings):
        warnings.append(f"The probe was fitted on {recordings.name} itself, so every figure flatters it.")
    identities = _identities(rows, found)
    return AskedProbe(
        Asked([question], _training_identities(training, journal), identities),
        {"probe": {"name": name, "status": probe.status, "fitted": "in the bundle"}},
        warnings,
    )


def ask_fitted_probe(
    bundle: Bundle,
    selection: ClipSelection,
    recordings: Path,
    training: Path | None,
    journal: Journal,
    seed: int,
    cache: Path | None,
) -> AskedProbe:
    """Fit a probe on a table and ask it about the people of another; of the same table, each by a fit to others.

    Embeddings are kept in the folder `cache`. The fit is done again on shuffled labels, `N_REFITS` times: AUROC about
    0.5 shows that nothing leaks.
    """
    model = model_of_bundle(bundle)
    test = load_cohort(recordings, CLASSIFICATION, selection, model, cache=cache)
    fitted_on = test if training is None else load_cohort(training, CLASSIFICATION, selection, model, cache=cache)
    check_enough(fitted_on, CLASSIFICATION)
    shuffled = _shuffled_labels(fitted_on.labels, fitted_on.subjects, seed)
    if training is None:
        values = _out_of_fold(test, test.labels, seed)
        refits = [auroc(_out_of_fold(test, labels, seed), labels == 1) for labels in shuffled]
    else:
        values = _external(fitted_on, test, seed)
        cohorts = [replace(fitted_on, labels=labels) for labels in shuffled]
        refits = [auroc(_external(cohort, test, seed), test.labels == 1) for cohort in cohorts]
    known = dict(zip(test.sha256s, values, strict=True))
    rows = read_cohort_table(recordings, CLASSIFICATION)
    found = go_through([row.path for row in rows], lambda _: {}, "channels", journal, "channels")
    hashes = [facts["recording"]["sha256"] for facts in found]
    scores = [(float(known[sha]), "") if sha in known else (None, NO_CLIP) for sha in hashes]
    question = Question("fitted probe", recordings.name, _people(rows, found, scores), None, "person")
    fitted = "out of fold, 5 folds by subject" if training is None else f"on {training.name}"
    control = {"aurocs": refits, "mean": float(np.mean(refits))}
    return AskedProbe(
        Asked([question], _training_identities(training, journal), _identities(rows, found)),
        {"probe": {"name": "fitted probe", "fitted": fitted, "refitted_on_shuffled_labels": control}},
        [],
    )


def _answered_by(probe: Probe, model: EmbeddingModel, given: Mapping[Path, Mapping[str, str]]) -> Answer:
    """What answers for a recording: the probe's score, and why the product would show none.

    `given` holds each person's clinical values by the recording.
    """
    shown = replace(probe, status="research")  # what it would say if it were shown at all

    def answer(path: Path) -> dict[str, Any]:
        recording = embed_recording(path, model)
        pooled = PooledEmbedding(probe.clips, model.event_labels, recording.embeddings.shape[1])
        for embedding, probabilities in zip(recording.embeddings, recording.event_probabilities, strict=True):
            pooled.push(embedding, probabilities)
        values = given[path]
        result = apply_probe(shown, pooled.mean, pooled.n_clips, _quality(recording), values)
        is_heard = not recording.unacceptable and pooled.mean is not None and pooled.n_clips >= probe.clips.min_clips
        can_score = is_heard and missing_reason(probe.columns, values) is None
        reason = (result.reason or "").partition(" (")[0]  # without the numbers of one recording
        return {"score": probe.score(pooled.mean, values) if can_score else None, "reason": reason}

    return answer


def _quality(recording: EmbeddedRecording) -> Quality:
    """The verdict that an embedded recording keeps: whether it is acceptable, and why not."""
    return Quality(not recording.unacceptable, recording.unacceptable, 0.0, 0.0, 0.0, None, 0.0)


def _people(
    rows: Sequence[LabelledRecording],
    found: Sequence[Mapping[str, Any]],
    scores: Sequence[tuple[float | None, str]],
) -> list[Item]:
    """One item for each person and class: the mean log-odds of the recordings, and the mean of their channels.

    A person has an answer where one of the recordings has, as `participant_means` takes them together.
    """
    places: dict[tuple[str, float], list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        places[row.subject_id, row.label].append(i)
    people = []
    for (subject_id, label), own in places.items():
        known = [score for score, _ in (scores[i] for i in own) if score is not None]
        reasons = [scores[i][1] for i in own]
        people.append(
            Item(
                path=str(rows[own[0]].path.name),
                subject_id=subject_id,
                is_positive=label == 1,
                score=float(sigmoid(logits_of(np.array(known)).mean())) if known else None,
                unscored="" if "" in reasons else max(reasons, key=reasons.count),
                covariates=rows[own[0]].covariates,
                channel=_mean_channel([found[i]["channel"] for i in own]),
            )
        )
    return people


def _mean_channel(channels: Sequence[Mapping[str, float | str]]) -> dict[str, float | str]:
    first = channels[0]
    return {
        name: value if isinstance(value, str) else float(np.mean([channel[name] for channel in channels]))
        for name, value in first.items()
    }


def _identities(rows: Sequence[LabelledRecording], found: Sequence[Mapping[str, Any]]) -> list[Identity]:
    return [
        Identity(
            subject=row.subject_id,
            file=facts["recording"]["sha256"],
            sound=facts["sound_sha256"],
            site=row.covariates.get(SITE, ""),
            device=row.covariates.get("device", ""),
        )
        for row, facts in zip(rows, found, strict=True)
    ]


def _training_identities(training: Path | None, journal: Journal) -> list[Identity]:
    if training is None:
        return []
    rows = read_cohort_table(training, CLASSIFICATION)
    return _identities(rows, go_through([row.path for row in rows], None, "", journal, "hashing what was learnt from"))


def _out_of_fold(cohort: Cohort, labels: np.ndarray, seed: int) -> np.ndarray:
    """Probability (n,) of each recording by a probe that never saw the person."""
    data = (cohort.features, labels, cohort.subjects, logistic_path, balanced_cross_entropy, seed)
    return sigmoid(out_of_fold_scores(*data))


def _external(training: Cohort, test: Cohort, seed: int) -> np.ndarray:
    fitted = fit_triage(training, seed)
    return sigmoid(fitted.model.scores(test.features) / fitted.temperature)


def _shuffled_labels(labels: np.ndarray, subjects: Sequence[str], seed: int) -> list[np.ndarray]:
    """`N_REFITS` times the labels (n,), each person's first label given to another person."""
    _, first, index = np.unique(np.asarray(subjects, dtype=str), return_index=True, return_inverse=True)
    generator = np.random.default_rng((seed, 1))
    return [generator.permutation(labels[first])[index] for _ in range(N_REFITS)]
