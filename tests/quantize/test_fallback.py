import numpy as np
import pytest

from core.demonstration import synthesized_clips
from quantize import fallback
from quantize.apply_recipe import apply_recipe, calibrated_ranges
from quantize.fallback import bad_blocks, block_of, quantize_with_fallback
from quantize.layer_errors import Effect, FloatRun, LayerError, LayerOutputError
from quantize.recipe import Fallback, read_recipe
from quantize.tflite_graph import count_partitions, quantized_layers, read_operators

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
        (name,) = (
            operator.output for operator in read_operators(model) if operator.layer == layer and operator.has_weights
        )
        bounds = {key: 0.02 * value for key, value in ranges[name].items()}
        return FloatRun.of(model, clips), recipe, {**ranges, name: bounds}

    return narrow


@pytest.fixture(scope="module")
def fallen_back(narrowed):
    return quantize_with_fallback(*narrowed(WITHIN))


@pytest.mark.long
def test_a_block_that_cannot_hold_its_values_comes_first_and_falls_back_whole(fallen_back):
    one, two, *others = fallen_back.errors
    assert {one.layer, two.layer} == BLOCK
    assert one.alone.embedding_cosine_p1 < 0.7 < min(error.alone.embedding_cosine_p1 for error in others)
    assert next(error for error in fallen_back.errors if error.layer == WITHIN).output.sqnr_db < 3
    assert max(error.output.sqnr_db for error in others) > 15
    (trial,) = fallen_back.fallback.trials
    assert trial.is_kept and set(trial.layers) == set(fallen_back.fallback.layers) == BLOCK
    assert (
        one.spared.embedding_cosine_p1
        < 0.7
        < trial.effect.embedding_cosine_p1
        == fallen_back.fallback.effect.embedding_cosine_p1
    )


@pytest.mark.long
def test_a_block_that_is_no_better_in_float_stays_in_int8(narrowed):
    float_run, recipe, ranges = narrowed(BETWEEN)
    int8 = quantize_with_fallback(float_run, recipe, ranges)
    assert {trial.is_kept for trial in int8.fallback.trials} == {False}
    assert int8.fallback.layers == [] and int8.recipe == recipe
    assert int8.content == apply_recipe(float_run.model, recipe, ranges)


def test_every_quantized_layer_is_measured_once(fallen_back):
    names = [(error.layer, error.operator) for error in fallen_back.errors]
    assert len(names) == len(set(names)) == 14
    assert {("body.blocks.2", "ADD"), ("body.embedding", "FULLY_CONNECTED"), ("body.widen", "CONV_2D")} <= set(names)
    assert 0.1 < sum(error.mac_share for error in fallen_back.errors) < 1


def test_the_layer_that_fell_back_is_float_in_the_model_and_in_its_recipe_and_the_partition_stays_one(fallen_back):
    layers = {layer.layer for layer in quantized_layers(read_operators(fallen_back.content)) if layer.macs}
    assert not layers & BLOCK
    assert len(layers) == 9 + 1  # convolutions left in int8, and the embedding layer
    assert count_partitions(fallen_back.content).is_whole
    exempt = fallen_back.recipe.quantizer[-2:]
    assert {entry.algorithm_key for entry in exempt} == {"no_quantize"}
    assert {entry.comment.partition(":")[0] for entry in exempt} == set(fallen_back.fallback.layers)
    assert type(fallen_back.recipe).model_validate_json(fallen_back.recipe.model_dump_json()) == fallen_back.recipe


def error(layer: str, p1: float, logit: float = 0.0, mac_share: float = 0.1) -> LayerError:
    return LayerError(layer, "CONV_2D", mac_share, LayerOutputError(20, 1, 0), Effect(p1, logit), Effect(1, 0))


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
    blocks = [[error.layer for error in block] for block in bad_blocks(errors, limits)]
    assert ["body.blocks.10.expand", "body.blocks.10.project"] in blocks and ["body.embedding"] in blocks
    assert blocks.index(["body.blocks.0.expand"]) < blocks.index(["body.widen"])
    assert len(blocks) == 4
    assert bad_blocks([error("body.widen", 0.99, logit=0.5)], limits) == []
    assert [block_of(layer) for layer in ("body.blocks.4", "body.blocks.4.project", "body.widen")] == [
        *("body.blocks.4", "body.blocks.4", "body.widen")
    ]


@pytest.mark.parametrize("limit", [{"max_layers": 1}, {"max_mac_share": 0.001}])
def test_a_block_that_costs_too_much_is_not_tried(narrowed, fallen_back, limit, monkeypatch):
    monkeypatch.setattr(fallback, "layer_errors", lambda *_: fallen_back.errors)
    float_run, recipe, ranges = narrowed(WITHIN)
    few = recipe.model_copy(update={"fallback": LIMITS.model_copy(update=limit)})
    int8 = quantize_with_fallback(float_run, few, ranges)
    assert int8.fallback.trials == [] and int8.fallback.layers == [] and int8.recipe == few
