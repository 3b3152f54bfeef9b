import numpy as np
import pytest

from quantize.activation_ranges import calibrated_ranges
from quantize.apply_recipe import apply_recipe
from quantize.fallback import bad_blocks, block_of, quantize_with_fallback
from quantize.layer_errors import Effect, LayerError, OutputError, layer_errors
from quantize.operators import count_partitions
from quantize.recipe import Fallback, read_recipe
from quantize.synthesized_clips import synthesized_clips
from quantize.tflite_graph import layer_path, quantized_layers, read_operators

WITHIN, BETWEEN = "body.blocks.3.expand", "body.blocks.3.project"  # whose outputs stay in their block, and leave it
BLOCK = {WITHIN, BETWEEN}
LIMITS = Fallback(min_cosine_p1_alone=0.7, max_cough_logit_error_alone=1e9, max_layers=3, max_mac_share=0.5)


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    return synthesized_clips(7, seed=3)[1:]


@pytest.fixture(scope="module")
def narrowed(world, float_model, clips):
    """Makes a float model, a recipe, and ranges of which one layer's is far too narrow."""
    model = float_model.read_bytes()
    recipe = read_recipe(world.recipe).model_copy(update={"fallback": LIMITS})
    ranges = calibrated_ranges(model, recipe, clips)

    def narrow(layer: str):
        (name,) = (its.output for its in read_operators(model) if its.layer == layer and its.has_weights)
        return model, recipe, {**ranges, name: {key: 0.02 * value for key, value in ranges[name].items()}}

    return narrow


@pytest.fixture(scope="module")
def fallen_back(narrowed, clips):
    return quantize_with_fallback(*narrowed(WITHIN), clips)


def test_a_block_that_cannot_hold_its_values_comes_first_and_falls_back_whole(fallen_back):
    one, two, *others = fallen_back.errors
    assert {one.layer, two.layer} == BLOCK
    assert one.alone.embedding_cosine_p1 < 0.7 < min(its.alone.embedding_cosine_p1 for its in others)
    assert next(its for its in fallen_back.errors if its.layer == WITHIN).output.sqnr_db < 3
    assert max(its.output.sqnr_db for its in others) > 15
    (trial,) = fallen_back.trials
    assert trial.is_kept and set(trial.layers) == set(fallen_back.fallback) == BLOCK
    assert (
        one.spared.embedding_cosine_p1
        < 0.7
        < trial.effect.embedding_cosine_p1
        == fallen_back.effect.embedding_cosine_p1
    )


def test_a_block_that_is_no_better_in_float_stays_in_int8(narrowed, clips):
    model, recipe, ranges = narrowed(BETWEEN)
    kept = quantize_with_fallback(model, recipe, ranges, clips)
    assert [trial.is_kept for trial in kept.trials] == [False] * len(kept.trials) and kept.trials
    assert kept.fallback == [] and kept.recipe == recipe
    assert kept.content == apply_recipe(model, recipe, ranges)


def test_every_quantized_layer_is_measured_once(fallen_back):
    names = [(its.layer, its.operator) for its in fallen_back.errors]
    assert len(names) == len(set(names)) == 14
    assert {("body.blocks.2", "ADD"), ("body.embedding", "FULLY_CONNECTED"), ("body.widen", "CONV_2D")} <= set(names)
    assert 0.1 < sum(its.mac_share for its in fallen_back.errors) < 1


def test_the_layer_that_fell_back_is_float_in_the_model_and_in_its_recipe_and_the_partition_stays_one(fallen_back):
    layers = {its.layer for its in quantized_layers(read_operators(fallen_back.content)) if its.macs}
    assert not layers & BLOCK
    assert len(layers) == 9 + 1  # convolutions left in int8, and the embedding layer
    assert count_partitions(fallen_back.content).is_whole
    exempt = fallen_back.recipe.quantizer[-2:]
    assert {its.algorithm_key for its in exempt} == {"no_quantize"}
    assert {its.comment.partition(":")[0] for its in exempt} == set(fallen_back.fallback)
    assert type(fallen_back.recipe).model_validate_json(fallen_back.recipe.model_dump_json()) == fallen_back.recipe


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


def test_the_blocks_with_a_bad_layer_are_tried_whole_and_the_worst_first():
    limits = Fallback(min_cosine_p1_alone=0.99, max_cough_logit_error_alone=0.5, max_layers=2, max_mac_share=0.25)
    errors = [
        error("body.blocks.0.expand", 0.98),
        error("body.blocks.1.expand", 0.995),
        error("body.blocks.10.expand", 0.9),
        error("body.blocks.10.project", 1.0),
        error("body.widen", 1.0, logit=0.6),
        error("body.embedding", float("nan")),
    ]
    found = [[its.layer for its in block] for block in bad_blocks(errors, limits)]
    assert ["body.blocks.10.expand", "body.blocks.10.project"] in found and ["body.embedding"] in found
    assert found.index(["body.blocks.0.expand"]) < found.index(["body.widen"])
    assert len(found) == 4
    assert bad_blocks([error("body.widen", 0.99, logit=0.5)], limits) == []
    assert [block_of(layer) for layer in ("body.blocks.4", "body.blocks.4.project", "body.widen")] == [
        *("body.blocks.4", "body.blocks.4", "body.widen")
    ]


@pytest.mark.parametrize("limit", [{"max_layers": 1}, {"max_mac_share": 0.001}])
def test_a_block_that_costs_too_much_is_not_tried(narrowed, clips, limit):
    model, recipe, ranges = narrowed(WITHIN)
    few = recipe.model_copy(update={"fallback": LIMITS.model_copy(update=limit)})
    kept = quantize_with_fallback(model, few, ranges, clips[:2])
    assert kept.trials == [] and kept.fallback == [] and kept.recipe == few
