import json
from dataclasses import replace

import pytest

from quantize import quantize_model
from quantize.quantize_command import write_accepted


@pytest.mark.long
def test_a_model_past_the_limits_is_refused_and_none_is_left_behind(
    world, made, float_model, quantize, tmp_path, monkeypatch
):
    agreement = made.quantized.agreement
    limits = agreement.recipe["limits"] | {"min_embedding_cosine_median": 1.0}
    strict = replace(made.quantized, agreement=replace(agreement, recipe=agreement.recipe | {"limits": limits}))
    monkeypatch.setattr(quantize_model, "quantize_model", lambda settings: strict)
    out = tmp_path / "int8.tflite"
    out.write_bytes(made.int8.read_bytes())
    result = quantize(world, float_model, out, reference=world.checkpoint)
    assert result.exit_code == 2
    assert "drifted from the float model and is refused: the median embedding cosine is 0." in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agreement.html", "agreement.json"]
    page = (tmp_path / "agreement.html").read_text(encoding="utf-8")
    assert "refused" in page and "int8 to the student before tuning" in page
    assert len(json.loads((tmp_path / "agreement.json").read_text())["beyond_limits"]) == 1


def test_a_model_within_the_limits_is_written_with_its_report_and_page(made, tmp_path):
    write_accepted(made.quantized, tmp_path / "int8.tflite", tmp_path / "agreement.json")
    assert (tmp_path / "int8.tflite").read_bytes() == made.int8.read_bytes()
    assert (tmp_path / "agreement.json").read_bytes() == made.agreement.read_bytes()
    assert (tmp_path / "agreement.html").read_bytes() == made.agreement.with_suffix(".html").read_bytes()
