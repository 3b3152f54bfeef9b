import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import command
from benchmarks.results.result import read_result
from benchmarks.timing.interleaved import Timing
from benchmarks.workstation import machine_peaks, stages
from benchmarks.workstation.machine_peaks import PeakShape
from core.bundle import load_bundle
from quantize.tflite_parts import BODY, FRONT_END, student_parts

SHIPPED = load_bundle(None).model_path
# Steps, bands, and channels in, expanded and out of each block.
BLOCKS = (
    (50, 12, 8, 32, 16),
    (25, 6, 16, 64, 40),
    (25, 6, 40, 64, 40),
    (25, 3, 40, 96, 80),
    (25, 3, 80, 80, 80),
    (25, 3, 80, 80, 80),
)


def test_the_multiply_accumulates_of_the_shipped_parts_are_those_of_its_layers():
    parts = student_parts(SHIPPED.read_bytes(), "the shipped model")
    blocks = 0
    for steps, bands, n_in, n_expanded, n_out in BLOCKS:
        blocks += steps * bands * n_expanded * (9 * n_in + n_out)
    stem, heads = 50 * 24 * 8 * 9, 25 * 3 * 80 * 256 + 25 * 2 * 3 * 256 + 256 * 512 + 512 * 8
    assert machine_peaks.count_macs(parts[BODY]) == stem + blocks + heads
    assert machine_peaks.count_macs(SHIPPED.read_bytes()) == sum(
        machine_peaks.count_macs(parts[name]) for name in (FRONT_END, BODY)
    )


def test_the_front_end_stands_against_the_float_peak_and_the_body_against_that_of_int8():
    times_s = {"whole": 0.003, FRONT_END: 0.001, BODY: 0.002}
    timings = {name: Timing(1.0, np.full(5, its)) for name, its in times_s.items()}
    macs = {"whole": 90_000_000, FRONT_END: 10_000_000, BODY: 80_000_000}
    rows = stages.stage_metrics(timings, macs, {"float32": 20.0, "int8": 50.0})
    assert rows[BODY] == pytest.approx(
        {
            **{"p50_ms": 2.0, "min_ms": 2.0, "share_of_time": 2 / 3, "macs": 80_000_000},
            **{"gmacs_per_s": 40.0, "share_of_peak": 0.8},
        }
    )
    assert rows[FRONT_END]["share_of_peak"] == pytest.approx(0.5)
    assert rows["whole"]["gmacs_per_s"] == pytest.approx(30.0)


@pytest.mark.slow
def test_the_command_measures_stages_and_peaks_and_writes_them(monkeypatch, tmp_path):
    shapes = (PeakShape(1, 32, 8, 8), PeakShape(3, 16, 8, 8))
    monkeypatch.setattr(machine_peaks.load_peak_models, "__defaults__", (shapes,))
    out = tmp_path / "stages.json"
    result = CliRunner().invoke(command.app, ["stages", "--json", str(out)])
    assert result.exit_code == 0, result.stderr
    report = read_result(out)
    assert report["kind"] == "stages" and len(report["facts"]["peak_gmacs_per_s"]) == 2
    rows = [row for row in report["rows"] if row["stage"] == "peak"]
    assert [row["metrics"]["macs"] for row in rows] == [4 * 64 * 32 * 32] * 2 + [4 * 64 * 16 * 16 * 9] * 2
    assert [row["name"].rpartition(", ")[2] for row in rows] == ["float32", "int8"] * 2
    ours = {row["stage"]: row["metrics"] for row in report["rows"] if row["stage"] != "peak"}
    assert ours["whole"]["macs"] == sum(ours[name]["macs"] for name in (FRONT_END, BODY))
    assert "front end" in result.stdout and "int8" in result.stdout


def test_too_few_runs_and_an_unwritable_result_are_refused_before_anything_is_built(tmp_path):
    refusals = {
        "--runs is 20; percentiles need at least 200 runs": ("--runs", "20"),
        "cannot be written: there is no folder": ("--json", str(tmp_path / "gone" / "x.json")),
    }
    for words, arguments in refusals.items():
        result = CliRunner().invoke(command.app, ["stages", *arguments])
        assert result.exit_code == 2
        assert words in result.stderr
