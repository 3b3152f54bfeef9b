"""The list of recordings, by taps."""

import pytest

from tests.app.field_places import add_participant, add_recording


@pytest.fixture
def history(opened, stage):
    shell = opened()
    first, second = (add_participant(shell.work.casebook, serial) for serial in (1, 2))
    add_recording(shell.work.casebook, first, "coughs", state="redone")
    kept = add_recording(shell.work.casebook, first, "coughs", state="kept")
    shell.work.casebook.add_note(kept.record_id, "on a bench")
    add_recording(shell.work.casebook, second, "forced_breaths", seconds=3)
    shell.work.navigation.go("history")
    stage.draw(6)
    return shell, first, second


def shown(shell):
    return [(row["text"], row["below"].splitlines()[0]) for row in shell.page.ids.list.data]


@pytest.mark.long
def test_the_latest_recording_stands_first(history):
    shell, first, second = history
    assert shown(shell) == [
        (second, "Forced breath 1 · Unfinished"),
        (first, "Coughs 1 · Kept"),
        (first, "Coughs 1 · Redone"),
    ]


@pytest.mark.long
def test_the_filter_and_the_search_leave_what_fits_both(history, stage):
    shell, first, second = history
    stage.press_words("Unfinished")
    assert [who for who, _ in shown(shell)] == [second]
    stage.press_words("All")
    shell.page.ids.search.text = "bench"
    stage.draw()
    assert shown(shell) == [(first, "Coughs 1 · Kept")]
    shell.page.ids.search.text = "nobody"
    stage.draw()
    assert "No recordings." in stage.text


def test_a_recording_opens_and_the_filter_is_as_it_was_on_the_way_back(history, stage):
    shell, first, _ = history
    stage.press_words("Kept")
    stage.draw(6)
    stage.press_words(first)
    assert shell.work.navigation.top.name == "recording"
    stage.press_back()
    stage.draw(6)
    assert shown(shell) == [(first, "Coughs 1 · Kept")]
