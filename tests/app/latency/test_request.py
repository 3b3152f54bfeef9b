"""Tests the answers to a round of the benchmark: what is asked is hostile, what is answered is whole."""

import json

import numpy as np
import pytest

from app.latency.request import APP_FORMAT, MAX_RUNS, answer_request
from core.bundle import load_bundle
from core.errors import InterpreterError
from core.interpreter import LiteRtInterpreter

NAME = "0123456789abcdef"
GOOD = {"request": NAME, "model": "a.tflite", "delegate": "xnnpack", "threads": 2, "runs": 30}


class Timed:
    """The desktop's runtime with a clock of its own."""

    runtime = "LiteRT of a test"

    def __init__(self, path, threads: int, xnnpack: bool) -> None:
        self.interpreter = LiteRtInterpreter(path, threads)
        self.is_closed = False
        opened.append(self)

    def run(self, waveform: np.ndarray):
        return self.interpreter.run(waveform)

    def time_runs(self, waveform: np.ndarray, runs: int) -> list[float]:
        self.run(waveform)
        return [1.5] * runs

    def close(self) -> None:
        self.is_closed = True


opened: list[Timed] = []


@pytest.fixture
def folder(tmp_path):
    opened.clear()
    (tmp_path / "a.tflite").write_bytes(load_bundle(None).read_model())
    return tmp_path


def answer(folder, **changes) -> dict:
    answer_request({**GOOD, **changes}, folder, Timed)
    return json.loads((folder / f"{NAME}.json").read_text())


def test_a_round_is_answered_with_each_runs_time(folder):
    answered = answer(folder)
    assert answered["format"] == APP_FORMAT and answered["request"] == NAME
    assert (answered["n_runs"], answered["runs_ms"]) == (30, [1.5] * 30)
    assert answered["load_ms"] > 0 and answered["first_run_ms"] > 0 and answered["runtime"] == "LiteRT of a test"
    assert [model.is_closed for model in opened] == [True]


@pytest.mark.parametrize(
    "name", [None, "", "../evil", "0123456789abcdef/../x", "0123456789ABCDEF", "a" * 65, 7, "0123456789abcdef\n"]
)
def test_an_answer_with_another_name_is_never_written(folder, name):
    before = sorted(folder.parent.rglob("*"))
    answer_request({**GOOD, "request": name}, folder, Timed)
    assert sorted(folder.parent.rglob("*")) == before


@pytest.mark.parametrize(
    "model", [None, "", "../evil", "../evil.tflite", "a/b.tflite", ".tflite", "-a.tflite", "a.tflite\x00", "a.so", 5]
)
def test_a_model_outside_of_the_folder_is_refused(folder, model):
    assert answer(folder, model=model)["error"].startswith("The model is called ")
    assert opened == []


def test_a_missing_model_a_link_and_a_damaged_one_are_refused(folder):
    assert "There is no model gone.tflite" in answer(folder, model="gone.tflite")["error"]
    (folder / "link.tflite").symlink_to(folder / "a.tflite")
    assert "There is no model link.tflite" in answer(folder, model="link.tflite")["error"]
    (folder / "bad.tflite").write_bytes(b"TFL3" * 50)
    assert answer(folder, model="bad.tflite")["error"].endswith("bad.tflite is a damaged TFLite model.")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("runs", value) for value in (10**9, 0, MAX_RUNS + 1, None, "30", True)),
        *(("threads", value) for value in (0, 65, -(2**31))),
        *(("delegate", value) for value in ("gpu", None)),
    ],
)
def test_numbers_out_of_range_and_other_delegates_are_refused(folder, key, value):
    answered = answer(folder, **{key: value})
    assert set(answered) == {"format", "request", "error"} and ascii(value) in answered["error"]
    assert opened == []


def test_a_model_that_fails_in_the_middle_is_closed_and_answered(folder, monkeypatch):
    def fail(self, waveform, runs):
        raise InterpreterError("the model failed on a clip.")

    monkeypatch.setattr(Timed, "time_runs", fail)
    assert answer(folder)["error"] == "the model failed on a clip."
    assert [model.is_closed for model in opened] == [True]


def test_a_phone_without_memory_answers_too(folder, monkeypatch):
    def fail(self, waveform, runs):
        raise MemoryError

    monkeypatch.setattr(Timed, "time_runs", fail)
    assert answer(folder)["error"] == "This phone has too little memory for the model."
