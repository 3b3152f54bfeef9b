"""Shares the stub phone among the tests of Android's devices."""

from collections.abc import Iterator

import pytest

from tests.android.desktop_java import Switches, reason_to_skip, start_java


@pytest.fixture
def phone() -> Iterator[Switches]:
    """A new stub phone, its microphone working and nothing granted; skips where Java cannot be driven."""
    if reason := reason_to_skip():
        pytest.skip(reason)
    start_java()
    switches = Switches()
    switches.reset()
    yield switches
    switches.reset()
