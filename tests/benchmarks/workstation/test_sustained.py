"""Sustained load: every tenth is measured and kept, drift and growth that are really there are found."""

import itertools
import time
import wave

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchmarks import command
from benchmarks.results.device import fastest_clock_mhz, thermal_zones
from benchmarks.results.result import read_result
from benchmarks.results.row_log import RowLog
from benchmarks.workstation.looped_sound import MINUTE_SAMPLES, endless_blocks, one_minute, write_long_wav
from benchmarks.workstation.sustained import KIND, PROTOCOL, Load, drift_comparison, keep_part, measure, memory_growth
from benchmarks.workstation.sustained_listening import BLOCK_S, N_PARTS, Part, listen, paced, warm_up
from core.audio import read_waveform
from core.bundle import load_bundle
from core.errors import InterpreterError, OutputError, SettingsError
from core.interpreter import LiteRtInterpreter
from core.monitoring.monitor import Monitor, MonitorSettings


def run(*arguments: object):
    return CliRunner().invoke(command.app, ["sustained", *(str(its) for its in arguments)])


def part(times_s: np.ndarray, number: int = 0, resident_bytes: int | None = 100) -> Part:
    point = {"at_s": 60.0 * (number + 1), "resident_bytes": resident_bytes}
    return Part(60.0 * number, 60.0 * (number + 1), times_s, [point])


class TiringInterpreter:
    """A real model that takes ever longer, as on a telephone that grows hot, and that fails after a time."""

    def __init__(self, interpreter: LiteRtInterpreter, tires_s: float = 0.0, fails_after_s: float = np.inf):
        self._interpreter, self._tires_s, self._fails_after_s = interpreter, tires_s, fails_after_s
        self._started_s = time.perf_counter()

    def run(self, waveform: np.ndarray):
        """Run the model; wait as long as the time that went by asks for."""
        now_s = time.perf_counter()
        if now_s - self._started_s > self._fails_after_s:
            raise InterpreterError("the model failed on a clip.")
        end_s = now_s + self._tires_s * (now_s - self._started_s)
        outputs = self._interpreter.run(waveform)
        while time.perf_counter() < end_s:
            pass
        return outputs


@pytest.fixture
def with_interpreter(tiny_bundle, monkeypatch):
    """Replaces the interpreter that the benchmark opens by one around it."""

    def replace(**options: object) -> None:
        opened = lambda model, threads, shape: TiringInterpreter(LiteRtInterpreter(model, threads, shape), **options)  # noqa: E731
        monkeypatch.setattr("benchmarks.workstation.sustained.LiteRtInterpreter", opened)

    return replace


def test_the_minute_is_the_same_each_time_and_blocks_follow_on_one_another():
    blocks = list(itertools.islice(endless_blocks(7.0), 20))
    assert one_minute().shape == (MINUTE_SAMPLES,) and 0.1 < np.abs(one_minute()).max() <= 1
    joined = np.concatenate(blocks)
    assert np.array_equal(joined, np.resize(one_minute(), len(joined)))


def test_a_long_wav_is_what_the_blocks_are(tmp_path):
    waveform = read_waveform(write_long_wav(tmp_path / "a.wav", 61.5))
    assert len(waveform) == round(61.5 * 16_000)
    assert waveform == pytest.approx(np.resize(one_minute(), len(waveform)), abs=1e-4)
    with wave.open(str(write_long_wav(tmp_path / "b.wav", 1.0)), "rb") as file:
        assert file.getnframes() == 16_000
    with pytest.raises(OutputError, match="cannot be written: No such file"):
        write_long_wav(tmp_path / "gone" / "a.wav", 1.0)


def test_blocks_come_when_a_microphone_would_have_them_and_what_is_late_comes_at_once():
    started_s, came_s = time.perf_counter(), []
    for number, _ in enumerate(itertools.islice(paced(endless_blocks(0.05), 0.05), 6)):
        came_s.append(time.perf_counter() - started_s)
        if number == 1:
            time.sleep(0.12)
    assert all(its >= 0.05 * (number + 1) - 1e-3 for number, its in enumerate(came_s))
    assert came_s[3] - came_s[2] < 0.04  # both were due while the second was worked on


