"""Clinical values: which cells a probe can use, and what it says of the others."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from core.errors import ProbeError
from core.json_fields import Fields
from core.probing.clinical import missing_reason, parse_columns, standard_values
from core.screen_command import main


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


def test_columns_reach_the_probes_and_a_result_without_them_is_not_taken_for_one_with_them(
    write_bundle, lung_probe_content, tiny_model: bytes, recording: Path, output: Path, capsys
) -> None:
    content = lung_probe_content(hashlib.sha256(tiny_model).hexdigest(), domain=None)
    bundle = write_bundle(model=tiny_model, probes=(content,))
    command = [recording, "--bundle", bundle, "--json", output]
    assert main(list(map(str, command))) == 0
    (result,) = json.loads(output.read_text())["recordings"]
    assert "columns" not in result
    assert {probe["reason"] for probe in result["probes"]} == {"the probe needs age_years, which was not given"}
    assert main([*map(str, command), "--column", "age_years=70", "--column", "sex=M"]) == 0
    (result,) = json.loads(output.read_text())["recordings"]
    assert result["columns"] == {"age_years": "70", "sex": "M"}
    assert [probe["name"] for probe in result["probes"]] == ["lungs.fev1", "lungs.copd"]
    assert result["probes"][0]["score"] is not None and result["probes"][0]["unit"] == "L"
    assert "lungs.fev1 (research only, not validated): " in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main([*map(str, command), "--column", "height=1.7"])
    assert "--column gives height; its probes take age_years, sex." in capsys.readouterr().err
