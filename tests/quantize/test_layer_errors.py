import pytest

from core.demonstration import synthesized_clips
from quantize.apply_recipe import apply_recipe, calibrated_ranges
from quantize.layer_errors import FloatRun, layer_errors
from quantize.recipe import read_recipe
from quantize.tflite_graph import layer_path, quantized_layers, read_operators


@pytest.mark.long
def test_good_ranges_make_every_layer_nearly_harmless(world, float_model):
    clips = synthesized_clips(7, seed=3)[1:]
    model, recipe = float_model.read_bytes(), read_recipe(world.recipe)
    ranges = calibrated_ranges(model, recipe.model_copy(update={"range_percentile": 100}), clips)
    content = apply_recipe(model, recipe, ranges)
    errors = layer_errors(FloatRun.of(model, clips[:3]), content, recipe, ranges)
    assert min(error.alone.embedding_cosine_p1 for error in errors) > 0.99
    assert min(error.output.cosine for error in errors) > 0.98
    layers = quantized_layers(read_operators(content))
    assert {layer_path(layer.output) for layer in layers} == {error.layer for error in errors}
