import numpy as np
import pytest

from core.demonstration import synthesized_clips
from core.errors import DataError
from quantize.apply_recipe import apply_recipe, calibrated_ranges, with_learnt_ranges
from quantize.recipe import read_recipe
from quantize.tflite_graph import layer_path, read_operators


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    return synthesized_clips(9, seed=3)[1:]


def bounds(ranges) -> dict[str, tuple[float, float]]:
    return {name: (float(bound["min"][0]), float(bound["max"][0])) for name, bound in ranges.items()}


def test_the_order_of_the_clips_does_not_matter(world, float_model, clips):
    recipe, model = read_recipe(world.recipe), float_model.read_bytes()
    ours, theirs = (bounds(calibrated_ranges(model, recipe, order)) for order in (clips, clips[::-1]))
    assert ours == theirs and len(ours) > 10


def test_the_full_percentile_is_the_largest_of_all_and_a_lower_one_is_within(world, float_model, clips):
    model, recipe = float_model.read_bytes(), read_recipe(world.recipe)
    whole, part = (
        bounds(calibrated_ranges(model, recipe.model_copy(update={"range_percentile": percentile}), clips))
        for percentile in (100, 75)
    )
    single = [bounds(calibrated_ranges(model, recipe, clips[n : n + 1])) for n in range(len(clips))]
    for name, (low, high) in whole.items():
        assert low == min(ranges[name][0] for ranges in single)
        assert high == max(ranges[name][1] for ranges in single)
        assert low <= part[name][0] and part[name][1] <= high
    assert any(part[name] != whole[name] for name in whole)


def test_learnt_ranges_take_the_place_of_calibrated_ones_and_reach_the_model(world, float_model, clips):
    model, recipe = float_model.read_bytes(), read_recipe(world.recipe)
    calibrated = calibrated_ranges(model, recipe, clips)
    learnt = {"blocks.1.project": (-1.5, 2.25), "blocks.2": (-3.0, 1.0), "widen": (0.0, 5.5), "stem": (0.0, 4.5)}
    ranges = bounds(with_learnt_ranges(calibrated, learnt, model))
    of_layers = {layer_path(name).removeprefix("body."): bound for name, bound in ranges.items()}
    assert {layer: of_layers[layer] for layer in learnt} == learnt
    int8_model = apply_recipe(model, recipe, with_learnt_ranges(calibrated, learnt, model))
    layers = {layer.layer.removeprefix("body.") for layer in read_operators(int8_model) if layer.is_int8}
    assert set(learnt) <= layers


def test_a_learnt_range_of_no_layer_is_refused(world, float_model, clips):
    model = float_model.read_bytes()
    with pytest.raises(DataError, match=r"a learnt range of blocks\.99"):
        with_learnt_ranges({}, {"blocks.99": (0.0, 1.0)}, model)
