"""Compares the int8 model with the float one and torch, and holds the differences against a recipe's limits."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from core.bundle import COUGH
from core.errors import DataError
from core.interpreter import Interpreter
from core.probes import sigmoid
from distill.corpus.labels import ACTIVITY_FRAME_STEP_S, EVENT_LABELS
from distill.evaluation.composed_recordings import ComposedRecording
from distill.evaluation.metrics import auroc
from quantize.fallback import FallbackReport
from quantize.layer_errors import LayerError
from quantize.outputs import CosineSummary, Outputs, cosine_summary
from quantize.recipe import Limits
from quantize.tflite_graph import ModelFacts
from quantize.validation import HeardRecording, ValidationClips, hear, score_coughs

SCHEMA = "tussis.agreement/1"
DECISION_PROBABILITY = 0.5


@dataclass(frozen=True)
class Drift:
    """Share of decisions at probability 0.5 that flip between two models, and mean difference of probability."""

    decision_flips: float
    mean_probability_difference: float


@dataclass(frozen=True)
class EventDrift:
    """One event's drift over clips; ``auroc`` is over recordings, None where validation has too few.

    ``auroc`` holds each model's by name, int8's ``difference`` to its reference, ``n_positive`` and ``n_negative``.
    """

    auroc: dict[str, float | int] | None
    decision_flips: float
    mean_probability_difference: float


@dataclass(frozen=True)
class Comparison:
    """Torch, float and int8 on the same validation clips.

    ``embedding_cosine`` is int8's to float, over clips; ``events`` by label, and ``activity`` over frames, are int8's
    drift from float; ``torch_to_float`` is the largest difference of each output.
    """

    n_clips: int
    n_recordings: int
    embedding_cosine: CosineSummary
    events: dict[str, EventDrift]
    activity: Drift
    torch_to_float: dict[str, float]
    torch_to_float_cosine: CosineSummary


@dataclass(frozen=True)
class ComposedComparison:
    """Models on recordings composed with coughs at known times.

    ``frame_f1`` is each model's F1 of activity frames at probability 0.5, ``event_f1`` that of counted coughs with the
    default thresholds; both hold int8's ``loss`` to float.
    """

    n_recordings: int
    n_coughs: int
    frame_f1: dict[str, float]
    event_f1: dict[str, float]


@dataclass(frozen=True)
class ReferenceComparison:
    """The int8 model beside the student that it was tuned from."""

    checkpoint_sha256: str
    embedding_cosine: CosineSummary
    cough: EventDrift
    activity: Drift


@dataclass(frozen=True)
class CalibrationFacts:
    """How the activation ranges were found; ``learnt_ranges`` are the layers whose training learnt them."""

    n_clips: int
    ids_sha256: str
    learnt_ranges: list[str]


@dataclass(frozen=True)
class Verdict:
    """One limit: what was measured, its value, and whether it is kept."""

    what: str
    value: float
    bound: Literal["at_least", "at_most"]
    limit: float

    @property
    def is_kept(self) -> bool:
        """Whether the value is within the limit; a value that is not a number is past every limit."""
        return bool(self.value >= self.limit if self.bound == "at_least" else self.value <= self.limit)

    @property
    def sentence(self) -> str:
        """The verdict for people."""
        return f"{self.what} is {self.value:.4g} ({self.bound.replace('_', ' ')} {self.limit:g})"


@dataclass(frozen=True)
class Agreement(Comparison):
    """How far an int8 model is from the float one, layer by layer too, and what both were made from.

    ``recipe`` is the resolved one, in which the layers that fell back are exempt, as JSON.
    """

    composed: ComposedComparison
    reference: ReferenceComparison | None
    layers: list[LayerError]
    fallback: FallbackReport
    checkpoint_sha256: str
    float_model: ModelFacts
    int8_model: ModelFacts
    recipe: dict[str, Any]
    calibration: CalibrationFacts
    tools: dict[str, str]

    @property
    def limits(self) -> Limits:
        """The recipe's limits."""
        return Limits(**self.recipe["limits"])

    @property
    def verdicts(self) -> list[Verdict]:
        """Each of the limits with what was measured."""
        return judge(self, self.limits)

    @property
    def beyond_limits(self) -> list[str]:
        """What is past the recipe's limits, in words; empty where the int8 model may be shipped."""
        return [verdict.sentence for verdict in self.verdicts if not verdict.is_kept]

    def to_json(self) -> dict[str, Any]:
        """What agreement.json holds."""
        values = {"schema": SCHEMA, **asdict(self)}
        if self.reference is None:
            del values["reference"]
        values["judged"] = [
            {"what": verdict.what, "value": verdict.value, verdict.bound: verdict.limit, "is_kept": verdict.is_kept}
            for verdict in self.verdicts
        ]
        return values | {"beyond_limits": self.beyond_limits}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], source: str) -> "Agreement":
        """Read what `to_json` gave; DataError, with `source` in its sentence, where a part is missing or wrong."""
        try:
            return TypeAdapter(cls).validate_python({"reference": None, **values})
        except ValidationError as error:
            key = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise DataError(f"{source} is not a whole agreement report: see {key}") from error


