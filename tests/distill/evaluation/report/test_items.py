"""What a report judges: who has a score, who has none and why, and how few are too few."""

from dataclasses import replace

import pytest

from core.errors import DataError
from distill.evaluation.report.items import Question, check_enough


def test_an_item_in_the_band_has_a_score_and_no_answer(people, question):
    items = people(20)
    items[0] = replace(items[0], unscored="too close to the operating point")
    items[1] = replace(items[1], score=None, unscored="silent")
    asked = question(items)
    assert len(asked.scored.items) == 19
    assert asked.unscored == {"silent": 1, "too close to the operating point": 1}


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        (lambda items: items[:3], "cough in a test has 3 subjects with a score; a report needs at least 10"),
        (lambda items: items[::2], "cough in a test has 0 positive subjects"),
        (lambda items: items[1::2], "cough in a test has 0 negative subjects"),
        (lambda items: [replace(item, subject_id="one") for item in items], "has 1 subjects with a score"),
        (lambda items: [replace(item, score=None, unscored="silent") for item in items], "no recording with a score"),
        (lambda items: [], "has no recording with a score among 0"),
    ],
)
def test_too_few_people_or_one_class_are_refused_in_a_sentence(people, chosen, sentence):
    with pytest.raises(DataError, match=sentence):
        check_enough(Question("cough", "a test", chosen(people(40))))
