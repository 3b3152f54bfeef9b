"""Monitoring: cost beside YAMNet, drift and growth that are really there are found, coughs that the gate costs."""

import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import benchmarks.workstation.monitoring
from benchmarks import command
from benchmarks.results.result import read_result
from benchmarks.results.runner import Run
from benchmarks.workstation.listeners import N_PARTS, MonitorListening, Part, hear_in_turns
from benchmarks.workstation.long_sound import compose_stream, synthesized_sounds
from benchmarks.workstation.monitoring import (
    GATED,
    MONITORING,
    UNGATED,
    Hearing,
    drift_comparisons,
    measure_cost,
    memory_growth,
    n_found_again,
    ratio_of_sums,
)
from core.bundle import load_bundle
from core.errors import InterpreterError
from core.interpreter import LiteRtInterpreter

YAMNET = Path(__file__).parents[4] / "shared" / "models" / "yamnet.tflite"


def run(*arguments: object):
    return CliRunner().invoke(command.app, ["monitoring", *map(str, arguments)])


def part(number: int, n_blocks: int = 1, resident_bytes: int | None = 100) -> Part:
    blocks = slice((number - 1) * n_blocks, number * n_blocks)
    return Part(number, blocks, 60.0 * (number - 1), 60.0 * number, resident_bytes)


class TiringInterpreter:
    """A real model that takes ever longer, as on a phone that grows hot, and that fails after a time."""

    def __init__(self, interpreter: LiteRtInterpreter, tires_s: float = 0.0, fails_after_clips: float = np.inf):
        self._interpreter, self._tires_s, self._clips_left = interpreter, tires_s, fails_after_clips
        self._started_s = time.perf_counter()

    def run(self, waveform: np.ndarray):
        """Run the model; wait as long as the time that went by asks for."""
        now_s = time.perf_counter()
        self._clips_left -= 1
        if self._clips_left < 0:
            raise InterpreterError("the model failed on a clip.")
        end_s = now_s + self._tires_s * (now_s - self._started_s)
        outputs = self._interpreter.run(waveform)
        while time.perf_counter() < end_s:
            pass
        return outputs


def test_the_ratio_is_of_sums_and_its_interval_holds_it():
    generator = np.random.default_rng(0)
    theirs_s = generator.uniform(0.9, 1.1, 300)
    ours_s = np.where(generator.uniform(size=300) < 0.2, 1.0, 0.1)  # a gate: most chunks cost little
    ratio = ratio_of_sums(ours_s.tolist(), theirs_s.tolist())
    assert ratio["value"] == pytest.approx(ours_s.sum() / theirs_s.sum())
    assert ratio["low"] < ratio["value"] < ratio["high"]
    assert ratio_of_sums((2 * theirs_s).tolist(), theirs_s.tolist()) == pytest.approx(
        {"value": 2.0, "low": 2.0, "high": 2.0}
    )


def test_coughs_found_again_are_those_at_the_same_time():
    assert n_found_again([(1.0, 1.3), (5.0, 5.2)], [(1.4, 1.6), (9.0, 9.2)]) == 1
    assert n_found_again([(1.0, 1.3)], [(1.6, 1.8)]) == 0
    assert n_found_again([], [(1.0, 1.2)]) == 0


def test_the_command_measures_without_recordings_and_writes_what_its_numbers_depend_on(tiny_bundle, tmp_path):
    out = tmp_path / "monitoring.json"
    absent = ("--yamnet", tmp_path / "no_yamnet", "--data", tmp_path / "no_data")
    result = run("--bundle", tiny_bundle, *absent, "--minutes", 2, "--composed", 10, "--json", out)
    assert result.exit_code == 0, result.stderr
    assert f"YAMNet is left out: there is no file {tmp_path / 'no_yamnet'}" in result.stderr
    report = read_result(out)
    rows = {row["stage"]: row for row in report["rows"]}
    tenths = [f"{UNGATED}, {n} to {n + 10} %" for n in range(0, 100, 10)]
    assert list(rows) == [*tenths, GATED, UNGATED, f"coughs found, {GATED}", f"coughs found, {UNGATED}"]
    assert (report["kind"], "ratios" in report) == ("monitoring", False)
    for monitor in (GATED, UNGATED):
        metrics = rows[monitor]["metrics"]
        assert min(metrics["processor_s_per_audio_hour"], metrics["wall_s_per_audio_hour"]) > 0
        assert metrics["n_clips"] == (120 - 2) * 2 + 1
        assert len(rows[monitor]["samples_ms"]) == rows[monitor]["n_runs"] == 12
        assert rows[f"coughs found, {monitor}"]["metrics"]["n_coughs"] == 3 * 10
    assert 0 < rows[GATED]["metrics"]["gated_share"] < 1
    assert rows[UNGATED]["metrics"]["gated_share"] == rows[f"coughs found, {UNGATED}"]["metrics"]["gated_share"] == 0
    assert sum(rows[tenth]["n_runs"] for tenth in tenths) == 12
    for metrics in (rows[tenth]["metrics"] for tenth in tenths):
        assert metrics["p50_ms_per_hop"] == pytest.approx(metrics["p50_ms"] / 20)
        assert 0 < metrics["busy_share"] <= 1 and metrics["n_late"] == 0 and metrics["audio_s_per_s"] > 1
    facts = report["facts"]
    assert sum(facts["share_of_time"].values()) == pytest.approx(1) and "comparisons" not in report
    assert facts["stream"]["minutes"] == 2.0 and 0 < facts["stream"]["sound_share"] < 1
    assert set(facts["memory"]) == {"at_a_tenth_bytes", "at_the_end_bytes", "growth_bytes_per_hour"}
    assert facts["memory"]["growth_bytes_per_hour"] is None
    assert facts["gate"]["open_db"] > 0
    assert "synthesized sounds" in result.stdout and "at a tenth bytes" in result.stdout