def test_every_hop_but_the_first_ones_runs_two_clips_a_block(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    interpreter, counts = LiteRtInterpreter(bundle.read_model(), 1, bundle.model_shape), []
    counting = type("Counting", (), {"run": lambda self, waveform: counts.append(1) or interpreter.run(waveform)})()
    monitor, sound = Monitor(bundle, counting, 16_000, MonitorSettings(gate=None)), endless_blocks(BLOCK_S)
    warm_up(monitor, sound)
    counts.clear()
    parts = list(listen(monitor, sound, 0.3))
    n_blocks = sum(len(its.times_s) for its in parts)
    assert len(parts) == N_PARTS and n_blocks >= N_PARTS
    assert len(counts) == 2 * n_blocks
    for before, after in itertools.pairwise(parts):
        assert before.end_s <= after.begin_s < after.end_s
    assert all(its.times_s.sum() <= its.end_s - its.begin_s and its.points for its in parts)


def test_the_command_gives_a_row_a_tenth_with_memory_and_a_plot(tiny_bundle, tmp_path):
    out = tmp_path / "sustained.json"
    said = run("--bundle", tiny_bundle, "--minutes", 0.05, "--gated", "--json", out)
    assert said.exit_code == 0, said.stderr
    result = read_result(out)
    assert [row["stage"] for row in result["rows"]] == [f"{n} to {n + 10} %" for n in range(0, 100, 10)]
    for row in result["rows"]:
        assert row["audio_s"] == BLOCK_S and row["facts"]["points"]
        assert row["metrics"]["p50_ms_per_hop"] == pytest.approx(row["metrics"]["p50_ms"] / 2)
        assert 0 < row["metrics"]["busy_share"] <= 1 and row["metrics"]["n_late"] == 0
    (drift,) = result["comparisons"]
    assert drift["low"] <= drift["value"] <= drift["high"]
    assert 0 < result["facts"]["gated_share"] < 1 and result["facts"]["gate"]["open_db"] > 0
    assert sum(result["facts"]["share_of_time"].values()) == pytest.approx(1)
    assert result["facts"]["memory"]["growth_bytes_per_hour"] is None
    assert "memory from a tenth to the end" in said.stdout


def test_a_device_that_gets_slower_is_found(tiny_bundle, with_interpreter):
    with_interpreter(tires_s=0.01)
    log = RowLog(None, KIND, PROTOCOL)
    result = measure(load_bundle(tiny_bundle), Load(3.0, None, False), log, Console(stderr=True))
    assert result["comparisons"][0]["verdict"] == "slower" and result["comparisons"][0]["low"] > 1.5
    assert result["facts"]["gated_share"] == 0


def test_drift_is_found_or_not_by_the_first_and_the_last_tenth():
    generator = np.random.default_rng(0)
    steady = [part(generator.normal(1e-3, 2e-5, 400)) for _ in range(N_PARTS)]
    assert drift_comparison("a", 1, steady)["verdict"] == "cannot tell"
    slower = [*steady[:-1], part(1.2 * steady[-1].times_s)]
    drift = drift_comparison("a", 1, slower)
    assert drift["verdict"] == "slower" and drift["value"] == pytest.approx(1.2, rel=0.02)


def test_the_times_that_are_noted_do_not_grow_with_the_run():
    parts: list[Part] = []
    for number in range(N_PARTS):
        keep_part(parts, part(np.full(1000, 1e-3), number))
    assert [len(its.times_s) for its in parts] == [1000] + [0] * (N_PARTS - 2) + [1000]
    assert all(len(its.points) == 1 for its in parts)


def test_growth_is_the_slope_after_the_first_tenth():
    parts = [part(np.ones(1), n, 10_000 if n == 0 else 1000 * n) for n in range(N_PARTS)]
    memory = memory_growth(parts)
    assert (memory["at_a_tenth_bytes"], memory["at_the_end_bytes"]) == (10_000, 9000)
    assert memory["growth_bytes_per_hour"] == pytest.approx(60_000)
    untold = memory_growth([part(np.ones(1), n, None) for n in range(N_PARTS)])
    assert set(untold.values()) == {None}


def test_finished_tenths_are_kept_when_the_model_fails(tiny_bundle, tmp_path, with_interpreter):
    with_interpreter(fails_after_s=1.0)
    out = tmp_path / "sustained.json"
    said = run("--bundle", tiny_bundle, "--minutes", 0.05, "--json", out)
    assert said.exit_code == 2 and said.stderr.count("\n") == 1, said.stderr
    assert "the model failed on a clip; the finished" in said.stderr and not out.exists()
    assert read_result(tmp_path / "sustained.json.partial")["rows"][0]["stage"] == "0 to 10 %"


def test_what_cannot_be_measured_is_refused_in_one_sentence(tiny_bundle, tmp_path):
    refusals = {
        "--minutes is 0.01; drift as fast as possible needs at least 0.05 minutes": ("--minutes", 0.01),
        "drift in real time needs at least 0.5 minutes": ("--minutes", 0.1, "--real-time"),
        "there is no such bundle folder": ("--bundle", tmp_path / "gone"),
        "there is no folder": ("--json", tmp_path / "gone" / "x.json"),
    }
    for words, arguments in refusals.items():
        said = run(*arguments)
        assert said.exit_code == 2 and words in said.stderr and said.stderr.count("\n") == 1
    with pytest.raises(SettingsError, match="is nan"):
        Load(float("nan"), None, False)


def test_heat_and_clock_are_read_where_the_system_tells_them(tmp_path):
    for number, (kind, heat) in enumerate((("battery", "31000"), ("cpu-thermal", "72500"), ("gone", ""))):
        zone = tmp_path / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "type").write_text(kind)
        (zone / "temp").write_text(heat)
    assert thermal_zones(tmp_path) == {"thermal_zone0 battery": 31.0, "thermal_zone1 cpu-thermal": 72.5}
    assert thermal_zones(tmp_path / "gone") == {}
    for core, khz in enumerate(("1800000", "2400000")):
        (tmp_path / f"cpu{core}" / "cpufreq").mkdir(parents=True)
        (tmp_path / f"cpu{core}" / "cpufreq" / "scaling_cur_freq").write_text(khz)
    assert fastest_clock_mhz(tmp_path) == 2400.0


@pytest.mark.slow
def test_in_real_time_a_block_comes_every_second(default_bundle, tmp_path):
    out = tmp_path / "sustained.json"
    said = run("--minutes", 0.5, "--real-time", "--json", out)
    assert said.exit_code == 0, said.stderr
    rows = read_result(out)["rows"]
    assert 29 <= sum(row["n_runs"] for row in rows) <= 31
    assert all(len(row["samples_ms"]) == row["n_runs"] for row in rows)
    assert max(row["metrics"]["busy_share"] for row in rows) < 0.3
