import shutil
from pathlib import Path

import pytest

from benchmarks.phone.benchmark_model import parse_output, parse_profile
from benchmarks.phone.measure import PHONE
from benchmarks.phone.models import load_models
from benchmarks.results.names import BUILTIN, XNNPACK
from benchmarks.results.result import SCHEMA, read_result
from tests.benchmarks.phone.fake_adb import SERIAL, write_program
from tests.benchmarks.phone.fake_phone_programs import DATA, calls, left_on, run

NO_GPU = "gpu_none"


@pytest.mark.long
def test_models_are_timed_in_turns_and_their_rows_say_what_they_depend_on(plug, peer, tmp_path):
    folder, tool = plug()
    ours, theirs = load_models(None, [peer])
    (folder / f"factor.{theirs.file_name}").write_text("2")
    out = tmp_path / "phone.json"
    done = run("--benchmark-model", tool, "--peer", peer, "--threads", 1, "--threads", 2, "--rounds", 4, "--json", out)
    assert done.exit_code == 0, done.stderr
    result = read_result(out)
    assert (result["schema"], result["kind"], result["protocol"]) == (SCHEMA, PHONE.name, PHONE.protocol)
    assert [(row["name"], row["threads"]) for row in result["rows"]] == [
        *((ours.name, 1), ("peer.tflite", 1), (ours.name, 2), ("peer.tflite", 2))
    ]
    row = result["rows"][0]
    expected = parse_output((DATA / "tf2_16_xnnpack.txt").read_text(), "it")
    assert row["metrics"] == pytest.approx(expected.metrics | {"rtf": 2.741 / 1000 / 2})
    assert row["n_runs"] == 4 * expected.n_runs
    assert (row["device"], row["cpu"], row["os"]) == ("Google Pixel 6", "Google Tensor", "Android 14 (SDK 34)")
    assert (row["governor"], row["delegate"], row["temperature_c"]) == ("sched_pixel", "xnnpack", 48.25)
    assert (row["model_sha256"], row["load_average"]) == (ours.sha256, {"before": 1.75, "after": 1.75})
    assert row["facts"]["delegated"] == "whole" and len(row["facts"]["runner_sha256"]) == 64
    assert row["facts"]["before"]["battery_c"] == row["facts"]["after"]["battery_c"] == 31.2
    assert row["facts"]["round_ms"] == [2.741] * 4
    assert [row["facts"].get("role") for row in result["rows"]] == ["ours", "peer"] * 2
    assert result["rows"][1]["metrics"]["p50_ms"] == pytest.approx(2 * 2.741)
    for ratio in result["ratios"]:
        assert (ratio["name"], ratio["to"]) == (ours.name, "peer.tflite")
        assert (ratio["value"], ratio["low"], ratio["high"]) == pytest.approx((0.5, 0.5, 0.5))
    files = [line.split()[1:] for line in calls(folder)]
    us, them = ours.file_name, theirs.file_name
    one_round = lambda first, second: [[m, XNNPACK, t, "50", "5"] for t in "12" for m in (first, second)]  # noqa: E731
    assert files == [*one_round(us, them), *one_round(them, us), *one_round(us, them), *one_round(them, us)]
    assert left_on(folder) == [] and not Path(f"{out}.partial").exists()
    assert SERIAL not in out.read_text()


@pytest.mark.long
@pytest.mark.parametrize("leaves_at_run", [1, 4])
def test_a_phone_unplugged_half_way_leaves_the_finished_rows_and_a_clear_error(plug, tmp_path, leaves_at_run):
    _, tool = plug(leaves_at_run=leaves_at_run)
    out = tmp_path / "phone.json"
    done = run("--benchmark-model", tool, "--threads", 1, "--json", out)
    partial = Path(f"{out}.partial")
    assert done.exit_code == 2 and not out.exists()
    assert f"the phone {SERIAL} is gone; plug it in again" in done.stderr
    assert partial.exists() == (leaves_at_run > 1)
    if leaves_at_run > 1:
        assert f"the finished 3 rows are kept in {partial}" in done.stderr
        kept = read_result(partial)
        assert [row["facts"]["round"] for row in kept["rows"]] == [1, 2, 3] and kept["facts"]["ended_early"]
        assert "Google Pixel 6" in done.stdout
        again = run("--benchmark-model", tool, "--threads", 1, "--json", out)
        assert again.exit_code == 2 and "use them or remove it first" in again.stderr


@pytest.mark.long
def test_a_delegate_that_does_not_run_the_model_is_named_and_the_others_are_kept(plug, tmp_path):
    folder, tool = plug(gpu=NO_GPU)
    out = tmp_path / "phone.json"
    done = run("--benchmark-model", tool, "--threads", 1, "--delegate", "gpu", "--delegate", BUILTIN, "--json", out)
    assert done.exit_code == 2 and "1 of the settings did not run" in done.stderr
    result = read_result(out)
    assert [row["delegate"] for row in result["rows"]] == [BUILTIN]
    (failure,) = result["facts"]["failures"]
    assert failure["delegate"] == "gpu" and "took none of the operators" in failure["reason"]
    assert sum(" gpu_none " in line for line in calls(folder)) == 1
    assert left_on(folder) == []


@pytest.mark.long
def test_a_gpu_that_takes_a_part_of_the_graph_is_timed_once_with_the_first_number_of_threads(plug, tmp_path):
    _, tool = plug()
    out = tmp_path / "phone.json"
    done = run("--benchmark-model", tool, "--threads", 2, "--threads", 4, "--delegate", "gpu", "--json", out)
    assert done.exit_code == 0, done.stderr
    (row,) = read_result(out)["rows"]
    assert (row["threads"], row["delegate"], row["facts"]["delegated"]) == (2, "gpu", "part")


