"""A student that was tuned with int8's rounding lands on the integers it was trained with."""

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer.algorithms.uniform_quantize.uniform_quantize_tensor import tensor_zp_scale_from_min_max
from ai_edge_quantizer.qtyping import QuantGranularity

from core.demonstration import synthesized_clips
from distill.checkpoints import load_checkpoint, save_checkpoint
from distill.distillation.quantization_aware import (
    RANGES_PREFIX,
    activation_grid,
    activation_ranges,
    bake,
    learnt_ranges,
    with_int8_rounding,
)
from quantize.apply_recipe import apply_recipe, calibrated_ranges, with_learnt_ranges
from quantize.conversion import export_float_tflite
from quantize.outputs import cosines, tflite_outputs
from quantize.recipe import read_recipe
from quantize.tflite_graph import quantized_layers, read_operators

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def rounded(student):
    """A student with rounding that has seen the ranges of a batch, as after `tussis-distill --qat`."""
    rounded = with_int8_rounding(student(seed=3), momentum=0.9).train()
    with torch.no_grad():
        rounded(torch.from_numpy(synthesized_clips(24, seed=8)))
    return rounded.eval()


@pytest.fixture(scope="module")
def tuned(rounded, world, tmp_path_factory):
    """Its float model and its int8 model, the latter with the ranges of its checkpoint."""
    folder = tmp_path_factory.mktemp("tuned")
    baked = bake(rounded)
    ranges = {path: torch.stack([learnt.low, learnt.high]) for path, learnt in activation_ranges(rounded.body)}
    state = {f"student.{name}": value for name, value in baked.state_dict().items()}
    state |= {f"{RANGES_PREFIX}{path}": bounds for path, bounds in ranges.items()}
    settings = {"student": baked.settings.model_dump(mode="json")}
    save_checkpoint(folder / "final.pt", model_state=state, training_state={}, settings=settings, provenance={})
    float_model = export_float_tflite(baked, folder / "float.tflite").read_bytes()
    recipe = read_recipe(world.recipe)
    calibrated = calibrated_ranges(float_model, recipe, synthesized_clips(4, seed=2)[1:])
    learnt = learnt_ranges(load_checkpoint(folder / "final.pt"))
    return float_model, apply_recipe(float_model, recipe, with_learnt_ranges(calibrated, learnt, float_model))


def tensors_of(model: bytes) -> Interpreter:
    interpreter = Interpreter(model_content=model, num_threads=1, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    return interpreter


def test_every_int8_weight_is_the_integer_that_was_trained(rounded, tuned):
    interpreter = tensors_of(tuned[1])
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    seen = set()
    for layer in quantized_layers(read_operators(tuned[1])):
        if not layer.has_weights:
            continue
        module = rounded.get_submodule(layer.layer)
        weight = module.baked_weight().detach().numpy()
        scale = np.abs(weight).reshape(len(weight), -1).max(axis=1).reshape(-1, *[1] * (weight.ndim - 1)) / 127
        expected = np.rint(weight / np.maximum(scale, 1e-12)).astype(np.int8)
        expected = expected.transpose(0, 2, 3, 1) if expected.ndim == 4 else expected
        assert details[layer.inputs[1]]["dtype"] == np.int8
        np.testing.assert_array_equal(interpreter.get_tensor(layer.inputs[1]), expected, err_msg=layer.layer)
        seen.add(layer.layer)
    assert len(seen) == 12


def test_every_int8_activation_has_the_range_that_was_learnt(rounded, tuned):
    learnt = dict(activation_ranges(rounded.body))
    details = {detail["index"]: detail for detail in tensors_of(tuned[1]).get_tensor_details()}
    grids = {
        operator.layer.removeprefix("body."): details[operator.outputs[0]]["quantization"]
        for operator in read_operators(tuned[1])
        if operator.is_int8 and details[operator.outputs[0]]["dtype"] == np.int8 and operator.kind != "PAD"
    }
    assert set(grids) == set(learnt)
    for layer, (scale, zero_point) in grids.items():
        ours = activation_grid(learnt[layer].low, learnt[layer].high)
        assert scale == pytest.approx(float(ours[0]), rel=1e-6), layer
        assert zero_point == int(ours[1]), layer


def test_the_int8_model_says_what_the_rounded_student_says(rounded, tuned):
    clips = synthesized_clips(13, seed=21)[1:]
    with torch.no_grad():
        expected = rounded(torch.from_numpy(clips)).embedding.numpy()
    embeddings = tflite_outputs(tuned[1], clips)["embedding"]
    # not equal: float16 constants of the front end move a value in a hundred by one step, and that spreads
    assert cosines(embeddings, expected).min() > 0.999


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.0, 6.0), (-6.4087, 5.5634), (-1e-7, 1e-7)])
def test_activations_are_rounded_on_the_quantizers_own_grid(low, high):
    scale, zero = activation_grid(torch.tensor(low), torch.tensor(high))
    bounds = np.array([low]), np.array([high])
    theirs = tensor_zp_scale_from_min_max(*bounds, 8, False, QuantGranularity.TENSORWISE)
    assert float(scale) == pytest.approx(theirs[1][0], rel=1e-6)
    assert int(zero) == int(theirs[0][0])


def test_a_checkpoint_without_learnt_ranges_is_calibrated(world):
    checkpoint = load_checkpoint(world.checkpoint)
    assert with_learnt_ranges({"t": {}}, learnt_ranges(checkpoint), b"") == {"t": {}}
    assert "activation_ranges.stem" not in checkpoint.model_state
