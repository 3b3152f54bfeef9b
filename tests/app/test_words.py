"""The words in five languages."""

import pytest

from app import words


@pytest.fixture(autouse=True)
def english_again():
    yield
    words.set_language("en")


def test_a_language_that_the_application_lacks_gives_english():
    words.set_language("fr")
    words.set_language("tlh")
    assert words.shown_language() == "en"
    assert words._("Participants") == "Participants"


def test_nothing_has_no_words():
    words.set_language("fr")  # a catalogue answers the empty string with its own heading
    assert words._("") == ""


def test_a_count_stands_in_its_words():
    assert words.ngettext("{n} cough", "{n} coughs", 1) == "1 cough"
    assert words.ngettext("{n} cough", "{n} coughs", 3) == "3 coughs"
