"""The page with the device's speed, by taps."""

import json

import pytest

from core.screener import Screener


@pytest.fixture
def at_latency(window, stage, default_bundle):
    """Opens the page from the engineer's."""
    shell = window(load_screener=lambda: Screener(default_bundle))
    shell.work.navigation.go("engineer")
    stage.wait(lambda: shell.work.screener is not None)
    stage.draw()
    stage.press_words("Speed")
    return shell


def test_it_measures_what_is_chosen_off_the_main_thread_and_saves_the_file(at_latency, stage):
    shell = at_latency
    stage.press_words("2")
    stage.press_words("Built-in")
    stage.press_words("Measure")
    assert " of 50 screenings" in stage.text and not shell.work.is_waited_for
    stage.wait(lambda: shell.work.navigation.top.draft.get("found"))
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
        stage.wait(lambda place=place: place.draft.get("run") is None)
    assert shell.work.navigation.top.name == "engineer"
