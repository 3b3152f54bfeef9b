"""Probe files of both formats: what their heads are, and which are refused."""

import json

import numpy as np
import pytest

from core.errors import ProbeError
from core.probes import Decision, apply_probe
from core.probing.probe_file import parse_probe, parse_probes
from core.quality import Quality

GOOD = Quality(True, (), -3.0, -20.0, 0.0, 30.0, 5.0)
PERSON = {"age_years": "50", "sex": "m"}


def parse(content):
    return parse_probes(json.dumps(content).encode(), f"probes/{content['name']}.json")


def embedding(first=0.0, other=0.0):
    return np.array([first] + [other] * 511)


def test_a_file_of_format_1_is_read_as_one_head_without_columns_or_domain(probe_content):
    (probe,) = parse(probe_content(abstention_band=[0.4, 0.6]))
    assert (probe.name, probe.columns, probe.domain, probe.model_sha256) == ("tb", (), None, None)
    assert (probe.operating_point, probe.abstention_band, probe.chosen_by) == (0.5, (0.4, 0.6), None)
    assert apply_probe(probe, embedding(1.0, 1e6), 1, GOOD).decision is Decision.REFER


def test_each_head_gives_a_result_with_its_own_name_unit_and_decision(lung_probe_content):
    fev1, copd = (apply_probe(probe, embedding(0.5), 1, GOOD, PERSON) for probe in parse(lung_probe_content()))
    assert (fev1.name, fev1.unit, fev1.decision, fev1.score) == ("lungs.fev1", "L", None, 5.5)
    assert (copd.name, copd.unit, copd.decision) == ("lungs.copd", "probability", Decision.REFER)
    assert copd.score == pytest.approx(1 / (1 + np.exp(-0.5)))


def test_a_file_with_one_head_is_called_like_the_file(lung_probe_content):
    content = lung_probe_content()
    (probe,) = parse({**content, "heads": content["heads"][:1]})
    assert (probe.name, probe.title) == ("lungs", "FEV1")
    with pytest.raises(ProbeError, match=r"lungs\.json has 2 heads; expected one"):
        parse_probe(json.dumps(content).encode(), "lungs.json")


def test_an_embedding_far_from_the_training_is_unscored_with_both_distances(lung_probe_content):
    probe = parse(lung_probe_content())[0]
    assert apply_probe(probe, embedding(0.0, 1.9), 1, GOOD, PERSON).decision is None
    result = apply_probe(probe, embedding(0.0, 3.0), 1, GOOD, PERSON)
    assert (result.decision, result.score) == (Decision.UNSCORED, None)
    assert result.reason == (
        "the sound is unlike the recordings that the probe was fitted on (distance 3.00, at most 2.00)"
    )


def test_a_person_without_a_value_that_the_probe_needs_is_unscored(lung_probe_content):
    for probe in parse(lung_probe_content()):
        result = apply_probe(probe, embedding(), 1, GOOD)
        assert (result.decision, result.score) == (Decision.UNSCORED, None)
        assert result.reason == "the probe needs age_years, which was not given"


def test_inside_the_band_a_head_is_unscored_and_says_how_the_band_was_chosen(lung_probe_content):
    copd = parse(lung_probe_content())[1]
    assert apply_probe(copd, embedding(0.1), 1, GOOD, PERSON).reason == "too close to the operating point"
    assert copd.chosen_by == {"method": "made up", "n": 40, "target_sensitivity": 0.9}


def changed(content, place, value):
    *path, last = place
    target = content
    for key in path:
        target = target[key]
    target[last] = value
    return content


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (["heads"], [], '"heads" is a list of 0'),
        (["heads"], [{}] * 9, '"heads" is a list of 9'),
        (["heads", 1, "name"], "fev1", r'"heads\[0\].name" is "fev1"; expected a name of its own'),
        (["heads", 0, "name"], "a.b", r'"heads\[0\].name" is "a.b"'),
        (["heads", 0, "operating_point"], {}, r'"heads\[0\].operating_point" is an object; expected null'),
        (["heads", 1, "operating_point", "lower"], 0.7, r'"heads\[1\].operating_point.lower" is 0.7'),
        (["heads", 1, "operating_point", "upper"], None, r'"heads\[1\].operating_point.upper" is null'),
        (["heads", 1, "operating_point", "method"], "", r'"heads\[1\].operating_point.method"'),
        (["heads", 0, "column_weights"], [1.0], "expected a list of 2 numbers"),
        (["heads", 0, "weights"], [], "expected a list of 512 numbers"),
        (["columns"], None, '"columns" is null'),
        (["domain"], 3, '"domain" is 3; expected an object'),
        (["training", "model_sha256"], "x", '"training.model_sha256"'),
        (["status"], "validated", r'"heads\[0\].metrics" is an object; expected an object with "external_test"'),
    ],
)
def test_a_wrong_field_is_refused_by_file_and_place(lung_probe_content, place, value, sentence):
    with pytest.raises(ProbeError, match=rf"probes/lungs\.json.*{sentence}"):
        parse(changed(lung_probe_content(), place, value))
