"""Scale: lines are fitted by relative error, memory is that of fresh processes, workers are the command's own."""

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import command
from benchmarks.results.plots import draw_plot
from benchmarks.results.result import describe_run, make_result, make_row, read_result
from benchmarks.workstation import scale_screening
from benchmarks.workstation.length import KIND, Plan, kinds_of_rows, scale_facts
from benchmarks.workstation.scale_mining import mine_once, worker_counts, write_mined_recordings
from benchmarks.workstation.scale_screening import (
    LENGTHS_S,
    Subject,
    fit_line,
    lengths_up_to,
    measure_batches,
    memory_metrics,
    repeats,
    words_of,
    write_recordings,
)
from core.audio import open_recording
from core.bundle import load_bundle
from core.errors import DataError, OutputError, SettingsError

RUN = describe_run(1, "xnnpack", b"a model")


def run(*arguments: object):
    return CliRunner().invoke(command.app, ["scale", *(str(its) for its in arguments)])


def rows(times_ms: list[float], peaks: list[float]) -> list[dict]:
    made = []
    for length_s, time_ms, peak in zip(LENGTHS_S, times_ms, peaks, strict=False):
        metrics = {"p50_ms": time_ms, "rtf": time_ms / 1000 / length_s, "peak_bytes": peak}
        made.append(make_row("ours", f"recording of {words_of(length_s)}", RUN, metrics, length_s))
    return made


def test_a_line_is_found_from_milliseconds_to_minutes():
    times_ms = [5 + 2.0 * its for its in LENGTHS_S]
    line = fit_line(list(LENGTHS_S), times_ms)
    assert (line.fixed_ms, line.ms_per_unit) == pytest.approx((5, 2)) and line.largest_deviation < 1e-9


def test_what_is_not_linear_is_seen_where_it_is():
    times_ms = [5 + 2.0 * its for its in LENGTHS_S]
    times_ms[-1] *= 1.5
    line = fit_line(list(LENGTHS_S), times_ms)
    assert line.largest_deviation > 0.1 and line.largest_at in LENGTHS_S[-3:]
    squares = fit_line(list(LENGTHS_S), [its**2 for its in LENGTHS_S])
    assert squares.largest_deviation > 0.9


def test_facts_say_how_far_memory_is_from_flat():
    facts = scale_facts(rows([1 + 2 * its for its in LENGTHS_S], [40e6, 45e6, 50e6, 50e6, 75e6, 60e6]))
    assert facts["memory"] == {"minute_peak_bytes": 50e6, "most_peak_bytes": 75e6, "most_over_minute": 1.5}
    assert facts["line_over_audio_s"]["ms_per_unit"] == pytest.approx(2) and "line_over_files" not in facts


def test_lengths_are_cut_and_too_few_are_refused():
    assert lengths_up_to(14_400) == LENGTHS_S and lengths_up_to(3599) == (1, 10, 60, 600)
    for longest_s in (59.0, float("nan"), -1.0):
        with pytest.raises(SettingsError, match="a line needs at least 60 s"):
            lengths_up_to(longest_s)


def test_short_recordings_are_screened_more_often_than_long_ones():
    assert [repeats(its) for its in LENGTHS_S] == [30, 9, 4, 1, 1, 1]
    assert [words_of(its) for its in LENGTHS_S] == ["1 s", "10 s", "1 min", "10 min", "1 h", "4 h"]


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 10_000_000})()
    monkeypatch.setattr(scale_screening.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OutputError, match="10 MB are free and 52 MB are needed; cut them with --longest"):
        write_recordings(tmp_path, (1, 10, 60))
    assert not list(tmp_path.iterdir())


def test_recordings_have_their_lengths(tmp_path):
    paths = write_recordings(tmp_path, (1, 10))
    for length_s, path in paths.items():
        with open_recording(path) as recording:
            assert recording.duration_s == length_s


def test_files_are_screened_by_the_command_itself_in_processes_of_their_own(tiny_bundle):
    steps = []
    subject = Subject(load_bundle(tiny_bundle), tiny_bundle)
    one, three = measure_batches(subject, (1, 3), 1, lambda: steps.append(1))
    assert [its["stage"] for its in (one, three)] == ["process for 1 file of 10 s", "process for 3 files of 10 s"]
    assert (three["audio_s"], len(steps)) == (30, 2)
    for row in (one, three):
        assert row["samples_ms"][0] > 50
        assert 2e7 < row["metrics"]["before_bytes"] < row["metrics"]["peak_bytes"] < 2e8