def compare(torch_model: Outputs, float_model: Outputs, int8_model: Outputs, validation: ValidationClips) -> Comparison:
    """Compare three runs over the same validation clips; DataError where these hold too few coughs or other sounds."""
    measurable = validation.measurable_events()
    if COUGH not in measurable:
        raise DataError("the validation recordings hold too few coughs, or too little else, to compare models on")
    models = {"torch": torch_model, "float": float_model, "int8": int8_model}
    scores = {name: validation.per_recording(outputs["event_logits"]) for name, outputs in models.items()}
    return Comparison(
        n_clips=len(validation.clips),
        n_recordings=len(validation.labels),
        embedding_cosine=cosine_summary(float_model["embedding"], int8_model["embedding"]),
        events={
            event: EventDrift(
                _aurocs(scores, event, validation, against="float") if event in measurable else None,
                **vars(_drift(float_model["event_logits"][:, n], int8_model["event_logits"][:, n])),
            )
            for n, event in enumerate(EVENT_LABELS)
        },
        activity=_drift(float_model["activity_logits"], int8_model["activity_logits"]),
        torch_to_float={name: float(np.abs(torch_model[name] - float_model[name]).max()) for name in torch_model},
        torch_to_float_cosine=cosine_summary(torch_model["embedding"], float_model["embedding"]),
    )


def compare_with_reference(
    reference: Outputs, int8_model: Outputs, validation: ValidationClips, checkpoint_sha256: str
) -> ReferenceComparison:
    """Compare the int8 model with the student that it was tuned from, which has that hash."""
    models, cough = {"reference": reference, "int8": int8_model}, EVENT_LABELS.index(COUGH)
    scores = {name: validation.per_recording(outputs["event_logits"]) for name, outputs in models.items()}
    return ReferenceComparison(
        checkpoint_sha256=checkpoint_sha256,
        embedding_cosine=cosine_summary(reference["embedding"], int8_model["embedding"]),
        cough=EventDrift(
            _aurocs(scores, COUGH, validation, against="reference"),
            **vars(_drift(reference["event_logits"][:, cough], int8_model["event_logits"][:, cough])),
        ),
        activity=_drift(reference["activity_logits"], int8_model["activity_logits"]),
    )


def _aurocs(
    scores: Mapping[str, np.ndarray], event: str, validation: ValidationClips, against: str
) -> dict[str, float | int]:
    holds, known = validation.truth(event)
    column = EVENT_LABELS.index(event)
    values = {name: auroc(score[known, column], holds[known]) for name, score in scores.items()}
    counts = {"n_positive": int(holds[known].sum()), "n_negative": int((~holds[known]).sum())}
    return {**values, "difference": abs(values["int8"] - values[against]), **counts}


