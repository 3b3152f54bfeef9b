import copy
import json
from dataclasses import astuple, replace

import numpy as np
import pytest

from core.errors import DataError
from distill.corpus.labels import EVENT_LABELS
from quantize.agreement import Agreement, CalibrationFacts, ComposedComparison, compare, compare_with_reference
from quantize.fallback import FallbackReport
from quantize.layer_errors import Effect
from quantize.recipe import Limits
from quantize.tflite_graph import DelegateShare, ModelFacts
from quantize.validation import ValidationClips

LIMITS = Limits(
    min_embedding_cosine_median=0.995,
    min_embedding_cosine_p1=0.98,
    max_cough_auroc_difference=0.002,
    max_cough_decision_flips=0.02,
    max_event_decision_flips=0.04,
    max_activity_decision_flips=0.02,
    max_frame_f1_loss=0.01,
    max_cough_event_f1_loss=0.02,
    max_model_bytes=1000,
    max_partitions=1,
    min_delegated_macs=1.0,
)


@pytest.fixture
def validation() -> ValidationClips:
    """Twenty recordings of two clips each, half of them coughs."""
    labels = [("cough",)] * 10 + [("noise",)] * 10
    return ValidationClips(np.zeros((40, 32000), dtype=np.float32), np.repeat(np.arange(20), 2), labels)


@pytest.fixture
def outputs() -> dict[str, np.ndarray]:
    """Coughs score 2 in one clip and -2 in the other, noise -1 and -2."""
    generator = np.random.default_rng(0)
    events = np.full((40, len(EVENT_LABELS)), -3.0, dtype=np.float32)
    events[:, 0] = np.where(np.arange(40) % 2, -2.0, np.where(np.arange(40) < 20, 2.0, -1.0))
    return {
        "embedding": generator.normal(size=(40, 512)).astype(np.float32),
        "event_logits": events,
        "activity_logits": np.full((40, 50), -4.0, dtype=np.float32),
    }


def agreement_of(float_model, int8_model, validation) -> Agreement:
    facts = ModelFacts(1000, "", [], 1, DelegateShare(1.0, 1.0))
    return Agreement(
        **vars(compare(float_model, float_model, int8_model, validation)),
        composed=ComposedComparison(1, 1, {"loss": 0.0}, {"loss": -0.01}),
        reference=None,
        layers=[],
        fallback=FallbackReport([], Effect(1.0, 0.0), []),
        checkpoint_sha256="",
        float_model=facts,
        int8_model=facts,
        recipe={"limits": LIMITS.model_dump()},
        calibration=CalibrationFacts(1, "", []),
        tools={},
    )


def test_equal_outputs_agree_fully_and_are_within_the_limits(outputs, validation):
    agreement = agreement_of(outputs, outputs, validation)
    assert astuple(agreement.embedding_cosine) == pytest.approx((1, 1, 1))
    assert agreement.events["cough"].auroc["int8"] == 1.0
    assert agreement.events["cough"].auroc["n_positive"] == 10
    assert agreement.events["snore"].auroc is None
    assert agreement.activity.decision_flips == 0
    assert agreement.beyond_limits == []


def test_a_recording_counts_by_its_best_clip_and_a_decision_by_its_clip(outputs, validation):
    int8 = copy.deepcopy(outputs)
    int8["event_logits"][0, 0] = -1.5
    agreement = agreement_of(outputs, int8, validation)
    cough = agreement.events["cough"]
    assert cough.decision_flips == pytest.approx(1 / 40)
    assert cough.auroc["float"] == 1.0
    assert cough.auroc["int8"] == pytest.approx(0.9)
    assert agreement.beyond_limits == [
        "the difference of cough AUROC is 0.1 (at most 0.002)",
        "the share of flipped cough decisions is 0.025 (at most 0.02)",
    ]


