"""Cells of a cohort's table, and the files that it names."""

import pytest

from core.errors import DataError
from distill.corpus.cohorts.rows import sex_of, sound_named, sounds_by_stem, yes_or_no
from distill.corpus.tables import Row


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *((word, 1.0) for word in ("1", "yes", "TRUE", "WAHR", "Positive", "TB", "1.0", "tb_positive")),
        *((word, 0.0) for word in ("0", "No", "false", "FAUX", "NEGATIVE", "No TB", "0.0")),
        *((word, None) for word in ("", "NA", "unknown", "-99", "Not sure", "indeterminate")),
    ],
)
def test_yes_and_no_in_the_words_of_people(word, value):
    assert yes_or_no(Row("t.csv, line 2", [("tb", word)]), "tb") == value


def test_another_word_is_refused_with_its_place():
    with pytest.raises(DataError, match=r"t.csv, line 2, column tb holds 'perhaps'"):
        yes_or_no(Row("t.csv, line 2", [("tb", "perhaps")]), "tb")


def test_sexes():
    assert [sex_of(word) for word in ("Male", " f ", "M", "other", "")] == [1.0, 0.0, 1.0, None, None]


def test_a_sound_is_found_in_capitals_and_with_another_ending(layout):
    folder = layout({"deep/A-1.WAV": 1})
    sounds = sounds_by_stem(folder)
    assert sound_named(sounds, "a-1.webm", folder) == folder / "deep/A-1.WAV"
    assert not sound_named(sounds, "b.wav", folder).exists()
