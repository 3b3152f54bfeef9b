"""The words in five languages."""

import re

import pytest

from app import words
from app.studies.font_characters import missing_characters
from tests.app import catalogues

PLACE = re.compile(r"\{(\w+)\}")


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


@pytest.fixture(scope="module", params=sorted(catalogues.LANGUAGES))
def language(request):
    return request.param


def test_every_source_string_and_no_other_is_in_every_catalogue_with_a_translation(language):
    catalogue = catalogues.read_po(catalogues.po_path(language))
    wanted = set(catalogues.sources())
    assert [source for source in wanted if not all(catalogue.get(source, ("",)))] == []
    assert [source for source in catalogue if source not in wanted] == []


def test_a_translation_has_the_places_of_its_source_string(language):
    for source, texts in catalogues.read_po(catalogues.po_path(language)).items():
        for text in texts:
            assert set(PLACE.findall(text)) == set(PLACE.findall(source.many or source.one)), text
            text.format_map(dict.fromkeys(PLACE.findall(text), "1"))


def test_the_compiled_catalogue_is_that_of_the_text_which_says_that_no_native_speaker_read_it(language):
    path = catalogues.po_path(language)
    catalogue = catalogues.read_po(path)
    assert path.with_suffix(".mo").read_bytes() == catalogues.mo_bytes(language, catalogue)
    assert "No native speaker has read them yet." in path.read_text(encoding="utf-8")
    words.set_language(language)
    for source, texts in catalogue.items():
        if source.many:
            assert words.ngettext(source.one, source.many, 1) == texts[0].format(n=1)
            assert words.ngettext(source.one, source.many, 5) == texts[1].format(n=5)
        else:
            assert words._(source.one) == texts[0]


def test_the_font_has_every_character_of_every_language(language):
    for texts in catalogues.read_po(catalogues.po_path(language)).values():
        for text in texts:
            assert not missing_characters(text), text


def test_every_language_that_can_be_chosen_has_a_catalogue():
    assert set(words.LANGUAGES) - {words.SOURCE_LANGUAGE} == set(catalogues.LANGUAGES)
