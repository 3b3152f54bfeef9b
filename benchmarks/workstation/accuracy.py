"""Puts accuracy beside speed: cough AUROC of models and YAMNet against milliseconds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.results.device import load_average
from benchmarks.results.names import PEER, XNNPACK, YAMNET_NAME
from benchmarks.results.result import Kind, Result, Row
from benchmarks.results.runner import Run
from benchmarks.timing.interleaved import Contender, Timing, check_runs, time_interleaved, timed_row
from benchmarks.timing.models import load_student_model
from benchmarks.timing.runtime import model_costs
from core.audio import read_waveform
from core.bundle import COUGH, Bundle, load_bundle
from core.clips import CLIP_S
from core.demonstration import synthesized_clips
from core.errors import DataError
from core.interpreter import LiteRtInterpreter
from core.screener import Screener
from distill.corpus.labels import EVENT_LABELS, event_labels_of
from distill.corpus.manifests import ManifestRow
from distill.distillation.yamnet import YamnetTeacher
from distill.evaluation.evaluate import UNSCORED_RULE, ScoredRecording, measure_label, pack_rows, screen_rows
from distill.evaluation.metrics import auroc_difference_with_interval
from quantize.tflite_graph import read_model

ACCURACY = Kind(
    "accuracy",
    "time: a run is all that scoring a clip of 2 s takes, one thread, all models in turns: one run of a student, all "
    "frames of 0.975 s every 0.48 s of YAMNet; accuracy: cough AUROC over a pack that is reported on, never chosen "
    "by; each model's largest cough score over a recording, 95 % bootstrap interval over subjects; students "
    "through the app's screening with the bundle's settings; the quality gate leaves the same recordings out "
    f"for all, YAMNet included; {UNSCORED_RULE}",
    columns=(
        *("cough_auroc", "cough_auroc_low", "cough_auroc_high", "p50_ms", "p99_ms", "model_bytes", "beyond_bundle"),
        *("beyond_bundle_low", "beyond_bundle_high", "cough_auroc_scored_only", "macs", "n_recordings", "n_coughs"),
        *("n_unscored", "n_subjects"),
    ),
)

Scored = list[ScoredRecording]


@dataclass(frozen=True)
class Judged:
    """A model to be timed, and how it scores recordings: by folder, rows, and the scores of the first model, if any."""

    contender: Contender
    score: Callable[[Path, Sequence[ManifestRow], Scored | None], Scored]


def measure_accuracy(
    bundle: Path | None, models: Sequence[Path], yamnet: Path, data: Path, pack: str, runs: int, run: Run
) -> Result:
    """Time all models in turns, then score the pack with each; a row is kept as soon as its model is done."""
    check_runs(runs)
    opened, peer = load_bundle(bundle), run.present(yamnet, YAMNET_NAME)
    recordings = labelled_recordings(data, pack)
    judged = load_judged(opened, models, peer)
    load_before = load_average()
    with run.progress("timing", runs) as step:
        timings = time_interleaved([model.contender for model in judged], runs, on_round=step)
    scored: list[Scored] = []
    with run.progress("scoring", len(judged)) as step:
        for model, timing in zip(judged, timings, strict=True):
            scored.append(model.score(data, recordings, scored[0] if scored else None))
            run.append(accuracy_row(model, timing, scored, load_before))
            step()
    roles = sorted({recording.role for recording in recordings})
    return run.result(facts={"pack": pack, "roles": roles, "front": front_of(run.rows)})


def labelled_recordings(data: Path, pack: str) -> list[ManifestRow]:
    """The pack's recordings; DataError where it is not there, or holds coughs only or none."""
    if not data.is_dir():
        raise DataError(f"accuracy cannot be measured: there is no folder of packs {data}.")
    recordings = pack_rows(data, pack)
    n_coughs = sum(is_cough(recording) for recording in recordings)
    if n_coughs in (0, len(recordings)):
        raise DataError(f"{pack} holds {n_coughs} coughs in {len(recordings)} recordings; expected both kinds.")
    return recordings


def is_cough(recording: ManifestRow) -> bool:
    """Whether the pack says that a cough is in the recording."""
    return COUGH in event_labels_of(recording.labels)


