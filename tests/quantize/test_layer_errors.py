import numpy as np
import pytest

from quantize.activation_ranges import calibrated_ranges
from quantize.fallback import choose_fallback, quantize_with_fallback
from quantize.graph import layer_path, quantized_layers, read_operators
from quantize.layer_errors import Effect, LayerError, OutputError, layer_errors
from quantize.operators import count_partitions
from quantize.recipe import Fallback, read_recipe
from quantize.synthesized_clips import synthesized_clips

NARROWED = "body.blocks.3.project"


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    return synthesized_clips(7, seed=3)[1:]


@pytest.fixture(scope="module")
def narrowed(world, float_model, clips):
    """Float model, recipe, and ranges of which one is far too narrow."""
    model, recipe = float_model.read_bytes(), read_recipe(world.recipe)
    ranges = calibrated_ranges(model, recipe, clips)
    (name,) = (its.output for its in read_operators(model) if its.layer == NARROWED)
    ranges[name] = {key: 0.02 * value for key, value in ranges[name].items()}
    return model, recipe, ranges


@pytest.fixture(scope="module")
def fallen_back(narrowed, clips):
    model, recipe, ranges = narrowed
    limits = Fallback(min_cosine_p1_alone=0.7, max_cough_logit_error_alone=1e9, max_layers=2, max_mac_share=0.5)
    return quantize_with_fallback(model, recipe.model_copy(update={"fallback": limits}), ranges, clips)


def test_the_layer_that_cannot_hold_its_values_comes_first_and_is_the_one_that_falls_back(fallen_back):
    worst, *others = fallen_back.errors
    assert worst.layer == NARROWED
    assert worst.output.sqnr_db < 3 < 15 < max(its.output.sqnr_db for its in others)
    assert worst.alone.embedding_cosine_p1 < 0.7 < min(its.alone.embedding_cosine_p1 for its in others)
    assert [its.layer for its in fallen_back.fallback] == [NARROWED]


def test_every_quantized_layer_is_measured_once(fallen_back, narrowed):
    names = [(its.layer, its.operator) for its in fallen_back.errors]
    assert len(names) == len(set(names)) == 14
    assert {("body.blocks.2", "ADD"), ("body.embedding", "FULLY_CONNECTED"), ("body.widen", "CONV_2D")} <= set(names)
    assert 0.2 < sum(its.mac_share for its in fallen_back.errors) < 0.3  # most of so small a student is its front end


def test_the_layer_that_fell_back_is_float_in_the_model_and_in_its_recipe_and_the_partition_stays_one(fallen_back):
    layers = {its.layer for its in quantized_layers(read_operators(fallen_back.content)) if its.macs}
    assert NARROWED not in {its.layer for its in read_operators(fallen_back.content) if its.is_int8 and its.macs}
    assert len(layers) == 10 + 1  # convolutions left in int8, and the embedding layer
    assert count_partitions(fallen_back.content).is_whole
    exempt = fallen_back.recipe.quantizer[-1]
    assert exempt.algorithm_key == "no_quantize" and exempt.comment.startswith(NARROWED)
    assert type(fallen_back.recipe).model_validate_json(fallen_back.recipe.model_dump_json()) == fallen_back.recipe


def test_without_a_layer_to_spare_the_recipe_stays_as_it_is(narrowed, clips):
    model, recipe, ranges = narrowed
    kept = quantize_with_fallback(model, recipe, ranges, clips[:2])
    assert kept.fallback == [] and kept.recipe == recipe


def test_good_ranges_make_every_layer_nearly_harmless(world, float_model, clips):
    model, recipe = float_model.read_bytes(), read_recipe(world.recipe)
    ranges = calibrated_ranges(model, recipe.model_copy(update={"range_percentile": 100}), clips)
    kept = quantize_with_fallback(model, recipe, ranges, clips[:3])
    errors = layer_errors(model, kept.content, recipe, ranges, clips[:3])
    assert min(its.alone.embedding_cosine_p1 for its in errors) > 0.99
    assert min(its.output.cosine for its in errors) > 0.98
    assert {layer_path(its.output) for its in quantized_layers(read_operators(kept.content))} == {
        its.layer for its in errors
    }


def error(layer: str, p1: float, logit: float = 0.0, mac_share: float = 0.1) -> LayerError:
    return LayerError(layer, "CONV_2D", mac_share, OutputError(20, 1, 0), Effect(p1, logit), Effect(1, 0))


def test_the_worst_layers_fall_back_first_within_the_number_and_the_share():
    limits = Fallback(min_cosine_p1_alone=0.99, max_cough_logit_error_alone=0.5, max_layers=2, max_mac_share=0.25)
    errors = [error("a", 0.98), error("b", 0.995), error("c", 0.9, mac_share=0.3), error("d", 0.97), error("e", 0.989)]
    assert [its.layer for its in choose_fallback(errors, limits)] == ["d", "a"]
    assert [its.layer for its in choose_fallback([error("f", 1.0, logit=0.6), error("g", 1.0)], limits)] == ["f"]
    assert [its.layer for its in choose_fallback([error("h", float("nan"))], limits)] == ["h"]
    assert choose_fallback([error("i", 0.99, logit=0.5)], limits) == []