def test_a_minute_takes_less_memory_than_its_samples_would_and_a_missing_file_is_an_error(tmp_path, tiny_bundle):
    subject = Subject(load_bundle(tiny_bundle), tiny_bundle)
    paths = write_recordings(tmp_path, (1, 60))
    short, long = (memory_metrics(subject.start([path], its, tmp_path / "code")) for its, path in paths.items())
    assert long["peak_bytes"] - short["peak_bytes"] < 60 * 16_000 * 8
    with pytest.raises(DataError, match="ended with status 2"):
        subject.start([tmp_path / "gone.wav"], 1, tmp_path / "code")


def test_workers_double_up_to_the_cores():
    assert [worker_counts(its) for its in (1, 2, 6, 8)] == [(1,), (1, 2), (1, 2, 4, 6), (1, 2, 4, 8)]


def test_mining_says_what_the_commands_own_report_says(default_bundle, tmp_path):
    recordings = write_mined_recordings(tmp_path / "recordings", 1.0, 1)
    mined = mine_once(default_bundle, recordings, tmp_path / "pack", 1)
    assert (mined.workers, mined.recordings) == (1, 4) and mined.hours_heard == pytest.approx(1 / 60, abs=1e-5)
    assert mined.audio_hours_per_core_hour > 10


def test_the_command_measures_lengths_files_and_mining_and_has_a_plot(default_bundle, tmp_path):
    out = tmp_path / "scale.json"
    small = ("--longest", 60, "--files", 1, "--rounds", 1, "--mined-minutes", 0.5, "--workers", 1)
    said = run(*small, "--json", out)
    assert said.exit_code == 0, said.stderr
    result = read_result(out)
    lengths, batches, mining = kinds_of_rows(result["rows"])
    assert [row["stage"] for row in lengths] == [f"recording of {its}" for its in ("1 s", "10 s", "1 min")]
    assert [row["n_runs"] for row in lengths] == [30, 9, 4] and len(batches) == 1
    assert [row["stage"] for row in mining] == ["mining, 1 worker"] and mining[0]["metrics"]["speed_up"] == 1
    times = [row["metrics"]["p50_ms"] for row in lengths]
    assert times == sorted(times) and result["facts"]["line_over_audio_s"]["ms_per_unit"] > 0
    assert "<svg" in draw_plot(result) and "ms a second of sound" in said.stdout
    assert draw_plot(make_result(KIND, "nothing", [])) is None


def test_finished_rows_are_kept_when_there_is_nothing_to_mine(tiny_bundle, tmp_path):
    (tmp_path / "empty").mkdir()
    out = tmp_path / "scale.json"
    small = ("--bundle", tiny_bundle, "--longest", 60, "--files", 1, "--rounds", 1)
    said = run(*small, "--data", tmp_path / "empty", "--json", out)
    assert said.exit_code == 2 and "no recordings to mine" in said.stderr
    assert "the finished 4 rows are kept" in said.stderr and said.stderr.count("\n") == 1
    assert len(read_result(tmp_path / "scale.json.partial")["rows"]) == 4


def test_what_cannot_be_measured_is_refused_in_one_sentence(tmp_path):
    refusals = {
        "--longest is 10 s; a line needs at least 60 s": ("--longest", 10),
        "there is no such folder of recordings": ("--data", tmp_path / "gone"),
        "there is no such bundle folder": ("--bundle", tmp_path / "gone"),
        "there is no folder": ("--json", tmp_path / "gone" / "x.json"),
    }
    for words, arguments in refusals.items():
        said = run(*arguments)
        assert said.exit_code == 2 and words in said.stderr and said.stderr.count("\n") == 1


def test_the_plan_counts_its_steps():
    assert Plan((1, 10, 60), (1, 10), (1, 2), 3).n_steps == 4 * 3 + 3 * 2 + 3 * 2
    assert Plan((1, 10, 60), (1, 10), (1, 2), 3, mined_minutes=0).n_steps == 4 * 3 + 3 * 2


@pytest.mark.slow
def test_two_workers_mine_the_same_recordings(default_bundle, tmp_path):
    recordings = write_mined_recordings(tmp_path / "recordings", 4.0, 2)
    runs = [mine_once(default_bundle, recordings, tmp_path / f"pack{count}", count) for count in (1, 2)]
    assert [its.workers for its in runs] == [1, 2] and runs[0].hours_heard == runs[1].hours_heard


@pytest.mark.slow
def test_memory_is_flat_from_a_minute_to_half_an_hour(default_bundle, tmp_path):
    subject = Subject(default_bundle, None)
    paths = write_recordings(tmp_path, (60, 1800))
    peaks = [memory_metrics(subject.start([path], its, tmp_path / "code"))["peak_bytes"] for its, path in paths.items()]
    assert np.ptp(peaks) < 4e6