def accuracy_row(judged: Judged, timing: Timing, scored: Sequence[Scored], load_before: float | None) -> Row:
    """A model's row: time of a clip, size and AUROC; `scored` are the bundle's scores first, and this model's last."""
    measured = measure_label(scored[-1], COUGH)
    lowest, only = measured["auroc_unscored_lowest"], measured["auroc_scored_only"]
    metrics = {
        "cough_auroc": lowest["value"],
        "cough_auroc_low": lowest["low"],
        "cough_auroc_high": lowest["high"],
        "cough_auroc_scored_only": None if only is None else only["value"],
        "n_recordings": measured["n"],
        "n_coughs": measured["n_positive"],
        "n_unscored": measured["n_unscored"],
        "n_subjects": lowest["n_subjects"],
        **beyond(scored[-1], scored[0]),
    }
    known = {key: value for key, value in metrics.items() if value is not None}
    return timed_row(judged.contender, timing, 1, load_before, known)


def beyond(ours: Scored, theirs: Scored) -> dict[str, float | None]:
    """AUROC of the first less that of the second, on the same recordings of the same drawn subjects."""
    coughs, subjects = zip(*((is_cough(scored.row), scored.row.subject_id) for scored in ours), strict=True)
    difference = auroc_difference_with_interval(_ranks(ours), _ranks(theirs), list(coughs), list(subjects))
    value, low, high = difference.value, difference.low, difference.high
    return {"beyond_bundle": value, "beyond_bundle_low": low, "beyond_bundle_high": high}


def _ranks(scored: Scored) -> list[float]:
    return [-float("inf") if recording.scores is None else recording.scores[COUGH] for recording in scored]


def front_of(rows: Sequence[Row]) -> list[str]:
    """Names on the Pareto front, the fastest first: whoever is faster than one of them is less accurate."""
    names, best = [], -1.0
    for row in sorted(rows, key=lambda row: (row["metrics"]["p50_ms"], -row["metrics"]["cough_auroc"])):
        if row["metrics"]["cough_auroc"] > best:
            names.append(row["name"])
            best = row["metrics"]["cough_auroc"]
    return names


def load_judged(bundle: Bundle, models: Sequence[Path], yamnet: Path | None) -> list[Judged]:
    """The bundle's model, then the others, all of them loaded; InterpreterError or DataError where one is not fit."""
    names = [path.name for path in models]
    files = [(bundle.model_path, bundle.name)]
    files += [(path, str(path) if names.count(path.name) > 1 else path.name) for path in models]
    judged = [_student(bundle, path, name) for path, name in files]
    return judged if yamnet is None else [*judged, _yamnet(yamnet)]


def _student(bundle: Bundle, path: Path, name: str) -> Judged:
    """A student's file in the place of the bundle's model: its event logits pooled over clips as the screener does."""
    interpreter = LiteRtInterpreter(read_model(path), 1, bundle.model_shape)
    screener = Screener(bundle, interpreter=interpreter)
    contender = load_student_model(path, 1, name, XNNPACK, bundle.model_shape)
    return Judged(contender, lambda data, rows, first: screen_rows(screener, data, rows))


def _yamnet(path: Path) -> Judged:
    """YAMNet: the largest cough score over its frames, no score where the first model's screening gave none."""
    teacher, content, clip = YamnetTeacher(path), read_model(path), synthesized_clips(2)[1]
    costs = model_costs(content, XNNPACK, YAMNET_NAME)
    costs["macs"] *= len(teacher.scores(clip))
    facts = {"role": PEER, **costs}
    contender = Contender(YAMNET_NAME, lambda: teacher.scores(clip), CLIP_S, load_s=None, facts=facts, content=content)

    def score(data: Path, rows: Sequence[ManifestRow], first: Scored | None) -> Scored:
        gated = [recording.scores is None for recording in first] if first else [False] * len(rows)
        return [
            ScoredRecording(row, None if out else _cough_score(teacher, data / row.path), None)
            for row, out in zip(rows, gated, strict=True)
        ]

    return Judged(contender, score)


def _cough_score(teacher: YamnetTeacher, path: Path) -> dict[str, float]:
    scores = teacher.scores(read_waveform(path))[:, EVENT_LABELS.index(COUGH)]
    return {COUGH: float(np.max(scores))}
