"""The page with the device's speed, by taps."""

import json
import time

import pytest

from app.latency.page import MIN_RUNS
from core.screener import Screener

WAIT_S = 400


@pytest.fixture
def at_latency(window, stage, default_bundle, monkeypatch):
    """Opens the page from the engineer's; few runs, because no figure is tested."""
    monkeypatch.setattr("app.screens.latency.RUNS", MIN_RUNS)
    shell = window(load_screener=lambda: Screener(default_bundle))
    shell.work.navigation.go("engineer")
    stage.wait(lambda: shell.work.screener is not None)
    stage.draw()
    stage.press_words("Speed")
    return shell


def wait_for_runs(stage, draft):
    """Leave the processor to the measurement, with a frame now and then."""
    deadline_s = time.monotonic() + WAIT_S
    while draft.get("run") is not None:
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
        stage.draw(1)
    stage.draw()


@pytest.mark.long
def test_it_measures_what_is_chosen_off_the_main_thread_and_saves_the_file(at_latency, stage):
    shell = at_latency
    stage.press_words("2")
    stage.press_words("Built-in")
    stage.press_words("Measure")
    assert " of 20 screenings" in stage.text and not shell.work.is_waited_for
    wait_for_runs(stage, shell.work.navigation.top.draft)
    text = " ".join(stage.text.split())
    for said in (
        "p50",
        "p90",
        "p99",
        "First run",
        "Loading the model",
        "Real-time factor",
        "Heat before",
        "Heat after",
    ):
        assert said in text
    assert "2 · Built-in" in text and "Model" in text
    before = stage.text
    shell.rebuild()
    stage.draw()
    assert stage.text == before
    stage.press_words("Save the file")
    stage.press_words("Save here")
    stage.wait(lambda: "The file is saved." in stage.text)
    (path,) = shell.work.facilities.files.folder.glob("tussis-latency-*.json")
    (row,) = json.loads(path.read_text())["rows"]
    assert (row["threads"], row["delegate"]) == (2, "builtin")


@pytest.mark.long
def test_it_can_be_stopped_and_leaving_the_page_stops_it(at_latency, stage):
    shell = at_latency
    for leave in (lambda: stage.press_words("Stop"), stage.press_back):
        place = shell.work.navigation.top
        stage.press_words("Measure")
        run = place.draft["run"]
        shell.rebuild()
        stage.draw()
        assert not run._stopped.is_set()
        leave()
        assert run._stopped.is_set()
        wait_for_runs(stage, place.draft)
    assert shell.work.navigation.top.name == "engineer"
