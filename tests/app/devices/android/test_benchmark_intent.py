"""Tests `tussis-benchmark phone` against the application's real process, started by a fake activity manager."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.devices.android import benchmark_intent
from app.latency import request
from tests.android.desktop_java import COMPILED_VARIABLE, ROOT, compiled, reason_to_skip

pytest.importorskip("benchmarks.results.result", reason="only the phone's half is installed", exc_type=ImportError)

from benchmarks.phone.app import APP_FOLDER, APP_FORMAT, BENCHMARK_ACTION, MAX_RUNS
from benchmarks.results.result import read_result
from core.bundle import load_bundle
from tests.benchmarks.phone.fake_adb import make_phone, write_program
from tests.benchmarks.phone.fake_phone_programs import run

pytestmark = pytest.mark.long

NAME = "0123456789abcdef"
MODEL = "shipped.tflite"
AM = """
import os, subprocess, sys
from pathlib import Path
words, phone = sys.argv[1:], Path(os.environ["FAKE_PHONE"])
if words[0] == "start":
    mode = "release" if (phone / "release").exists() else "debug"
    command = [sys.executable, "-m", "tests.android.start_app", str(phone / "app" / "files"), mode, *words]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": ROOT}, timeout=100)
"""


@pytest.fixture(scope="module", autouse=True)
def classes():
    if reason := reason_to_skip():
        pytest.skip(reason)
    os.environ[COMPILED_VARIABLE] = os.pathsep.join(map(str, compiled()))
    yield
    del os.environ[COMPILED_VARIABLE]


@pytest.fixture
def phone(tmp_path, monkeypatch) -> Path:
    """A phone on a cable, whose am starts the application's own process."""
    make_phone(tmp_path)
    folder = tmp_path / "phone"
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_PHONE", str(folder))
    (folder / "app").mkdir()
    write_program(folder / "system/bin/am", AM.lstrip().replace("ROOT", repr(str(ROOT))))
    return folder


def start(folder: Path, mode: str = "debug", **extras: object) -> subprocess.CompletedProcess[str]:
    """Start the application with these extras, the others as they should be."""
    (folder / "benchmark").mkdir(parents=True, exist_ok=True)
    given = {"request": NAME, "model": MODEL, "delegate": "xnnpack", "threads": 1, "runs": 20, **extras}
    words = [
        word for key, value in given.items() for word in ("--ei" if type(value) is int else "--es", key, str(value))
    ]
    command = [sys.executable, "-m", "tests.android.start_app", str(folder), mode, "start", "-a", BENCHMARK_ACTION]
    return subprocess.run(
        [*command, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )


def answer_in(folder: Path) -> dict:
    return json.loads((folder / "benchmark" / f"{NAME}.json").read_text())


def test_both_halves_state_the_same_contract():
    assert (request.APP_FORMAT, request.MAX_RUNS, benchmark_intent.ACTION) == (APP_FORMAT, MAX_RUNS, BENCHMARK_ACTION)
    assert f"files/{request.APP_FOLDER}" == APP_FOLDER


def test_the_command_gets_rows_from_the_applications_own_process(phone, tmp_path):
    out = tmp_path / "phone.json"
    done = run("--threads", 1, "--rounds", 1, "--runs", 200, "--json", out)
    assert done.exit_code == 0, done.stderr
    (row,) = read_result(out)["rows"]
    assert row["n_runs"] == 200 and len(row["samples_ms"]) == 200
    assert row["runtime"] == "LiteRT stub" and row["facts"]["runner"] == "the app org.tussis.app"
    assert 0 < row["metrics"]["p50_ms"] < row["metrics"]["p99_ms"] < 1000
    assert not (phone / "app" / "files" / "benchmark").exists()


def test_a_release_build_answers_nothing_and_goes_on_to_its_window(tmp_path):
    done = start(tmp_path, mode="release")
    assert "the window would open" in done.stderr
    assert list((tmp_path / "benchmark").iterdir()) == []


@pytest.mark.parametrize(
    ("extras", "sentence"),
    [
        ({}, "There is no model shipped.tflite in the app's folder."),
        ({"model": "../evil"}, "The model is called '../evil'; expected a file name such as 0123abcd.tflite."),
        ({"runs": 10**9}, "runs is 1000000000; expected 1 to 100000."),
    ],
)
def test_hostile_extras_are_answered_with_a_sentence(tmp_path, extras, sentence):
    assert start(tmp_path, **extras).returncode == 0
    assert answer_in(tmp_path) == {"format": APP_FORMAT, "request": NAME, "error": sentence}


def test_the_built_in_kernels_run_too(tmp_path):
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark" / MODEL).write_bytes(load_bundle(None).read_model())
    done = start(tmp_path, delegate="builtin")
    assert done.returncode == 0, done.stderr
    assert answer_in(tmp_path)["n_runs"] == 20
