"""Roofline: limits are the longer of products and bytes, peaks are never below what the model itself reaches."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import command
from benchmarks.results.names import DYNAMIC, FLOAT, INT8
from benchmarks.results.plots import draw_plot
from benchmarks.results.result import check_result, read_result
from benchmarks.results.runner import Run
from benchmarks.timing.models import ChosenModel
from benchmarks.workstation import machine_peaks
from benchmarks.workstation.machine_peaks import Bandwidth, PeakShape
from benchmarks.workstation.operators import INTO_NEIGHBOUR, ModelTimes, OperatorTime, Traffic
from benchmarks.workstation.roofline import (
    BYTES,
    PRODUCTS,
    ROOFLINE,
    Roofs,
    best_peaks,
    fastest,
    limit_of,
    own_speeds,
    roofline_result,
    working_set_bytes,
)
from quantize.tflite_graph import Operator
from quantize.tflite_parts import BODY, FRONT_END

IN_CACHE = Bandwidth(
    cache_gb_per_s=100.0, memory_gb_per_s=10.0, core_cache_bytes=1 << 20, last_cache_bytes=1 << 25, array_bytes=1 << 25
)
ROOFS = Roofs({FLOAT: 50.0, INT8: 200.0}, IN_CACHE)


def operator(layer, macs, precision, weight_bytes, activation_bytes, us, part=BODY, note=""):
    made = Operator("CONV_2D" if macs else "ADD", layer, layer, (0,), (1,), macs, precision == INT8, True)
    traffic = Traffic(weight_bytes, activation_bytes, "1 to 1", precision)
    return OperatorTime(0, made, part, 1, traffic, us, note)


OPERATORS = [
    operator("front_end", 1_000_000, FLOAT, 4_000, 6_000, 40.0, FRONT_END),
    replace(operator("body.expand", 4_000_000, INT8, 50_000, 50_000, 25.0), number=1),
    replace(operator("body", 0, INT8, 0, 300_000, 6.0), number=2),
    replace(operator("body.expand", 0, INT8, 0, 900_000, 0.0, note=INTO_NEIGHBOUR), number=3),
]
TIMES = ModelTimes(OPERATORS, np.full(200, 0.08), None)
CHOSEN = ChosenModel("a model", b"content")
SPEEDS = [
    {"name": "x", "precision": FLOAT, "gmacs_per_s": 50.0},
    {"name": "y", "precision": INT8, "gmacs_per_s": 200.0},
]


def run(*arguments: object):
    return CliRunner().invoke(command.app, ["roofline", *map(str, arguments)])


def result_with(roofs: Roofs) -> dict:
    return roofline_result(CHOSEN, TIMES, roofs, SPEEDS, 1, Run(ROOFLINE))


def test_an_operators_limit_is_the_longer_of_its_products_and_its_bytes():
    limits = [limit_of(time, ROOFS, 100.0) for time in OPERATORS]
    assert [limit.us for limit in limits] == pytest.approx([20.0, 20.0, 3.0, 0.0])
    assert [limit.bound for limit in limits[:3]] == [PRODUCTS, PRODUCTS, BYTES]
    from_memory = limit_of(OPERATORS[2], ROOFS, 10.0)
    assert from_memory.us == pytest.approx(30.0)


def test_int8_weights_of_float_activations_stand_against_the_int8_peak():
    assert ROOFS.peak(DYNAMIC) == ROOFS.peak(INT8) == 200.0 and ROOFS.peak(FLOAT) == 50.0


def test_the_models_limit_is_the_sum_and_its_bandwidth_that_of_where_it_lies():
    assert working_set_bytes(OPERATORS) == 54_000 + 900_000
    result = check_result(result_with(ROOFS), "the result")
    whole, *rows, body = result["rows"]
    assert whole["metrics"]["limit_ms"] == pytest.approx(0.043)
    assert whole["metrics"]["share_of_limit"] == pytest.approx(0.043 / 0.08)
    assert whole["metrics"]["products_ms"] == pytest.approx(0.040)
    assert whole["metrics"]["bandwidth_gb_per_s"] == 100.0
    assert len(rows) == 3 and rows[0]["metrics"]["share_of_limit"] == pytest.approx(0.5)
    assert body["stage"] == BODY and body["metrics"]["macs"] == 4_000_000
    assert body["metrics"]["gmacs_per_s"] == pytest.approx(4_000_000 / 31.0 / 1000)
    assert body["metrics"]["share_of_peak"] == pytest.approx(body["metrics"]["gmacs_per_s"] / 200.0)
    assert body["metrics"]["share_of_limit"] == pytest.approx(23.0 / 31.0)
    small_cache = Roofs(ROOFS.peaks, replace(IN_CACHE, core_cache_bytes=1000))
    beyond = result_with(small_cache)["rows"][0]["metrics"]
    assert beyond["bandwidth_gb_per_s"] == 10.0
    assert beyond["limit_ms"] == beyond["limit_memory_ms"] == pytest.approx(0.070)
    assert beyond["limit_cache_ms"] == whole["metrics"]["limit_ms"]


def test_no_layer_is_faster_than_the_peak():
    fast = operator("body.fast", 10_000_000, INT8, 1, 1, 20.0)
    short = operator("body.short", 9_000_000, INT8, 1, 1, 1.0)
    own = own_speeds([fast, short, *OPERATORS])
    assert {speed["name"] for speed in own} == {"layer body.fast", "layer front_end", "layer body.expand"}
    assert fastest([*SPEEDS, {**SPEEDS[0], "gmacs_per_s": 60.0}])[0]["gmacs_per_s"] == 60.0
    assert best_peaks([*SPEEDS, *own]) == {FLOAT: 50.0, INT8: pytest.approx(500.0)}


def test_the_plot_has_a_dot_a_layer_and_is_the_same_for_the_same_result():
    result = result_with(ROOFS)
    svg = draw_plot(result)
    assert svg == draw_plot(json.loads(json.dumps(result)))
    words = "".join(ElementTree.fromstring(svg).itertext())
    for expected in (
        "float32 peak 50",
        "int8 peak 200",
        "100 GB/s in cache",
        "10 GB/s from memory",
        "body, int8",
        "us lost",
    ):
        assert expected in words
    assert "http" not in svg.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    assert svg != draw_plot(result_with(Roofs({FLOAT: 60.0, INT8: 200.0}, IN_CACHE)))


@pytest.mark.slow
def test_the_command_measures_peaks_bandwidth_and_operators(monkeypatch, tmp_path):
    monkeypatch.setattr(machine_peaks, "SHAPES", (PeakShape(1, 64, 8, 8), PeakShape(3, 32, 8, 8)))
    out = tmp_path / "roofline.json"
    result = run("--json", out)
    assert result.exit_code == 0, result.stderr
    whole, *_, body = (row["metrics"] for row in read_result(out)["rows"])
    assert whole["limit_ms"] > 0 and whole["products_ms"] <= whole["limit_ms"] <= whole["limit_memory_ms"]
    assert whole["peak_float32_gmacs_per_s"] < whole["peak_int8_gmacs_per_s"]
    assert 0 < body["share_of_peak"] <= 1 and "share of peak" in result.stdout


def test_what_cannot_be_measured_or_written_is_refused_before_anything_is_built(tmp_path):
    text = tmp_path / "text.tflite"
    text.write_text("not a model")
    refusals = {
        "is not a TFLite model": ("--model", text),
        "percentiles need at least 200 runs": ("--runs", 3),
        "there is no folder": ("--json", tmp_path / "gone" / "x.json"),
    }
    for words, arguments in refusals.items():
        result = run(*arguments)
        assert result.exit_code == 2 and words in result.stderr and result.stderr.count("\n") == 1
