"""The window that is set up with the practice study and unlocked."""

import pytest

from tests.app.field_day import PASSCODE


@pytest.fixture
def opened(window, stage):
    """Opens the window on its first page; `opened(…)` takes what `FieldWork` takes."""

    def open_window(**options):
        shell = window(**options)
        shell.work.set_up(PASSCODE, None)
        stage.wait(lambda: shell.work.navigation.top.name == "home")
        return shell

    return open_window
