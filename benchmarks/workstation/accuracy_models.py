"""The only place that makes models score a pack alike: students through the app's screening, YAMNet by its windows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.results.names import PEER, XNNPACK, YAMNET_NAME
from benchmarks.timing.interleaved import Contender
from benchmarks.timing.models import load_student_model
from benchmarks.timing.runtime import model_costs
from core.audio import read_waveform
from core.bundle import COUGH, Bundle
from core.clips import CLIP_S
from core.demonstration import synthesized_clips
from core.interpreter import LiteRtInterpreter
from core.screener import Screener
from distill.corpus.labels import EVENT_LABELS
from distill.corpus.manifests import ManifestRow
from distill.distillation.yamnet import YamnetTeacher
from distill.evaluation.evaluate import ScoredRecording, screen_rows
from quantize.tflite_graph import read_model

Scored = list[ScoredRecording]


@dataclass(frozen=True)
class Judged:
    """A model to be timed, and how it scores recordings: by folder, rows, and the scores of the first model, if any."""

    contender: Contender
    score: Callable[[Path, Sequence[ManifestRow], Scored | None], Scored]


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
    contender = Contender(
        name=YAMNET_NAME,
        run=lambda: teacher.scores(clip),
        audio_s=CLIP_S,
        load_s=None,
        facts={"role": PEER, **costs},
        content=content,
    )

    def score(data: Path, rows: Sequence[ManifestRow], first: Scored | None) -> Scored:
        gated = [its.scores is None for its in first] if first else [False] * len(rows)
        return [
            ScoredRecording(row, None if out else _cough_score(teacher, data / row.path), None)
            for row, out in zip(rows, gated, strict=True)
        ]

    return Judged(contender, score)


def _cough_score(teacher: YamnetTeacher, path: Path) -> dict[str, float]:
    scores = teacher.scores(read_waveform(path))[:, EVENT_LABELS.index(COUGH)]
    return {COUGH: float(np.max(scores))}
