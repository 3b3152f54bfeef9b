"""Clinical values: which cells a probe can use, and what it says of the others."""

import numpy as np
import pytest

from core.errors import ProbeError
from core.json_fields import Fields
from core.probing.clinical import missing_reason, parse_columns, standard_values


@pytest.fixture
def columns(lung_probe_content):
    return parse_columns(Fields(lung_probe_content(), "lungs.json", ProbeError))


def test_values_are_standardized_and_words_stand_for_numbers(columns):
    np.testing.assert_allclose(standard_values(columns, {"age_years": " 70 ", "sex": "M", "other": "?"}), [2.0, 1.0])
    assert missing_reason(columns, {"age_years": "70", "sex": "m"}) is None


@pytest.mark.parametrize("text", ["nan", "", "170", "17.9", "1e999", "seventy", "7O", "0x20", "٤٠", "inf"])
def test_a_cell_that_is_no_number_in_range_is_missing(columns, text):
    assert np.isnan(standard_values(columns, {"age_years": text, "sex": "f"})[0])
    assert "age_years" in missing_reason(columns, {"age_years": text, "sex": "f"})


def test_the_reason_names_the_column_and_what_it_takes(columns):
    assert missing_reason(columns, {"age_years": "70"}) == "the probe needs sex, which was not given"
    reason = missing_reason(columns, {"age_years": "170", "sex": "f"})
    assert reason == "age_years is not what the probe can use; it takes a number from 18 to 90"
    reason = missing_reason(columns, {"age_years": "70", "sex": "x"})
    assert reason == "sex is not what the probe can use; it takes f, m"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a=b"},
        {"codes": {"f": 0}},
        {"codes": {"F": 0, "m": 1}},
        {"codes": {"f": "0", "m": 1}},
        {"highest": 17},
        {"scale": 0},
        {"name": "sex"},
    ],
)
def test_a_column_with_a_wrong_field_is_refused(lung_probe_content, change):
    content = lung_probe_content()
    content["columns"][0] |= change
    with pytest.raises(ProbeError, match=r"lungs\.json"):
        parse_columns(Fields(content, "lungs.json", ProbeError))
