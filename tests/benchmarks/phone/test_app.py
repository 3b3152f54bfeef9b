import json

import pytest

from benchmarks.phone.adb import PhoneError, PhoneLostError, choose_phone
from benchmarks.phone.app import APP_FORMAT, APP_PACKAGE, AppRunner, read_answer
from benchmarks.phone.models import Setting, load_models
from benchmarks.results.result import read_result
from tests.benchmarks.phone.fake_adb import write_program
from tests.benchmarks.phone.fake_phone_programs import AM, calls, left_on, run


@pytest.fixture
def app(plug):
    """A phone with the app, whose side of the contract is a program in place of am."""

    def make(**settings):
        folder, _ = plug(**settings)
        (folder / "app").mkdir()
        write_program(folder / "system/bin/am", AM.lstrip())
        return folder

    return make


@pytest.mark.long
def test_the_app_times_the_bundle_and_a_peer_and_its_samples_are_kept(app, peer, tmp_path):
    folder = app()
    out = tmp_path / "phone.json"
    done = run("--peer", peer, "--threads", 1, "--json", out)
    assert done.exit_code == 0, done.stderr
    ours, theirs = read_result(out)["rows"]
    assert (ours["n_runs"], len(ours["samples_ms"]), ours["runtime"]) == (250, 250, "LiteRT 1.4.0")
    assert ours["metrics"]["p50_ms"] == pytest.approx(2.3) and ours["metrics"]["p99_ms"] == pytest.approx(2.6)
    assert (ours["metrics"]["load_ms"], ours["metrics"]["first_run_ms"]) == (3.5, 9.25)
    assert ours["metrics"]["rtf"] == pytest.approx(2.3 / 1000 / 2) == theirs["metrics"]["rtf"]
    starts = [line for line in calls(folder) if line.startswith("am start")]
    assert len(starts) == 10 and all(f"-n {APP_PACKAGE}/org.kivy.android.PythonActivity" in line for line in starts)
    assert left_on(folder) == [] and not (folder / "app/files/benchmark").exists()


def test_what_the_app_cannot_run_is_its_own_sentence(app):
    app()
    done = run("--threads", 1, "--delegate", "gpu")
    assert done.exit_code == 2 and "this phone has no GPU delegate" in done.stderr


def test_without_the_app_the_sentence_says_what_to_install(plug):
    folder, _ = plug()
    done = run("--threads", 1)
    assert done.exit_code == 2
    assert f"install a debug build of {APP_PACKAGE}, or name --benchmark-model" in done.stderr
    assert left_on(folder) == []


def test_an_app_without_the_activity_is_refused_though_am_ends_with_status_0(app):
    folder = app()
    (folder / "no-activity").touch()
    done = run("--threads", 1)
    assert done.exit_code == 2 and "Activity class does not exist" in done.stderr


def test_an_app_that_gives_no_result_is_waited_for_and_then_lost(app):
    folder = app()
    write_program(folder / "system/bin/am", "#!/bin/sh\necho Starting: Intent\n")
    runner = AppRunner(choose_phone(), "/data/local/tmp", runs=50, round_s=0.5, poll_s=0.05)
    (model,) = load_models(None, [])
    runner.place(model)
    assert (folder / "app/files/benchmark" / model.file_name).read_bytes() == model.content
    with pytest.raises(PhoneLostError, match=r"gave no result within 0\.5 s; unlock the phone"):
        runner.measure(model, Setting(1, "xnnpack"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"request": "another"}, "request"),
        ({"format": "tussis.app-benchmark/2"}, "format"),
        ({"n_runs": 3}, "n_runs"),
        ({"runs_ms": [1.0] * 49 + [-1.0]}, "runs_ms"),
        ({"runs_ms": [1.0] * 49}, "runs_ms"),
        ({"load_ms": "fast"}, "load_ms"),
        ({"runtime": ""}, "runtime"),
        ({"error": "the microphone is on"}, "the microphone is on"),
    ],
)
def test_an_answer_of_the_app_that_breaks_the_contract_is_refused_with_the_field(change, sentence):
    answer = {"format": APP_FORMAT, "request": "id", "runtime": "LiteRT", "load_ms": 1.0, "first_run_ms": 2.0}
    answer |= {"n_runs": 50, "runs_ms": [1.0] * 50}
    assert read_answer(json.dumps(answer).encode(), "id", 50, "the answer").n_runs == 50
    with pytest.raises(PhoneError, match=sentence):
        read_answer(json.dumps(answer | change).encode(), "id", 50, "the answer")
