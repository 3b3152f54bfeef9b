import json

import numpy as np
import onnx
import pytest
import torch

from core.demonstration import synthesized_clips
from distill.checkpoints import save_checkpoint
from distill.models.student import Student, StudentSettings, load_student
from quantize import conversion, export
from quantize.conversion import FLOAT_FILE, ONNX_FILE
from quantize.outputs import onnx_outputs, tflite_outputs, torch_outputs

OUTPUT_SIZES = {"embedding": 512, "event_logits": 8, "activity_logits": 50}


def test_torch_tflite_and_onnx_agree_on_clips_that_the_export_never_saw(world, float_model):
    clips = synthesized_clips(9, seed=123)
    expected = torch_outputs(load_student(world.checkpoint), clips)
    assert {name: array.shape for name, array in expected.items()} == {n: (9, s) for n, s in OUTPUT_SIZES.items()}
    assert expected["event_logits"].std(axis=0).min() > 1e-3
    for exported in (tflite_outputs(float_model, clips), onnx_outputs(float_model.with_name(ONNX_FILE), clips)):
        for name, values in expected.items():
            np.testing.assert_allclose(exported[name], values, atol=1e-4 * np.abs(values).max())


def test_the_same_weights_give_the_same_onnx_bytes(world, float_model, tmp_path):
    again = conversion.export_onnx(load_student(world.checkpoint), tmp_path / ONNX_FILE)
    assert again.read_bytes() == float_model.with_name(ONNX_FILE).read_bytes()


@pytest.mark.slow  # test_export_encoder.py converts a smaller module twice
def test_the_same_checkpoint_gives_the_same_bytes(world, float_model, run, tmp_path):
    assert run(export.app, world.checkpoint, "--out", tmp_path).exit_code == 0
    for name in (FLOAT_FILE, ONNX_FILE, export.REPORT_FILE):
        assert (tmp_path / name).read_bytes() == float_model.with_name(name).read_bytes()


def test_no_file_names_a_folder_of_this_machine(world, float_model):
    for path in float_model.parent.iterdir():
        assert str(world.data.parent).encode() not in path.read_bytes()
        assert b"site-packages" not in path.read_bytes()


def test_the_report_names_checkpoint_files_and_differences(world, float_model):
    report = json.loads(float_model.with_name(export.REPORT_FILE).read_text(encoding="utf-8"))
    assert report["float_model"]["bytes"] == float_model.stat().st_size
    assert report["float_model"]["n_partitions"] == 1
    assert report["student"]["pooled_channels"] == 32
    for parity in ("torch_to_tflite", "torch_to_onnx"):
        assert all(0 <= report["parity"][parity][name]["max_relative"] < 1e-3 for name in OUTPUT_SIZES)


def test_the_onnx_file_is_valid_and_has_the_names_of_the_signature(float_model):
    model = onnx.load(str(float_model.with_name(ONNX_FILE)))
    onnx.checker.check_model(model)
    assert [value.name for value in model.graph.input] == ["waveform"]
    assert [value.name for value in model.graph.output] == list(OUTPUT_SIZES)


def test_weights_that_are_not_finite_are_refused(run, student, checkpoint_of, tmp_path):
    broken = student()
    with torch.no_grad():
        broken.body.embedding.weight[0, 0] = torch.nan
    checkpoint = checkpoint_of(broken, tmp_path / "broken.pt")
    result = run(export.app, checkpoint, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr == f"tussis-export: {checkpoint} holds weights that are not finite\n"
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_another_architecture_is_refused(run, tmp_path):
    settings = StudentSettings(pooled_channels=16).model_dump(mode="json")
    state = {f"student.{name}": value for name, value in Student().state_dict().items()}
    path = tmp_path / "other.pt"
    save_checkpoint(path, model_state=state, training_state={}, settings={"student": settings}, provenance={})
    result = run(export.app, path, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "does not hold a student of this architecture" in result.stderr


def test_a_file_that_says_something_else_than_the_checkpoint_is_not_left_behind(
    run, student, checkpoint_of, float_model, tmp_path, monkeypatch
):
    def write_another(_, out):
        out.write_bytes(float_model.read_bytes())
        return out

    monkeypatch.setattr(conversion, "export_float_tflite", write_another)
    checkpoint = checkpoint_of(student(seed=5), tmp_path / "final.pt")
    result = run(export.app, checkpoint, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert f"{FLOAT_FILE} does not say what the checkpoint says" in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_synthesized_clips_are_repeatable_bounded_and_begin_with_silence():
    clips = synthesized_clips(12)
    assert clips.shape == (12, 32000) and clips.dtype == np.float32
    assert not clips[0].any() and all(clip.any() for clip in clips[1:])
    assert np.abs(clips).max() <= 1
    np.testing.assert_array_equal(clips, synthesized_clips(12))
    assert not np.array_equal(clips[1:], synthesized_clips(12, seed=1)[1:])