@pytest.mark.long
def test_the_gate_costs_the_shipped_model_no_synthesized_cough_and_yamnet_stands_beside_it(default_bundle, tmp_path):
    if not YAMNET.exists():
        pytest.skip("shared/models/yamnet.tflite is not there")
    out = tmp_path / "monitoring.json"
    result = run("--yamnet", YAMNET, "--data", tmp_path / "no_data", "--minutes", 2, "--composed", 10, "--json", out)
    assert result.exit_code == 0, result.stderr
    report = read_result(out)
    ratios = {ratio["stage"]: ratio for ratio in report["ratios"]}
    assert len(ratios) == 4 and {ratio["to"] for ratio in report["ratios"]} == {"YAMNet"}
    assert all(0 < ratio["low"] <= ratio["value"] <= ratio["high"] for ratio in ratios.values())
    assert ratios[f"{GATED}, processor time"]["value"] < ratios[f"{UNGATED}, processor time"]["value"]
    found = {row["stage"]: row["metrics"] for row in report["rows"] if "n_found" in row["metrics"]}
    gated, ungated = found[f"coughs found, {GATED}"], found[f"coughs found, {UNGATED}"]
    assert gated["n_found"] >= ungated["n_found"] - 1 and ungated["n_found"] > 0
    assert gated["gated_share"] > 0.2
    assert "YAMNet" in result.stdout


@pytest.mark.long
def test_a_device_that_gets_slower_is_found(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    tiring = TiringInterpreter(LiteRtInterpreter(bundle.read_model(), 1, bundle.model_shape), tires_s=0.01)
    listening = MonitorListening(UNGATED, bundle, tiring, None)
    stream = compose_stream(synthesized_sounds(), 200.0, 1.0)
    parts = list(hear_in_turns([listening], stream.blocks(1.0), 200))
    (drift,) = drift_comparisons("a", listening.wall_s, parts)
    assert drift["verdict"] == "slower" and drift["low"] > 1.5


def test_drift_is_found_or_not_by_the_first_and_the_last_tenth():
    wall_s = np.random.default_rng(0).normal(1e-3, 2e-5, 400 * N_PARTS)
    parts = [part(number, 400) for number in range(1, N_PARTS + 1)]
    assert drift_comparisons("a", wall_s, parts)[0]["verdict"] == "cannot tell"
    wall_s[parts[-1].blocks] = 1.2 * wall_s[parts[-2].blocks]
    (drift,) = drift_comparisons("a", wall_s, parts)
    assert drift["verdict"] == "slower" and drift["value"] == pytest.approx(1.2, rel=0.02)
    assert drift_comparisons("a", wall_s, [part(number, 19) for number in range(1, N_PARTS + 1)]) == []


def test_growth_is_the_slope_after_the_first_tenth():
    held = [10_000, *(1000 * number for number in range(1, N_PARTS))]
    memory = memory_growth([part(number, 1, n_bytes) for number, n_bytes in enumerate(held, 1)])
    assert (memory["at_a_tenth_bytes"], memory["at_the_end_bytes"]) == (10_000, 9000)
    assert memory["growth_bytes_per_hour"] == pytest.approx(60_000)
    untold = memory_growth([part(number, 1, None) for number in range(1, N_PARTS + 1)])
    assert set(untold.values()) == {None}


def test_finished_tenths_are_kept_when_the_model_fails(tiny_bundle, tmp_path, monkeypatch):
    opened = lambda *given: TiringInterpreter(LiteRtInterpreter(*given), fails_after_clips=200)  # noqa: E731
    monkeypatch.setattr(benchmarks.workstation.monitoring, "LiteRtInterpreter", opened)
    out = tmp_path / "monitoring.json"
    absent = ("--yamnet", tmp_path / "no_yamnet", "--data", tmp_path / "no_data")
    said = run("--bundle", tiny_bundle, *absent, "--minutes", 2, "--json", out)
    assert said.exit_code == 2 and not out.exists()
    assert "the model failed on a clip; the finished" in said.stderr.splitlines()[-1]
    assert read_result(tmp_path / "monitoring.json.partial")["rows"][0]["stage"] == f"{UNGATED}, 0 to 10 %"


def test_a_missing_store_bundle_or_folder_is_refused_with_one_sentence(tiny_bundle, tmp_path):
    refusals = {
        "holds no finished waveform store": ("--bundle", tiny_bundle, "--store", tmp_path / "gone"),
        "there is no such bundle folder": ("--bundle", tmp_path / "gone"),
        "cannot be written: there is no folder": ("--json", tmp_path / "gone" / "x.json"),
        "no pack (a folder with a manifest.csv) was found": ("--bundle", tiny_bundle, "--data", tmp_path),
    }
    for words, arguments in refusals.items():
        result = run(*arguments)
        assert result.exit_code == 2
        assert words in result.stderr and "tussis-benchmark: " in result.stderr


@pytest.mark.slow
def test_in_real_time_a_block_comes_every_second(default_bundle):
    hearing, run = Hearing(None, Path("none"), 0.5, 1.0, is_real_time=True), Run(MONITORING)
    measure_cost(default_bundle, None, compose_stream(synthesized_sounds(), 30.0, 1.0), hearing, run)
    tenths = [row for row in run.rows if "busy_share" in row["metrics"]]
    assert [row["n_runs"] for row in tenths] == [3] * 10
    assert all(row["metrics"]["audio_s_per_s"] == pytest.approx(1, rel=0.05) for row in tenths)
    assert max(row["metrics"]["busy_share"] for row in tenths) < 0.3
