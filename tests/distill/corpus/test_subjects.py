import pytest

from distill.corpus.subjects import names_nobody, one_spelling, subject_key


@pytest.mark.parametrize(
    "alike",
    [
        ("5", "5.0", "05", "5,0", " 5 ", "\uff15", '="05"'),
        ("S05", "s05", "s5", "S 5", "s-05", "S_05", "S05.0", "s\u200b05"),
        ("Zo\u00eb", "zoe\u0308", "ZO\u00cb"),
    ],
)
def test_spellings_of_one_person_have_one_key(alike):
    assert len({subject_key(subject_id) for subject_id in alike}) == 1
    assert set(one_spelling(alike).values()) == {alike[0]}


def test_other_people_have_other_keys():
    others = ("5", "50", "s5", "s50", "5.5", "1-12", "11-2", "112", "anna", "anne", "p1a", "p11")
    assert len({subject_key(subject_id) for subject_id in others}) == len(others)


@pytest.mark.parametrize(
    "word", ["", " ", "-", "nan", "NaN", "unknown", "n/a", "N/A", "None", "?", "\u2014", "#N/A", "-99"]
)
def test_words_for_nobody_name_nobody(word):
    assert names_nobody(word)


def test_names_are_of_somebody():
    assert not any(map(names_nobody, ("0", "Nan1", "nancy", "a", "x-1", "unknown7")))