def test_a_tool_without_the_gpu_that_falls_back_to_xnnpack_is_not_taken_for_it(plug):
    _, tool = plug(gpu=XNNPACK)
    done = run("--benchmark-model", tool, "--threads", 1, "--delegate", "gpu")
    assert done.exit_code == 2 and "(XNNPACK ran it)" in done.stderr


def test_nnapi_is_refused_on_an_android_that_has_none(plug):
    folder, tool = plug()
    properties = folder / "getprop"
    properties.write_text(properties.read_text().replace("[34]", "[26]"))
    done = run("--benchmark-model", tool, "--delegate", "nnapi")
    assert done.exit_code == 2 and "NNAPI needs 27" in done.stderr
    assert calls(folder) == []


@pytest.mark.long
def test_big_cores_are_those_that_are_not_the_slowest(plug, tmp_path):
    folder, tool = plug()
    out = tmp_path / "phone.json"
    done = run("--benchmark-model", tool, "--threads", 1, "--big-cores", "--json", out)
    assert done.exit_code == 0, done.stderr
    assert set(calls(folder)[::2]) == {"taskset f0"}
    result = read_result(out)
    assert result["rows"][0]["facts"]["cores"] == result["facts"]["big_cores"] == [4, 5, 6, 7]
    shutil.rmtree(folder / "sys")
    done = run("--benchmark-model", tool, "--big-cores")
    assert done.exit_code == 2 and "does not tell the clocks of its cores" in done.stderr


@pytest.mark.long
def test_operators_are_rows_of_a_profiled_round_after_all_others(plug, tmp_path):
    folder, tool = plug()
    out = tmp_path / "phone.json"
    done = run("--benchmark-model", tool, "--threads", 1, "--operators", "--json", out)
    assert done.exit_code == 0, done.stderr
    whole, *operators = read_result(out)["rows"]
    recorded = parse_profile((DATA / "litert_operators.csv").read_text(), "it")
    assert [row["stage"] for row in operators] == [f"{n:03d} {one.node_type}" for n, one in enumerate(recorded)]
    assert [row["metrics"]["mean_ms"] for row in operators] == [one.mean_ms for one in recorded]
    assert all(row["model_sha256"] == whole["model_sha256"] and row["facts"]["profiled"] for row in operators)
    assert len(calls(folder)) == 6 and left_on(folder) == []
    assert "Convolution" in done.stdout


@pytest.mark.long
def test_a_phone_with_an_old_android_gives_the_same_rows(plug, tmp_path):
    _, tool = plug(old=True)
    out = tmp_path / "phone.json"
    done = run("--benchmark-model", tool, "--threads", 1, "--json", out)
    assert done.exit_code == 0, done.stderr
    assert read_result(out)["rows"][0]["metrics"]["p50_ms"] == pytest.approx(2.741)


@pytest.mark.parametrize(
    ("tool_text", "sentence"),
    [
        ("#!/bin/sh\nexit 0\n", "lacks the line 'count=' of the runs; its last line is 'nothing'"),
        ("#!/bin/sh\necho 'ERROR: Failed to apply XNNPACK delegate.'; exit 1\n", "Failed to apply XNNPACK delegate"),
        ("#!/no/such/interpreter\n", "is it built for this phone's processor"),
        ("#!/bin/sh\nhead -c 3000 /dev/urandom\n", "lacks"),
    ],
)
def test_a_tool_that_does_not_work_is_one_sentence_and_nothing_is_left_behind(plug, tmp_path, tool_text, sentence):
    folder, tool = plug()
    write_program(tool, tool_text)
    out = tmp_path / "phone.json"
    done = run("--benchmark-model", tool, "--threads", 1, "--json", out)
    assert done.exit_code == 2, done.output
    assert sentence in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert left_on(folder) == [] and not out.exists() and not Path(f"{out}.partial").exists()


@pytest.mark.parametrize(
    "settings", [{"garbage": True}, {"full": True}, {"devices": []}, {"devices": [[SERIAL, "unauthorized"]]}]
)
def test_a_phone_that_cannot_be_used_ends_with_status_2_and_one_sentence(plug, settings):
    _, tool = plug(**settings)
    done = run("--benchmark-model", tool)
    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1 and done.stderr.startswith("tussis-benchmark: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--runs", 10], "50 runs; percentiles need at least 200"),
        (["--delegate", "hexagon"], "expected one of xnnpack, builtin, gpu, nnapi"),
        (["--threads", 0], "expected 1 to 64"),
        (["--peer", "none.tflite"], "none.tflite"),
        (["--bundle", "none"], "none"),
        (["--json", "/no/such/folder/phone.json"], "cannot be written"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_the_phone_is_touched(plug, tmp_path, arguments, sentence):
    folder, tool = plug()
    done = run("--benchmark-model", tool, *arguments)
    assert done.exit_code == 2 and sentence in done.stderr
    assert calls(folder) == [] and left_on(folder) == []


def test_options_that_only_the_tool_has_are_refused_for_the_app_and_a_missing_tool_is_named(plug, tmp_path):
    plug()
    for arguments, sentence in (
        (["--operators"], "--operators needs --benchmark-model"),
        (["--big-cores"], "--big-cores needs --benchmark-model"),
        (["--benchmark-model", tmp_path / "none"], "there is no such file"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2 and sentence in done.stderr
