import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.studies.participant_id import PATTERN, IdError, IdPattern

CLINIC = IdPattern("CG-####-*")
serials = st.integers(1, CLINIC.highest_serial)


def test_an_id_is_typed_in_many_ways_and_kept_in_one() -> None:
    made = CLINIC.new_id(17)
    assert re.fullmatch(r"CG-0017-\d", made)
    digits = made[3:7] + made[8]
    for typed in (made, made.lower(), digits, f" {digits[:3]} {digits[3:]}", made.replace("-", ""), f"CG {digits}"):
        assert CLINIC.check(typed) == made


@given(serial=serials, place=st.integers(0, 4), other=st.integers(0, 9))
def test_each_wrong_digit_is_noticed(serial: int, place: int, other: int) -> None:
    digits = CLINIC.new_id(serial)[3:].replace("-", "")
    typed = digits[:place] + str(other) + digits[place + 1 :]
    if typed != digits:
        with pytest.raises(IdError):
            CLINIC.check(typed)


@given(serial=serials, place=st.integers(0, 3))
@example(serial=12, place=3)
def test_two_neighbours_in_the_wrong_order_are_noticed(serial: int, place: int) -> None:
    digits = CLINIC.new_id(serial)[3:].replace("-", "")
    typed = digits[:place] + digits[place + 1] + digits[place] + digits[place + 2 :]
    if typed != digits:
        with pytest.raises(IdError):
            CLINIC.check(typed)


@pytest.mark.parametrize(
    "typed", ["", "CG", "CG-0017", "KE-0017-4", "CG-00017-4", "CG-0000-0", "Ada Lovelace", "٠٠١٧٤"]
)
def test_what_is_no_id_is_refused_with_an_example(typed: str) -> None:
    with pytest.raises(IdError, match=r"expected one such as CG-0017-\d") as refusal:
        CLINIC.check(typed)
    assert refusal.value.reason == "form"


def test_a_wrong_check_digit_has_its_own_reason() -> None:
    made = CLINIC.new_id(17)
    with pytest.raises(IdError) as refusal:
        CLINIC.check(made[:-1] + str((int(made[-1]) + 1) % 10))
    assert refusal.value.reason == "check_digit"


def test_the_digits_of_another_study_do_not_all_fit() -> None:
    other = IdPattern("KB-####-*")
    same = sum(CLINIC.new_id(serial)[-1] == other.new_id(serial)[-1] for serial in range(1, 1000))
    assert same < 200


@pytest.mark.parametrize("serial", [0, -1, 10_000])
def test_a_serial_number_that_does_not_fit_is_refused(serial: int) -> None:
    with pytest.raises(IdError, match="expected 1 to 9999"):
        CLINIC.new_id(serial)


@pytest.mark.parametrize(
    "text", ["CG-####", "####", "cg-##*", "C1-##*", "CG-#*", "CG-#########*", "*##", "CG/##*", "##*\n"]
)
def test_a_pattern_of_another_form_is_none(text: str) -> None:
    assert not PATTERN.fullmatch(text)
