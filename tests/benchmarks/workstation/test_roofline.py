import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmarks.results.plots import draw_plot
from benchmarks.results.result import check_result, read_result
from benchmarks.timing.models import ChosenModel
from benchmarks.workstation import machine_peaks, roofline
from benchmarks.workstation.bandwidth import Bandwidth
from benchmarks.workstation.machine_peaks import PeakShape
from benchmarks.workstation.operator_facts import BODY, DYNAMIC, FLOAT, FRONT_END, INT8, Traffic
from benchmarks.workstation.operators import INTO_NEIGHBOUR, ModelTimes, OperatorTime
from benchmarks.workstation.roofline import (
    BYTES,
    PRODUCTS,
    Roofs,
    best_peaks,
    fastest,
    limit_of,
    own_speeds,
    roofline_result,
    working_set_bytes,
)
from quantize.tflite_graph import Operator

APP = typer.Typer()
APP.command()(roofline.roofline)
IN_CACHE = Bandwidth(
    cache_gb_per_s=100.0, memory_gb_per_s=10.0, core_cache_bytes=1 << 20, last_cache_bytes=1 << 25, array_bytes=1 << 25
)
ROOFS = Roofs({FLOAT: 50.0, INT8: 200.0}, IN_CACHE)


def operator(layer, macs, precision, weight_bytes, activation_bytes, us, part=BODY, note=""):
    made = Operator("CONV_2D" if macs else "ADD", layer, layer, (0,), (1,), macs, precision == INT8, True)
    traffic = Traffic(weight_bytes, activation_bytes, "1 to 1", precision)
    return OperatorTime(0, made, part, 1, traffic, us, us, None, None, note)


OPERATORS = [
    operator("front_end", 1_000_000, FLOAT, 4_000, 6_000, 40.0, FRONT_END),
    replace(operator("body.expand", 4_000_000, INT8, 50_000, 50_000, 25.0), number=1),
    replace(operator("body", 0, INT8, 0, 300_000, 6.0), number=2),
    replace(operator("body.expand", 0, INT8, 0, 900_000, 0.0, note=INTO_NEIGHBOUR), number=3),
]
TIMES = ModelTimes(OPERATORS, np.full(200, 0.08), None, "", None)
CHOSEN = ChosenModel("a model", b"content")
SPEEDS = [
    {"name": "x", "precision": FLOAT, "gmacs_per_s": 50.0},
    {"name": "y", "precision": INT8, "gmacs_per_s": 200.0},
]


def test_an_operators_limit_is_the_longer_of_its_products_and_its_bytes():
    limits = [limit_of(its, ROOFS, 100.0) for its in OPERATORS]
    assert [its.us for its in limits] == pytest.approx([20.0, 20.0, 3.0, 0.0])
    assert [its.bound for its in limits[:3]] == [PRODUCTS, PRODUCTS, BYTES]
    from_memory = limit_of(OPERATORS[2], ROOFS, 10.0)
    assert from_memory.us == pytest.approx(30.0)


def test_int8_weights_of_float_activations_stand_against_the_int8_peak():
    assert ROOFS.peak(DYNAMIC) == ROOFS.peak(INT8) == 200.0 and ROOFS.peak(FLOAT) == 50.0


def test_the_models_limit_is_the_sum_and_its_bandwidth_that_of_where_it_lies():
    assert working_set_bytes(OPERATORS) == 54_000 + 900_000
    result = check_result(roofline_result(CHOSEN, TIMES, ROOFS, SPEEDS, 1), "the result")
    whole, *rows = result["rows"]
    assert whole["metrics"]["limit_ms"] == pytest.approx(0.043)
    assert whole["metrics"]["share_of_limit"] == pytest.approx(0.043 / 0.08)
    assert whole["metrics"]["products_ms"] == pytest.approx(0.040)
    assert whole["metrics"]["bandwidth_gb_per_s"] == 100.0
    assert len(rows) == 3 and rows[0]["metrics"]["share_of_limit"] == pytest.approx(0.5)
    small_cache = Roofs(ROOFS.peaks, replace(IN_CACHE, core_cache_bytes=1000))
    beyond = roofline_result(CHOSEN, TIMES, small_cache, SPEEDS, 1)["rows"][0]["metrics"]
    assert beyond["bandwidth_gb_per_s"] == 10.0
    assert beyond["limit_ms"] == beyond["limit_memory_ms"] == pytest.approx(0.070)
    assert beyond["limit_cache_ms"] == whole["metrics"]["limit_ms"]


def test_no_layer_is_faster_than_the_peak():
    fast = operator("body.fast", 10_000_000, INT8, 1, 1, 20.0)
    short = operator("body.short", 9_000_000, INT8, 1, 1, 1.0)
    own = own_speeds([fast, short, *OPERATORS])
    assert {its["name"] for its in own} == {"layer body.fast", "layer front_end", "layer body.expand"}
    assert fastest([*SPEEDS, {**SPEEDS[0], "gmacs_per_s": 60.0}])[0]["gmacs_per_s"] == 60.0
    assert best_peaks([*SPEEDS, *own]) == {FLOAT: 50.0, INT8: pytest.approx(500.0)}


def test_the_plot_has_a_dot_a_layer_and_is_the_same_for_the_same_result():
    result = roofline_result(CHOSEN, TIMES, ROOFS, SPEEDS, 1)
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
    assert svg != draw_plot(roofline_result(CHOSEN, TIMES, Roofs({FLOAT: 60.0, INT8: 200.0}, IN_CACHE), SPEEDS, 1))


@pytest.mark.slow
def test_the_command_measures_peaks_bandwidth_and_operators(monkeypatch, tmp_path):
    shapes = (PeakShape(1, 64, 8, 8), PeakShape(3, 32, 8, 8))
    monkeypatch.setattr(machine_peaks.load_peak_models, "__defaults__", (shapes,))
    out, plot = tmp_path / "roofline.json", tmp_path / "roofline.svg"
    result = CliRunner().invoke(APP, ["--json", str(out), "--plot", str(plot)])
    assert result.exit_code == 0, result.stderr
    report = read_result(out)
    its = report["rows"][0]["metrics"]
    assert its["limit_ms"] > 0 and its["products_ms"] <= its["limit_ms"] <= its["limit_memory_ms"]
    assert its["peak_float32_gmacs_per_s"] < its["peak_int8_gmacs_per_s"]
    assert plot.read_text(encoding="utf-8") == draw_plot(report)
    assert "the limit is" in result.stdout


def test_what_cannot_be_measured_or_written_is_refused_before_anything_is_built(tmp_path):
    text = tmp_path / "text.tflite"
    text.write_text("not a model")
    refusals = {
        "is not a TFLite model": ("--model", str(text)),
        "percentiles need at least 200 runs": ("--runs", "3"),
        "there is no folder": ("--plot", str(tmp_path / "gone" / "x.svg")),
    }
    for words, arguments in refusals.items():
        result = CliRunner().invoke(APP, list(arguments))
        assert result.exit_code == 2 and words in result.stderr and result.stderr.count("\n") == 1
