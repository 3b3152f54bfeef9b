import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.errors import ProbeError
from core.probes import DEMONSTRATION_REASON, Decision, ProbeResult, apply_probe, parse_probe, sigmoid
from core.quality import Quality

GOOD = Quality(True, (), -3.0, -20.0, 0.0, 30.0, 5.0)
SILENT = Quality(False, ("silent",), -math.inf, -math.inf, 0.0, None, 5.0)
ProbeContent = Callable[..., dict]


def parse(content: dict) -> object:
    return parse_probe(json.dumps(content).encode(), f"probes/{content.get('name', 'tb')}.json")


def embedding(first: float) -> np.ndarray:
    return np.array([first] + [0.0] * 511)


def test_a_score_is_the_sigmoid_of_the_standardized_sum_over_the_temperature(probe_content: ProbeContent) -> None:
    probe = parse(
        probe_content(mean=[1.0] * 512, scale=[2.0] * 512, weights=[0.5] * 512, intercept=-3.0, temperature=4.0)
    )
    expected = 1 / (1 + math.exp(-(-3.0 + 512 * 0.5 * (1.5 - 1.0) / 2.0) / 4.0))
    assert probe.score(np.full(512, 1.5, np.float32)) == pytest.approx(expected)


def test_a_regression_gives_its_value_and_no_decision(probe_content: ProbeContent) -> None:
    probe = parse(probe_content(kind="regression", unit="L", operating_point=None, intercept=3.0))
    assert apply_probe(probe, embedding(0.25), 1, GOOD) == ProbeResult("tb", "research", None, 3.25, "L", None)


def test_a_score_at_the_operating_point_refers_and_one_below_does_not(probe_content: ProbeContent) -> None:
    probe = parse(probe_content())
    assert apply_probe(probe, embedding(0.0), 1, GOOD).decision is Decision.REFER
    assert apply_probe(probe, embedding(-0.01), 1, GOOD).decision is Decision.NOT_REFERRED


def test_a_score_inside_the_abstention_band_is_unscored_with_no_number(probe_content: ProbeContent) -> None:
    probe = parse(probe_content(abstention_band=[0.4, 0.6]))
    result = apply_probe(probe, embedding(0.1), 1, GOOD)
    assert result == ProbeResult(
        "tb", "research", Decision.UNSCORED, None, "probability", "too close to the operating point"
    )
    assert apply_probe(probe, embedding(1.0), 1, GOOD).decision is Decision.REFER
    assert apply_probe(probe, embedding(-1.0), 1, GOOD).decision is Decision.NOT_REFERRED


def test_no_clear_cough_is_unscored_with_that_reason(probe_content: ProbeContent) -> None:
    result = apply_probe(parse(probe_content()), None, 0, GOOD)
    assert (result.decision, result.score, result.reason) == (
        Decision.UNSCORED,
        None,
        "no cough was heard clearly enough",
    )


def test_fewer_clips_than_the_probe_needs_are_unscored_with_both_numbers(probe_content: ProbeContent) -> None:
    clips = {"event": "cough", "min_probability": 0.5, "min_clips": 3, "pooling": "mean"}
    result = apply_probe(parse(probe_content(clips=clips)), embedding(1.0), 2, GOOD)
    assert result.decision is Decision.UNSCORED
    assert result.reason == "cough was heard clearly in 2 clips and the probe needs 3"


def test_an_unacceptable_recording_is_unscored_with_its_reasons(probe_content: ProbeContent) -> None:
    result = apply_probe(parse(probe_content()), embedding(9.0), 5, SILENT)
    assert result.decision is Decision.UNSCORED
    assert result.reason == "the recording's quality is not acceptable: silent"


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("quality", [GOOD, SILENT])
def test_a_demonstration_never_gives_a_decision_or_a_number(
    probe_content: ProbeContent, kind: str, quality: Quality
) -> None:
    changes = {"unit": "L", "operating_point": None} if kind == "regression" else {}
    probe = parse(probe_content(status="demonstration", kind=kind, **changes))
    result = apply_probe(probe, embedding(9.0), 5, quality)
    assert (result.decision, result.score, result.reason) == (Decision.UNSCORED, None, DEMONSTRATION_REASON)


