import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.cases.facts import Participant
from app.coordinator.contents import ContentError, Recorded, contents_of

MODEL = {"bundle": "tussis-small", "sha256": "5e" * 32}
PROBE = {"name": "tb", "status": "research", "decision": "refer", "score": 0.9, "unit": "p", "reason": None}
CONTENTS = {
    "participant": {
        "participant_id": "CG-0017-4",
        "year_of_birth": 1980,
        "sex": "female",
        "answers": {"smokes": "yes", "height_cm": 171},
        "added_s": 1.8e9,
        "is_practice": False,
    },
    "consent": {
        "participant_id": "CG-0017-4",
        "version": "1",
        "sha256": "ab" * 32,
        "language": "sw",
        "given_s": 1_800_000_000,
        "is_practice": False,
    },
    "withdrawal": {
        "participant_id": "CG-0017-4",
        "withdrawn_s": 1.8e9,
        "erased": ["a"],
        "handed_over": [{"handover_id": "h", "record_id": "b"}],
    },
    "attempt": {
        "participant_id": "CG-0017-4",
        "task_id": "coughs",
        "round": 1,
        "number": 1,
        "started_s": 1.8e9,
        "state": "kept",
        "reason": "",
        "notes": [{"text": "Wore a mask.", "at_s": 1.8e9}],
        "verdict": {"outcome": "good", "reasons": [], "coughs": 3, "snr_db": 20.0, "noise_dbfs": -60.0},
        "screening": {"model": MODEL, "probes": [PROBE]},
        "microphone": {"name": "built in"},
        "is_practice": False,
    },
    "monitoring": {"participant_id": "", "started_s": 1.8e9, "duration_s": 1.0, "results": {}, "microphone": {}},
}
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def test_each_kind_says_what_it_holds() -> None:
    said = {kind: contents_of(kind, content, "r") for kind, content in CONTENTS.items()}
    assert said["participant"].answers == {"smokes": "yes", "height_cm": 171}
    assert said["consent"].given_s == 1.8e9
    assert said["withdrawal"].record_ids == {"a", "b"}
    assert said["attempt"].verdict.coughs == 3 and said["attempt"].notes == ("Wore a mask.",)
    assert said["attempt"].bundle == ("tussis-small", "5e" * 32) and said["attempt"].probes[0].decision == "refer"
    assert (said["monitoring"].task_id, said["monitoring"].participant_id) == ("monitoring", "")
    assert contents_of("log", {"event": "started"}, "r") is None


def test_what_does_not_say_that_it_is_in_earnest_is_practice() -> None:
    for missing in (None, 0, "no", True):
        said = contents_of("participant", CONTENTS["participant"] | {"is_practice": missing}, "r")
        assert isinstance(said, Participant) and said.is_practice


def test_a_count_beside_could_not_be_judged_is_no_count() -> None:
    content = copy.deepcopy(CONTENTS["attempt"])
    content["verdict"] |= {"outcome": "could_not_be_judged", "coughs": 0}
    said = contents_of("attempt", content, "r")
    assert isinstance(said, Recorded) and said.verdict.coughs is None


def test_a_text_cannot_command_a_terminal_or_break_a_line() -> None:
    content = CONTENTS["attempt"] | {"reason": "a\x1b[31m\nb"}
    assert contents_of("attempt", content, "r").reason == "a\\x1b[31m\\nb"


def test_a_field_that_is_wrong_is_named_with_the_record() -> None:
    for kind, change, words in (
        ("participant", {"sex": "F"}, 'the record r: "sex" is "F"'),
        ("consent", {"sha256": "no"}, '"sha256" is "no"'),
        ("withdrawal", {"erased": [5]}, "expected ids of records"),
        ("attempt", {"started_s": -1}, "expected a time from 0 to 4e"),
        ("attempt", {"state": "good"}, '"state" is "good"'),
    ):
        with pytest.raises(ContentError, match=words):
            contents_of(kind, CONTENTS[kind] | change, "r")


def places_in(value: Any, place: tuple = ()) -> list[tuple]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place] * bool(place) + [inner for key, item in items for inner in places_in(item, (*place, key))]


def fuzz(place: tuple, value: Any) -> None:
    contents: Any = copy.deepcopy(CONTENTS)
    inner = contents
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    try:
        contents_of(place[0], contents[place[0]], "r")
    except ContentError as refusal:
        assert "\n" not in str(refusal)


@settings(max_examples=300)
@given(place=st.sampled_from(places_in(CONTENTS)), value=values)
def test_no_value_in_any_place_crashes_the_reader(place: tuple, value: Any) -> None:
    fuzz(place, value)


@pytest.mark.slow
@settings(max_examples=5_000)
@given(place=st.sampled_from(places_in(CONTENTS)), value=values)
def test_five_thousand_values_do_not_crash_the_reader(place: tuple, value: Any) -> None:
    fuzz(place, value)
