import json
from pathlib import Path

import pytest

from core.errors import SettingsError
from quantize.recipe import read_recipe


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda r: r.update(speed=3), "unknown key 'speed' in the recipe"),
        (lambda r: r["limits"].update(max_flips=3), "unknown key 'limits.max_flips'"),
        (lambda r: r["quantizer"][0].update(bits=8), "unknown key 'quantizer.0.bits'"),
        (lambda r: r["limits"].pop("max_partitions"), "the key 'limits.max_partitions' is missing"),
        (
            lambda r: r["limits"].update(max_cough_decision_flips=2),
            "the key 'limits.max_cough_decision_flips'",
        ),
        (lambda r: r.update(quantizer=[]), "the key 'quantizer'"),
        (lambda r: r["fallback"].update(max_ms=1), "unknown key 'fallback.max_ms'"),
        (lambda r: r.update(range_percentile=101), "the key 'range_percentile'"),
    ],
)
def test_a_recipe_with_a_wrong_key_is_refused_by_name(world, tmp_path, edit, words):
    recipe = json.loads(world.recipe.read_text(encoding="utf-8"))
    edit(recipe)
    (tmp_path / "r.json").write_text(json.dumps(recipe), encoding="utf-8")
    with pytest.raises(SettingsError) as refusal:
        read_recipe(tmp_path / "r.json")
    assert words in str(refusal.value) and str(tmp_path / "r.json") in str(refusal.value)


def test_a_recipe_that_is_absent_or_no_json_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_recipe(tmp_path / "gone.json")
    (tmp_path / "r.json").write_text("{")
    with pytest.raises(SettingsError, match="is not valid JSON"):
        read_recipe(tmp_path / "r.json")
    (tmp_path / "r.json").write_text("[]")
    with pytest.raises(SettingsError, match="a JSON object is expected"):
        read_recipe(tmp_path / "r.json")


@pytest.mark.parametrize(("name", "bytes_at_most"), [("nano", 400_000), ("small", 1_200_000), ("base", 5_000_000)])
def test_one_recipe_serves_all_sizes_but_for_their_bytes(name, bytes_at_most):
    recipe, small = read_recipe(Path(f"{name}_int8")), read_recipe(Path("small_int8"))
    assert recipe.name == f"{name}_int8"
    assert recipe.limits == small.limits.model_copy(update={"max_model_bytes": bytes_at_most})
    assert (recipe.quantizer, recipe.fallback, recipe.operators) == (small.quantizer, small.fallback, small.operators)


def test_a_recipe_extends_a_file_beside_it_and_never_itself(tmp_path):
    (tmp_path / "mine.json").write_text('{"extends": "small_int8", "limits": {"max_partitions": 2}}')
    (tmp_path / "yours.json").write_text('{"extends": "mine.json", "name": "yours"}')
    recipe = read_recipe(tmp_path / "yours.json")
    assert (recipe.name, recipe.limits.max_partitions) == ("yours", 2)
    (tmp_path / "mine.json").write_text('{"extends": "yours.json"}')
    with pytest.raises(SettingsError, match="extends itself"):
        read_recipe(tmp_path / "yours.json")


@pytest.mark.parametrize("content", ["[" * 100_000, '{"name": ' * 5000])
def test_a_recipe_that_is_nested_without_end_is_refused(tmp_path, content):
    (tmp_path / "deep.json").write_text(content)
    with pytest.raises(SettingsError, match=r"deep\.json is not valid JSON"):
        read_recipe(tmp_path / "deep.json")


@pytest.mark.parametrize("value", ["x" * 5000, ["a\nb"] * 1000, {"a" * 3000: 1}])
def test_the_sentence_for_a_wrong_value_is_one_short_line(tmp_path, value):
    (tmp_path / "long.json").write_text(json.dumps({"extends": "small_int8", "range_percentile": value}))
    with pytest.raises(SettingsError) as refused:
        read_recipe(tmp_path / "long.json")
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400 + len(str(tmp_path))
