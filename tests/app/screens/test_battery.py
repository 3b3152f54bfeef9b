"""What keeps a phone from ending a long listening, by taps."""

import pytest


@pytest.mark.long
def test_the_steps_are_those_of_the_maker_that_is_chosen(opened, stage):
    shell = opened()
    shell.work.navigation.go("monitor")
    stage.draw()
    stage.press_words("Battery saver")
    assert "Another maker" in stage.text and "1. Open Settings, Apps, Tussis, Battery." in stage.text
    for brand, step in (
        ("Xiaomi, Redmi, Poco", "2. Switch Autostart on."),
        ("Samsung", "4. Add Tussis to the apps that never sleep."),
        ("Huawei, Honor", "2. Switch Manage automatically off."),
        ("Oppo, Realme, OnePlus", "2. Switch on: Allow background activity, and Allow auto launch."),
        ("Vivo, iQOO", "2. Choose not to restrict it."),
        ("Tecno, Infinix, itel", "2. Switch Tussis on there."),
    ):
        stage.press_words(brand)
        assert step in stage.text
    shell.rebuild()
    stage.draw()
    assert "2. Switch Tussis on there." in stage.text
    stage.press_back()
    assert shell.work.navigation.names == ("home", "monitor")
