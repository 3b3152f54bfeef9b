"""Finding a participant, by taps."""

import pytest

from tests.app.field_places import add_participant


def test_a_participant_is_found_by_a_part_of_the_id(opened, stage):
    shell = opened()
    ids = [add_participant(shell.work.casebook, serial) for serial in (12, 345)]
    stage.press_words("Participants")
    stage.draw(6)
    assert all(each in stage.text for each in ids)
    shell.page.ids.search.text = "345"
    stage.draw(6)
    assert ids[0] not in stage.text
    stage.press_words(ids[1])
    assert shell.work.navigation.top.facts == {"participant_id": ids[1]}
    stage.press_back()
    stage.draw(6)
    assert shell.page.ids.search.text == "345"  # the search is as it was left
    assert ids[0] not in stage.text


@pytest.mark.long
def test_nobody_is_a_sentence(opened, stage):
    shell = opened()
    stage.press_words("Participants")
    assert "Nobody is found." in stage.text
    assert shell.page.ids.list.data == []


def test_a_thousand_participants_are_a_handful_of_widgets(opened, stage):
    shell = opened()
    stage.press_words("Participants")
    rows = [{"text": f"PR-{number}", "value": number} for number in range(1000)]
    shell.page.ids.list.show(rows, lambda value: None)
    stage.draw(6)
    assert 3 < len(shell.page.ids.list.layout_manager.children) < 30