def _drift(float_logits: np.ndarray, int8_logits: np.ndarray) -> Drift:
    ours, theirs = sigmoid(float_logits), sigmoid(int8_logits)
    flipped = (ours >= DECISION_PROBABILITY) != (theirs >= DECISION_PROBABILITY)
    return Drift(float(flipped.mean()), float(np.abs(ours - theirs).mean()))


def compare_on_composed(
    models: Mapping[str, Interpreter], recordings: Sequence[ComposedRecording]
) -> ComposedComparison:
    """Run each of the models, "float" and "int8" among them, over composed recordings."""
    heard = {name: [hear(model, recording) for recording in recordings] for name, model in models.items()}
    return ComposedComparison(
        n_recordings=len(recordings),
        n_coughs=sum(len(recording.coughs) for recording in recordings),
        frame_f1=_with_loss({name: frame_f1(recordings) for name, recordings in heard.items()}),
        event_f1=_with_loss({name: score_coughs(recordings).f1 or 0.0 for name, recordings in heard.items()}),
    )


def _with_loss(f1: dict[str, float]) -> dict[str, float]:
    return {**f1, "loss": f1["float"] - f1["int8"]}


def frame_f1(heard: Sequence[HeardRecording]) -> float:
    """F1 of the frames of all windows, 0 where no cough is found; a frame is cough where its middle lies in one."""
    n_both = n_found = n_true = 0
    for recording in heard:
        for window in recording.windows:
            is_cough = _is_cough(window.start_s, len(window.activity), recording.coughs)
            is_found = np.asarray(window.activity) >= DECISION_PROBABILITY
            n_both += int((is_cough & is_found).sum())
            n_found, n_true = n_found + int(is_found.sum()), n_true + int(is_cough.sum())
    return 2 * n_both / (n_found + n_true) if n_both else 0.0


def _is_cough(start_s: float, n_frames: int, coughs: list[tuple[float, float]]) -> np.ndarray:
    middle_s = start_s + (np.arange(n_frames) + 0.5) * ACTIVITY_FRAME_STEP_S
    within = [(start <= middle_s) & (middle_s < end) for start, end in coughs]
    return np.any(within, axis=0) if within else np.zeros(n_frames, dtype=bool)


def judge(agreement: Agreement, limits: Limits) -> list[Verdict]:
    """Hold an agreement against limits."""
    cosine, events, int8 = agreement.embedding_cosine, agreement.events, agreement.int8_model
    cough, composed = events[COUGH], agreement.composed
    worst = max(EVENT_LABELS, key=lambda event: events[event].decision_flips)
    at_least = [
        ("the median embedding cosine", cosine.median, limits.min_embedding_cosine_median),
        ("the 1st percentile of the embedding cosine", cosine.p1, limits.min_embedding_cosine_p1),
        ("the share of multiply-adds that XNNPACK runs", int8.delegated.macs, limits.min_delegated_macs),
    ]
    at_most = [
        ("the difference of cough AUROC", cough.auroc["difference"], limits.max_cough_auroc_difference),
        ("the share of flipped cough decisions", cough.decision_flips, limits.max_cough_decision_flips),
        (f"the share of flipped {worst} decisions", events[worst].decision_flips, limits.max_event_decision_flips),
        ("the share of flipped activity frames", agreement.activity.decision_flips, limits.max_activity_decision_flips),
        ("the loss of activity frame F1", composed.frame_f1["loss"], limits.max_frame_f1_loss),
        ("the loss of cough event F1", composed.event_f1["loss"], limits.max_cough_event_f1_loss),
        ("the size in bytes", int8.bytes, limits.max_model_bytes),
        ("the number of XNNPACK partitions", int8.n_partitions, limits.max_partitions),
    ]
    return [
        *(Verdict(what, value, "at_least", limit) for what, value, limit in at_least),
        *(Verdict(what, value, "at_most", limit) for what, value, limit in at_most),
    ]
