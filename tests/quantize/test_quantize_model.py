import json
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from core.demonstration import synthesized_clips
from core.errors import SettingsError
from core.interpreter import LiteRtInterpreter
from quantize.operators import count_partitions
from quantize.quantize_model import Quantized, write_accepted
from quantize.recipe import read_recipe


def changed_recipe(world, path, edit):
    recipe = json.loads(world.recipe.read_text(encoding="utf-8"))
    edit(recipe)
    path.write_text(json.dumps(recipe), encoding="utf-8")
    return path


def outputs_by_type(model: bytes) -> dict[str, set[str]]:
    """Names of the operators' output tensors by their element type."""
    graph = schema.Model.GetRootAsModel(model, 0).Subgraphs(0)
    types = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
    found: dict[str, set[str]] = {}
    for number in range(graph.OperatorsLength()):
        for index in graph.Operators(number).OutputsAsNumpy():
            tensor = graph.Tensors(index)
            found.setdefault(types[tensor.Type()], set()).add(tensor.Name().decode())
    return found


def test_blocks_are_int8_and_front_end_stem_and_outputs_stay_float(made):
    types = outputs_by_type(made.int8.read_bytes())
    assert set(types) == {"INT8", "FLOAT32"}
    convolutions = [name for name in types["INT8"] if "Sequential_expand" in name or "Sequential_project" in name]
    assert len(convolutions) >= 10
    assert not any("PhoneFrontEnd" in name for name in types["INT8"] if "_blocks" not in name and "_stem" not in name)
    assert {f"screen_{name}_output" for name in ("embedding", "event_logits")} <= types["FLOAT32"]


def test_int8_follows_float_and_is_smaller_and_runs_in_one_partition(made, float_model):
    content = made.int8.read_bytes()
    assert len(content) < 0.6 * float_model.stat().st_size
    assert count_partitions(content).is_whole
    for clip in synthesized_clips(6, seed=77)[1:]:
        ours, theirs = LiteRtInterpreter(float_model).run(clip), LiteRtInterpreter(content).run(clip)
        lengths = np.linalg.norm(ours.embedding) * np.linalg.norm(theirs.embedding)
        assert ours.embedding @ theirs.embedding / lengths > 0.9
        assert not np.array_equal(ours.embedding, theirs.embedding)


def test_the_report_names_what_was_compared_and_made(made, world, float_model):
    agreement = json.loads(made.agreement.read_text(encoding="utf-8"))
    assert agreement["beyond_limits"] == []
    assert agreement["n_recordings"] == 16
    assert agreement["calibration"]["n_clips"] == 24
    assert agreement["recipe"]["name"] == "small_int8"
    assert agreement["float_model"]["bytes"] == float_model.stat().st_size
    assert max(agreement["torch_to_float"].values()) < 1e-3
    assert agreement["events"]["cough"]["auroc"]["n_negative"] == 8
    assert agreement["composed"]["n_coughs"] > 20
    assert agreement["composed"]["frame_f1"]["torch"] == pytest.approx(
        agreement["composed"]["frame_f1"]["float"], abs=0.01
    )
    assert agreement["int8_model"]["delegated"] == {"operators": 1.0, "macs": 1.0}
    assert {"body.embedding", "body.widen", "body.blocks.4.project"} <= {its["layer"] for its in agreement["layers"]}
    assert len(agreement["judged"]) == 11 and agreement["fallback"]["layers"] == []


def test_a_model_past_the_limits_is_refused_and_none_is_left_behind(world, float_model, quantize, tmp_path):
    recipe = changed_recipe(
        world, tmp_path / "strict.json", lambda its: its["limits"].update(min_embedding_cosine_median=1.0)
    )
    out = tmp_path / "int8.tflite"
    out.write_bytes(b"of an earlier run")
    result = quantize(world, float_model, out, recipe=recipe, reference=world.checkpoint)
    assert result.exit_code == 2
    assert "drifted from the float model and is refused: the median embedding cosine is 0." in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agreement.html", "agreement.json", "strict.json"]
    page = (tmp_path / "agreement.html").read_text(encoding="utf-8")
    assert "refused" in page and "int8 to the student before tuning" in page
    assert len(json.loads((tmp_path / "agreement.json").read_text())["beyond_limits"]) == 1


def test_a_model_within_the_limits_is_written_with_its_report(tmp_path):
    quantized = Quantized(b"model", {"beyond_limits": []}, "<p>page</p>")
    write_accepted(quantized, tmp_path / "int8.tflite", tmp_path / "agreement.json")
    assert (tmp_path / "agreement.html").read_text() == "<p>page</p>"
    assert (tmp_path / "int8.tflite").read_bytes() == b"model"
    assert json.loads((tmp_path / "agreement.json").read_text()) == {"beyond_limits": []}


def test_an_operator_that_the_recipe_does_not_allow_is_refused(world, float_model, quantize, tmp_path):
    recipe = changed_recipe(world, tmp_path / "no_log.json", lambda its: its["operators"].remove("LOG"))
    result = quantize(world, float_model, tmp_path / "int8.tflite", recipe=recipe)
    assert result.exit_code == 2
    assert "the int8 model needs other operators that the phone's runtime may lack: LOG;" in result.stderr
    assert not (tmp_path / "int8.tflite").exists()


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda its: its.update(speed=3), "unknown key 'speed' in the recipe"),
        (lambda its: its["limits"].update(max_flips=3), "unknown key 'limits.max_flips'"),
        (lambda its: its["quantizer"][0].update(bits=8), "unknown key 'quantizer.0.bits'"),
        (lambda its: its["limits"].pop("max_partitions"), "the key 'limits.max_partitions' is missing"),
        (lambda its: its["limits"].update(max_cough_decision_flips=2), "the key 'limits.max_cough_decision_flips'"),
        (lambda its: its.update(quantizer=[]), "the key 'quantizer'"),
        (lambda its: its["fallback"].update(max_ms=1), "unknown key 'fallback.max_ms'"),
        (lambda its: its.update(range_percentile=101), "the key 'range_percentile'"),
    ],
)
def test_a_recipe_with_a_wrong_key_is_refused_by_name(world, tmp_path, edit, words):
    with pytest.raises(SettingsError) as refusal:
        read_recipe(changed_recipe(world, tmp_path / "r.json", edit))
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
