"""Results are checked against the schema when written and when read."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.results.result import check_result, describe_run, make_result, make_row, read_result, write_result
from core.errors import DataError
from core.stopwatch import timing_metrics

ROOT = Path(__file__).parents[3]
PROVENANCE = describe_run(2, "xnnpack", b"a model")


def a_row(name: str = "ours", **metrics: float) -> dict:
    return make_row(name, "model", PROVENANCE, metrics or {"p50_ms": 1.5}, 2.0, 3, np.array([1.0, 1.5, 2.00004]))


def a_result(**changes: object) -> dict:
    return make_result("latency", "in turns", [a_row()]) | changes


def test_a_result_is_read_back_as_it_was_written(tmp_path):
    result = a_result(facts={"warm_up_runs": 6})
    write_result(tmp_path / "a.json", result)
    assert read_result(tmp_path / "a.json") == result
    (row,) = result["rows"]
    assert row["samples_ms"] == [1.0, 1.5, 2.0]
    assert row["model_sha256"] == hashlib.sha256(b"a model").hexdigest()
    assert row["runtime"].startswith("ai-edge-litert 2") and row["threads"] == 2 and row["date"].endswith("Z")


def test_times_become_percentiles_and_a_real_time_factor():
    metrics = timing_metrics(np.arange(1, 101), audio_s=10.0)
    assert metrics["p50_ms"] == pytest.approx(50.5) and metrics["p95_ms"] == pytest.approx(95.05)
    assert (metrics["min_ms"], metrics["max_ms"], metrics["mean_ms"]) == (1, 100, 50.5)
    assert metrics["rtf"] == pytest.approx(0.00505)
    assert "rtf" not in timing_metrics([1.0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "tussis.latency/1"}, 'is of the schema "tussis.latency/1"; expected "tussis.benchmark/1"'),
        ({"schema": 1}, "names no schema"),
        ({"kind": "La tency"}, "kind: 'La tency' does not match"),
        ({"rows": [a_row() | {"threads": 0}]}, "rows[0].threads: 0 is less than the minimum of 1"),
        ({"rows": [a_row() | {"model_sha256": "abc"}]}, "rows[0].model_sha256"),
        (
            {"rows": [{key: value for key, value in a_row().items() if key != "commit"}]},
            "'commit' is a required property",
        ),
        ({"rows": [a_row() | {"metrics": {"p50_ms": "fast"}}]}, "rows[0].metrics.p50_ms: 'fast' is not of type"),
        ({"results": []}, "Additional properties are not allowed"),
        ({"ratios": [{"value": 1}]}, "ratios[0]"),
        ({"facts": {"columns": 5}}, "facts.columns: 5 is not of type 'array'"),
    ],
)
def test_a_result_that_breaks_the_schema_is_refused_with_the_place(tmp_path, change, words):
    (tmp_path / "a.json").write_text(json.dumps(a_result(**change)))
    with pytest.raises(DataError) as refusal:
        read_result(tmp_path / "a.json")
    assert str(refusal.value).startswith(str(tmp_path / "a.json")) and words in str(refusal.value)
    with pytest.raises(DataError):
        write_result(tmp_path / "b.json", a_result(**change))
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is not JSON: Expecting property name enclosed in double quotes in line 1, column 2"),
        (b"\xff\xfe", "is not JSON: it is not text in UTF-8"),
        (b"[NaN]", "is not JSON: it holds NaN, which is not a finite number"),
        (b"[1e999]", "is not JSON: it holds 1e999, which is not a finite number"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "names no schema"),
    ],
)
def test_what_is_no_json_is_refused_with_the_file(tmp_path, content, words):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError) as refusal:
        read_result(tmp_path / "a.json")
    assert str(refusal.value).startswith(str(tmp_path / "a.json")) and words in str(refusal.value)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_result(tmp_path / "gone.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(key=st.sampled_from([*a_result(), "facts", "ratios", "comparisons"]), value=json_values)
def test_a_changed_result_is_read_or_refused_with_one_sentence(tmp_path_factory, key, value):
    path = tmp_path_factory.getbasetemp() / "changed.json"
    path.write_text(json.dumps(a_result(**{key: value})))
    try:
        assert check_result(read_result(path), "it")["kind"]
    except DataError as refusal:
        assert str(path) in str(refusal) and "\n" not in str(refusal)


@given(content=st.binary(max_size=60))
def test_any_bytes_are_refused_with_one_sentence(tmp_path_factory, content):
    for name in ("any.json", "any.json.partial"):
        path = tmp_path_factory.getbasetemp() / name
        path.write_bytes(content)
        with pytest.raises(DataError) as refusal:
            read_result(path)
        assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_number_that_is_not_finite_makes_no_row():
    with pytest.raises(DataError, match="ours, model: p50_ms is nan; expected a finite number"):
        a_row(p50_ms=float("nan"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[1" + b"0" * 400 + b"]", "which is not a finite number, or larger than 1e+18"),
        (b"[1e19]", "it holds 1e19, which is not a finite number, or larger than 1e+18"),
        (b"[" + b"9" * 5000 + b"]", "is not JSON: "),
        (b"[" * 30 + b"]" * 30, "its lists and objects lie more than 20 deep in each other"),
    ],
)
def test_numbers_and_depths_that_no_measurement_has_are_refused(tmp_path, content, words):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError) as refusal:
        read_result(tmp_path / "a.json")
    assert words in str(refusal.value) and len(str(refusal.value)) < len(str(tmp_path)) + 200