def test_the_cosine_ignores_length_and_sees_direction(outputs, validation):
    longer = copy.deepcopy(outputs)
    longer["embedding"] *= 3
    assert agreement_of(outputs, longer, validation).embedding_cosine.min == pytest.approx(1)
    turned = copy.deepcopy(outputs)
    turned["embedding"][0] *= -1
    agreement = agreement_of(outputs, turned, validation)
    assert agreement.embedding_cosine.min == pytest.approx(-1)
    assert agreement.beyond_limits[0].startswith("the 1st percentile of the embedding cosine")


def with_part(agreement: Agreement, part: str, **changes: object) -> Agreement:
    return replace(agreement, **{part: replace(getattr(agreement, part), **changes)})


def with_laughs_that_flip(agreement: Agreement) -> Agreement:
    laugh = replace(agreement.events["laugh"], decision_flips=0.05)
    return replace(agreement, events={**agreement.events, "laugh": laugh})


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (
            lambda a: with_part(a, "embedding_cosine", median=0.99),
            "median embedding cosine is 0.99 (at least 0.995)",
        ),
        (
            lambda a: with_part(a, "embedding_cosine", p1=float("nan")),
            "1st percentile of the embedding cosine is nan",
        ),
        (with_laughs_that_flip, "flipped laugh decisions is 0.05"),
        (lambda a: with_part(a, "activity", decision_flips=0.03), "flipped activity frames is 0.03"),
        (lambda a: with_part(a, "int8_model", bytes=1001), "size in bytes is 1001 (at most 1000)"),
        (lambda a: with_part(a, "int8_model", n_partitions=2), "number of XNNPACK partitions is 2 (at most 1)"),
        (
            lambda a: with_part(a, "int8_model", delegated=DelegateShare(1.0, 0.9)),
            "multiply-adds that XNNPACK runs is 0.9 (at least 1)",
        ),
        (
            lambda a: with_part(a, "composed", frame_f1={"loss": 0.02}),
            "loss of activity frame F1 is 0.02 (at most 0.01)",
        ),
        (lambda a: with_part(a, "composed", event_f1={"loss": 0.03}), "loss of cough event F1 is 0.03 (at most 0.02)"),
    ],
)
def test_each_limit_is_kept(outputs, validation, edit, words):
    agreement = edit(agreement_of(outputs, outputs, validation))
    (sentence,) = agreement.beyond_limits
    assert words in sentence
    (past,) = [row for row in agreement.to_json()["judged"] if not row["is_kept"]]
    assert past["what"] in sentence and ("at_least" in past) != ("at_most" in past)


def test_a_report_is_read_as_it_was_written(made):
    report = json.loads(made.agreement.read_text(encoding="utf-8"))
    agreement = Agreement.from_json(report, "agreement.json")
    assert json.loads(json.dumps(agreement.to_json())) == report
    assert agreement.composed == made.quantized.agreement.composed


def test_a_report_that_lacks_a_part_is_refused_by_name(made):
    report = json.loads(made.agreement.read_text(encoding="utf-8"))
    del report["int8_model"]["bytes"]
    with pytest.raises(DataError, match=r"old.json is not a whole agreement report: see int8_model.bytes"):
        Agreement.from_json(report, "old.json")


def test_the_student_before_tuning_is_compared_by_itself(outputs, validation):
    int8 = copy.deepcopy(outputs)
    int8["embedding"][3] *= -1
    int8["event_logits"][:, 0] *= -1
    reference = compare_with_reference(outputs, int8, validation, "0123")
    assert reference.embedding_cosine.min == pytest.approx(-1)
    assert reference.embedding_cosine.median == pytest.approx(1)
    assert (reference.cough.auroc["reference"], reference.cough.decision_flips) == (1.0, 1.0)
    assert reference.cough.auroc["difference"] >= 0.5
    assert reference.activity.decision_flips == 0
    assert reference.checkpoint_sha256 == "0123"


def test_models_are_not_compared_without_coughs(outputs, validation):
    without = ValidationClips(validation.clips, validation.recording, [("noise",)] * 20)
    with pytest.raises(DataError, match="too few coughs"):
        compare(outputs, outputs, outputs, without)
