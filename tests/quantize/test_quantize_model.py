import json

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from core.demonstration import synthesized_clips
from core.interpreter import LiteRtInterpreter
from quantize import fallback
from quantize.quantize_model import choose_error_clips
from quantize.tflite_graph import count_partitions


def outputs_by_type(model: bytes) -> dict[str, set[str]]:
    """Names of the operators' output tensors by their element type."""
    graph = schema.Model.GetRootAsModel(model, 0).Subgraphs(0)
    types = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
    names: dict[str, set[str]] = {}
    for number in range(graph.OperatorsLength()):
        for index in graph.Operators(number).OutputsAsNumpy():
            tensor = graph.Tensors(index)
            names.setdefault(types[tensor.Type()], set()).add(tensor.Name().decode())
    return names


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
    assert agreement["recipe"]["name"] == "small_int8" and agreement["recipe"]["n_error_clips"] == 8
    assert agreement["float_model"]["bytes"] == float_model.stat().st_size
    assert max(agreement["torch_to_float"].values()) < 1e-3
    assert agreement["events"]["cough"]["auroc"]["n_negative"] == 8
    assert agreement["composed"]["n_coughs"] > 20
    assert agreement["composed"]["frame_f1"]["torch"] == pytest.approx(
        agreement["composed"]["frame_f1"]["float"], abs=0.01
    )
    assert agreement["int8_model"]["delegated"] == {"operators": 1.0, "macs": 1.0}
    assert {"body.embedding", "body.widen", "body.blocks.4.project"} <= {
        layer["layer"] for layer in agreement["layers"]
    }
    assert len(agreement["judged"]) == 11 and agreement["fallback"]["layers"] == []


def test_an_operator_that_the_recipe_does_not_allow_is_refused(world, float_model, quantize, tmp_path, monkeypatch):
    monkeypatch.setattr(fallback, "layer_errors", lambda *_: [])  # which take long and are not needed here
    recipe = json.loads(world.recipe.read_text(encoding="utf-8"))
    recipe["operators"].remove("LOG")
    (tmp_path / "no_log.json").write_text(json.dumps(recipe), encoding="utf-8")
    result = quantize(world, float_model, tmp_path / "int8.tflite", recipe=tmp_path / "no_log.json")
    assert result.exit_code == 2
    assert "the int8 model needs other operators that the phone's runtime may lack: LOG;" in result.stderr
    assert not (tmp_path / "int8.tflite").exists()


def test_error_clips_are_spread_over_calibration_and_validation_clips():
    calibration, validation = np.arange(20)[:, None], np.arange(100, 103)[:, None]
    assert choose_error_clips(8, calibration, validation)[:, 0].tolist() == [0, 5, 10, 15, 100, 101, 102]
