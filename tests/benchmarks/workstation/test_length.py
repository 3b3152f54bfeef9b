"""Scale: lines are fitted by relative error, memory is that of fresh processes."""

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import command
from benchmarks.results.plots import draw_plot
from benchmarks.results.result import describe_run, make_result, make_row, read_result
from benchmarks.workstation import length
from benchmarks.workstation.length import (
    LENGTHS_S,
    SCALE,
    fit_line,
    lengths_up_to,
    memory_metrics,
    repeats,
    scale_facts,
    start_screening,
    words_of,
    write_recordings,
)
from core.audio import open_recording
from core.errors import DataError, OutputError, SettingsError

RUN = describe_run(1, "xnnpack", b"a model")


def run(*arguments: object):
    return CliRunner().invoke(command.app, ["scale", *map(str, arguments)])


def rows(times_ms: list[float], peaks: list[float]) -> list[dict]:
    made = []
    for length_s, time_ms, peak in zip(LENGTHS_S, times_ms, peaks, strict=False):
        metrics = {"p50_ms": time_ms, "rtf": time_ms / 1000 / length_s, "peak_bytes": peak}
        made.append(make_row("ours", f"recording of {words_of(length_s)}", RUN, metrics, length_s))
    return made


def test_a_line_is_found_from_milliseconds_to_minutes():
    times_ms = [5 + 2.0 * length_s for length_s in LENGTHS_S]
    line = fit_line(list(LENGTHS_S), times_ms)
    assert (line.fixed_ms, line.ms_per_unit) == pytest.approx((5, 2)) and line.largest_deviation < 1e-9


def test_what_is_not_linear_is_seen_where_it_is():
    times_ms = [5 + 2.0 * length_s for length_s in LENGTHS_S]
    times_ms[-1] *= 1.5
    line = fit_line(list(LENGTHS_S), times_ms)
    assert line.largest_deviation > 0.1 and line.largest_at in LENGTHS_S[-3:]
    squares = fit_line(list(LENGTHS_S), [length_s**2 for length_s in LENGTHS_S])
    assert squares.largest_deviation > 0.9


def test_facts_say_how_far_memory_is_from_flat():
    facts = scale_facts(rows([1 + 2 * length_s for length_s in LENGTHS_S], [40e6, 45e6, 50e6, 50e6, 75e6, 60e6]))
    assert facts["memory"] == {"minute_peak_bytes": 50e6, "most_peak_bytes": 75e6, "most_over_minute": 1.5}
    assert facts["line_over_audio_s"]["ms_per_unit"] == pytest.approx(2)


def test_lengths_are_cut_and_too_few_are_refused():
    assert lengths_up_to(14_400) == LENGTHS_S and lengths_up_to(3599) == (1, 10, 60, 600)
    for longest_s in (59.0, float("nan"), -1.0):
        with pytest.raises(SettingsError, match="a line needs at least 60 s"):
            lengths_up_to(longest_s)


def test_short_recordings_are_screened_more_often_than_long_ones():
    assert [repeats(length_s) for length_s in LENGTHS_S] == [30, 9, 4, 1, 1, 1]
    assert [words_of(length_s) for length_s in LENGTHS_S] == ["1 s", "10 s", "1 min", "10 min", "1 h", "4 h"]


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 10_000_000})()
    monkeypatch.setattr(length.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OutputError, match="10 MB are free and 52 MB are needed; cut them with --longest"):
        write_recordings(tmp_path, (1, 10, 60))
    assert not list(tmp_path.iterdir())


def test_recordings_have_their_lengths(tmp_path):
    paths = write_recordings(tmp_path, (1, 10))
    for length_s, path in paths.items():
        with open_recording(path) as recording:
            assert sum(map(len, recording.blocks())) == recording.n_frames
            assert recording.duration_s == length_s


@pytest.mark.long
def test_a_minute_takes_less_memory_than_its_samples_would_and_a_missing_file_is_an_error(tmp_path, tiny_bundle):
    paths = write_recordings(tmp_path, (1, 60))
    short, long = (
        memory_metrics(start_screening(tiny_bundle, path, length_s, tmp_path / "code"))
        for length_s, path in paths.items()
    )
    assert 2e7 < short["before_bytes"] < short["peak_bytes"] < 2e8
    assert long["peak_bytes"] - short["peak_bytes"] < 60 * 16_000 * 8
    with pytest.raises(DataError, match="ended with status 2"):
        start_screening(tiny_bundle, tmp_path / "gone.wav", 1, tmp_path / "code")


@pytest.mark.long
def test_the_command_measures_lengths_and_has_a_plot(default_bundle, tmp_path):
    out = tmp_path / "scale.json"
    said = run("--longest", 60, "--rounds", 1, "--json", out)
    assert said.exit_code == 0, said.stderr
    result = read_result(out)
    assert [row["stage"] for row in result["rows"]] == [f"recording of {words}" for words in ("1 s", "10 s", "1 min")]
    assert [row["n_runs"] for row in result["rows"]] == [30, 9, 4]
    times = [row["metrics"]["p50_ms"] for row in result["rows"]]
    assert times == sorted(times) and result["facts"]["line_over_audio_s"]["ms_per_unit"] > 0
    assert "<svg" in draw_plot(result) and "ms per unit" in said.stdout
    assert draw_plot(make_result(SCALE.name, "nothing", [])) is None


def test_what_cannot_be_measured_is_refused_in_one_sentence(tmp_path):
    refusals = {
        "--longest is 10 s; a line needs at least 60 s": ("--longest", 10),
        "there is no such bundle folder": ("--bundle", tmp_path / "gone"),
        "there is no folder": ("--json", tmp_path / "gone" / "x.json"),
    }
    for words, arguments in refusals.items():
        said = run(*arguments)
        assert said.exit_code == 2 and words in said.stderr and said.stderr.count("\n") == 1


@pytest.mark.slow
def test_memory_is_flat_from_a_minute_to_half_an_hour(default_bundle, tmp_path):
    paths = write_recordings(tmp_path, (60, 1800))
    starts = [start_screening(None, path, length_s, tmp_path / "code") for length_s, path in paths.items()]
    peaks = [memory_metrics(start)["peak_bytes"] for start in starts]
    assert np.ptp(peaks) < 4e6
