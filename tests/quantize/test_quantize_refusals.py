"""Bad input to tussis-quantize: one sentence, exit status 2, and nothing written."""

import json

import numpy as np
import pytest

from core.audio import write_wav
from distill.checkpoints import save_checkpoint
from distill.corpus.waveform_store import WaveformStore
from distill.models.student import StudentSettings
from quantize.calibration_set import CalibrationId, write_ids


def refusal(result, out) -> str:
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("tussis-quantize: ") and result.stderr.count("\n") == 1
    assert not out.exists() and not list(out.parent.glob("agreement.*"))
    return result.stderr


def another_architecture(world, tmp_path, student, checkpoint_of):
    other = student()
    other.settings = StudentSettings()
    return {"checkpoint": checkpoint_of(other, tmp_path / "other.pt")}, "of this architecture"


def another_students_weights(world, tmp_path, student, checkpoint_of):
    return {
        "checkpoint": checkpoint_of(student(seed=5), tmp_path / "other.pt")
    }, "does not say what the checkpoint says"


def weights_that_are_not_finite(world, tmp_path, student, checkpoint_of):
    broken = student()
    broken.body.widen[0].weight.data[0] = float("nan")
    return {"checkpoint": checkpoint_of(broken, tmp_path / "nan.pt")}, "not finite"


def a_checkpoint_of_something_else(world, tmp_path, student, checkpoint_of):
    save_checkpoint(tmp_path / "mae.pt", model_state={}, training_state={}, settings={}, provenance={})
    return {"checkpoint": tmp_path / "mae.pt"}, "does not hold a student"


def an_empty_calibration_set(world, tmp_path, student, checkpoint_of):
    write_ids([], tmp_path / "ids.csv")
    return {"calibration-ids": tmp_path / "ids.csv"}, "lists no clip"


def a_silent_calibration_set(world, tmp_path, student, checkpoint_of):
    write_wav(tmp_path / "silent.wav", np.zeros(40000, dtype=np.float32))
    write_ids([CalibrationId("silent.wav", 0, "noise")], tmp_path / "ids.csv")
    changes = {"data": tmp_path, "calibration-ids": tmp_path / "ids.csv"}
    return changes, "the calibration clip silent.wav at sample 0 is silent"


def a_recipe_with_an_unknown_key(world, tmp_path, student, checkpoint_of):
    recipe = json.loads(world.recipe.read_text(encoding="utf-8")) | {"speed": 3}
    (tmp_path / "r.json").write_text(json.dumps(recipe))
    return {"recipe": tmp_path / "r.json"}, "unknown key 'speed' in the recipe"


def a_recipe_that_is_absent(world, tmp_path, student, checkpoint_of):
    return {"recipe": "small_int9"}, "cannot be read: No such file"


def a_store_without_validation_recordings(world, tmp_path, student, checkpoint_of):
    rows = [row for row in WaveformStore.open(world.store).rows if row.role == "train"]
    WaveformStore.build(rows, world.data, tmp_path / "store")
    return {"store": tmp_path / "store"}, "the store holds no labelled validation recording"


def a_folder_that_cannot_be_made(world, tmp_path, student, checkpoint_of):
    (tmp_path / "file").write_text("")
    return {"report": tmp_path / "file" / "agreement.json"}, "cannot be made"


@pytest.mark.long
@pytest.mark.parametrize(
    "make",
    [
        another_architecture,
        another_students_weights,
        weights_that_are_not_finite,
        a_checkpoint_of_something_else,
        an_empty_calibration_set,
        a_silent_calibration_set,
        a_recipe_with_an_unknown_key,
        a_recipe_that_is_absent,
        a_store_without_validation_recordings,
        a_folder_that_cannot_be_made,
    ],
)
def test_bad_input_gives_one_sentence_and_writes_nothing(
    world, float_model, quantize, student, checkpoint_of, tmp_path, make
):
    changes, words = make(world, tmp_path, student, checkpoint_of)
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "int8.tflite"
    assert words in refusal(quantize(world, float_model, out, **changes), out)


def test_a_float_model_that_is_none_is_refused(world, quantize, tmp_path):
    (tmp_path / "broken.tflite").write_bytes(b"RIFF----WAVE")
    out = tmp_path / "out" / "int8.tflite"
    assert "broken.tflite" in refusal(quantize(world, tmp_path / "broken.tflite", out), out)
