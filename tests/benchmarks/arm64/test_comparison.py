import numpy as np
import pytest

from benchmarks.arm64.comparison import (
    CODES,
    EVENTS,
    FRAMES,
    beyond_limits,
    compare_arrays,
    compare_decisions,
    compare_processors,
    where_identical,
)
from benchmarks.arm64.jobs import INT8, N_CLIPS, N_RANDOM
from core.errors import DataError
from quantize.tflite_parts import FRONT_END, INTEGER_BODY, TO_CODES

COUNTS = {"int8 whole": {"instructions": 8_000_000, "spread": 0.0, "dot_products": 3_000_000}}


def test_a_processor_agrees_with_itself_in_every_bit(default_bundle, job_results):
    comparison = compare_processors(default_bundle, job_results, job_results)
    body = comparison[INTEGER_BODY]
    assert (body["n_identical"], body["n_inputs"]) == (N_CLIPS + N_RANDOM,) * 2
    assert comparison[f"{INT8} on the same codes embedding"]["n_inputs"] == N_CLIPS
    assert comparison[EVENTS] == {"n_values": 8 * N_CLIPS, "n_different": 0}
    assert comparison[FRAMES] == {"n_values": 50 * N_CLIPS, "n_different": 0}
    assert len(comparison) == 3 + 2 * 3 + 2 and all(far["n_different"] == 0 for far in comparison.values())
    assert beyond_limits(comparison, COUNTS) == []


def test_clips_whose_codes_differ_are_left_out_of_the_comparison_on_the_same_codes(default_bundle, job_results):
    other = {name: {key: array.copy() for key, array in outputs.items()} for name, outputs in job_results.items()}
    other[f"{INT8} {TO_CODES}"]["0"][0] += 1
    comparison = compare_processors(default_bundle, job_results, other)
    assert comparison[f"{INT8} on the same codes embedding"]["n_inputs"] == N_CLIPS - 1
    other[f"{INT8} {TO_CODES}"]["0"][1:] += 1
    comparison = compare_processors(default_bundle, job_results, other)
    assert comparison[CODES]["n_identical"] == 0 and f"{INT8} on the same codes embedding" not in comparison


def test_one_wrong_integer_and_flipped_decisions_are_named(default_bundle, job_results):
    other = {name: {key: array.copy() for key, array in outputs.items()} for name, outputs in job_results.items()}
    other[f"{INT8} {INTEGER_BODY}"]["0"].reshape(-1)[7] ^= 1
    other[INT8]["event_logits"] *= -1
    other[f"{INT8} {FRONT_END}"]["0"].reshape(-1)[0] += 0.01
    comparison = compare_processors(default_bundle, job_results, other)
    counts = {"int8 whole": {**COUNTS["int8 whole"], "spread": 0.001}}
    assert [words.split(" is ")[0] for words in beyond_limits(comparison, counts)] == [
        "the integer body's codes that differ",
        "the largest difference of the front end's log-mel",
        "the share of flipped event decisions",
        "the relative spread of an instruction count",
    ]
    body = comparison[INTEGER_BODY]
    assert (body["n_identical"], body["n_inputs"]) == (N_CLIPS + N_RANDOM - 1, N_CLIPS + N_RANDOM)


def test_arrays_are_compared_by_bits_and_by_size_of_the_difference():
    reference = np.array([[1, -4], [0, 2]], np.float32)
    other = np.array([[1, -4], [0, 2.5]], np.float32)
    assert compare_arrays(reference, other) == {
        **{"n_inputs": 2, "n_identical": 1, "n_values": 4, "n_different": 1},
        **{"max_abs": 0.5, "max_relative": 0.125},
    }
    assert where_identical(reference, other).tolist() == [True, False]
    int8 = np.array([[-128, 127]], np.int8)
    assert compare_arrays(int8, int8[:, ::-1])["max_abs"] == 255


def test_arrays_that_cannot_be_compared_are_refused():
    one = np.zeros((2, 3), np.float32)
    for other in (np.zeros((3, 2), np.float32), one.astype(np.float64), np.full((2, 3), np.nan, np.float32)):
        with pytest.raises(DataError, match="cannot be compared"):
            compare_arrays(one, other)


def test_decisions_are_those_of_the_bundles_thresholds(default_bundle):
    threshold = default_bundle.screening.event_thresholds["cough"]
    at = np.log(threshold / (1 - threshold))
    logits = np.full((1, 8), -9.0)
    logits[0, default_bundle.event_labels.index("cough")] = at + 1e-3
    quiet = {"event_logits": np.full((1, 8), -9.0), "activity_logits": np.full((1, 50), -9.0)}
    assert compare_decisions(default_bundle, {**quiet, "event_logits": logits}, quiet)[EVENTS]["n_different"] == 1
    below = {**quiet, "event_logits": logits - 2e-3}
    assert compare_decisions(default_bundle, below, quiet)[EVENTS]["n_different"] == 0