def test_sigmoid_does_not_overflow() -> None:
    np.testing.assert_array_equal(sigmoid(np.array([[-1e9, 0.0, 1e9]])), [[0.0, 0.5, 1.0]])
    assert sigmoid(np.float32(2.0)) == 1 / (1 + np.exp(-2.0))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format_version": 3}, r'"format_version" is 3; expected a whole number from 1 to 2'),
        ({"status": "approved"}, r'"status" is "approved"; expected one of validated, research, demonstration'),
        ({"kind": "ranking"}, r'"kind" is "ranking"'),
        ({"unit": "percent"}, r'"unit" is "percent"; expected "probability"'),
        ({"mean": [0.0] * 511}, r'"mean" is a list of 511; expected a list of 512 numbers'),
        ({"weights": [0.0] * 511 + ["x"]}, r'"weights\[511\]" is "x"; expected a number'),
        ({"weights": [True] + [0.0] * 511}, r'"weights\[0\]" is true'),
        ({"weights": 5}, r'"weights" is 5; expected a list of 512 numbers'),
        ({"scale": [0.0] + [1.0] * 511}, r'"scale\[0\]" is 0.0; expected a number from 1e-09'),
        ({"intercept": 10**400}, r'"intercept" is a number too large to use'),
        ({"temperature": 0}, r'"temperature" is 0'),
        ({"operating_point": 1.5}, r'"operating_point" is 1.5; expected a number from 0 to 1'),
        ({"abstention_band": [0.6, 0.7]}, r'"abstention_band" is a list of 2; expected \[low, high\]'),
        ({"abstention_band": [0.6, 0.4]}, r".*around the operating point"),
        ({"abstention_band": [0.4, 0.6], "operating_point": None}, r".*around the operating point"),
        ({"kind": "regression", "unit": "L"}, r'"operating_point" is 0.5; expected null in a regression'),
        ({"clips": None}, r'"clips" is null; expected an object'),
        (
            {"clips": {"event": "cough", "min_probability": 0.5, "min_clips": 0, "pooling": "mean"}},
            r'"clips.min_clips" is 0',
        ),
        (
            {"clips": {"event": "cough", "min_probability": 0.5, "min_clips": 1, "pooling": "max"}},
            r'"clips.pooling" is "max"',
        ),
        ({"clips": {"min_probability": 0.5, "min_clips": 1, "pooling": "mean"}}, r'"clips.event" is missing'),
        ({"title": "red\x1b[31m"}, r'"title" is .*expected a printable line'),
        ({"training": []}, r'"training" is a list of 0; expected an object'),
    ],
)
def test_a_probe_with_a_wrong_field_is_refused_by_file_and_field(
    probe_content: ProbeContent, changes: dict, sentence: str
) -> None:
    with pytest.raises(ProbeError, match=r"probes/tb\.json: " + sentence):
        parse(probe_content(**changes))


def test_a_probe_whose_name_is_not_its_files_is_refused(probe_content: ProbeContent) -> None:
    with pytest.raises(ProbeError, match=r'probes/other\.json: "name" is "tb"'):
        parse_probe(json.dumps(probe_content()).encode(), "probes/other.json")


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_weight_that_is_not_finite_is_refused(probe_content: ProbeContent, literal: str) -> None:
    text = json.dumps(probe_content()).replace('"weights": [1.0', f'"weights": [{literal}')
    with pytest.raises(ProbeError, match=r"probes/tb\.json"):
        parse_probe(text.encode(), "probes/tb.json")


def test_a_probe_file_that_is_too_large_is_refused() -> None:
    with pytest.raises(ProbeError, match=r"large\.json has 262145 bytes; expected at most 262144"):
        parse_probe(b" " * (2**18 + 1), "large.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_a_probe_with_any_field_replaced_is_read_or_refused_with_a_sentence(
    probe_content: ProbeContent, data: st.DataObject
) -> None:
    content = probe_content()
    content[data.draw(st.sampled_from(sorted(content)))] = data.draw(json_values)
    try:
        probe = parse_probe(json.dumps(content).encode(), "probes/tb.json")
    except ProbeError as error:
        assert "tb.json" in str(error)
        assert str(error).isprintable()
    else:
        assert math.isfinite(probe.score(np.full(512, 3e38, np.float32)))


@pytest.mark.parametrize("key", ["training", "metrics"])
def test_a_probe_that_swells_in_memory_is_refused(probe_content: ProbeContent, key: str) -> None:
    swelling = probe_content(**{key: {"x": [{}] * 1000}})
    with pytest.raises(ProbeError, match=f'probes/tb.json: "{key}" is an object; expected an object of at most 1000'):
        parse_probe(json.dumps(swelling).encode(), "probes/tb.json")
