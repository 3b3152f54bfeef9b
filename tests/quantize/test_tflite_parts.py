from pathlib import Path

import numpy as np
import pytest

from benchmarks.arm64.guest import run_part
from core.demonstration import synthesized_clips
from core.errors import InterpreterError
from quantize.tflite_graph import count_partitions, list_operators
from quantize.tflite_parts import BODY_AND_HEADS, FRONT_END, INTEGER_BODY, TO_CODES, student_parts


def run_model(folder: Path, model: bytes, inputs: np.ndarray) -> list[np.ndarray]:
    (folder / "model.tflite").write_bytes(model)
    return list(run_part(folder / "model.tflite", inputs).values())


def test_front_end_and_body_one_after_the_other_are_the_shipped_model_bit_for_bit(default_bundle, tmp_path):
    model, clips = default_bundle.read_model(), synthesized_clips(3)
    parts = student_parts(model, "the model")
    assert set(parts) == {FRONT_END, BODY_AND_HEADS, TO_CODES, INTEGER_BODY}
    (log_mel,) = run_model(tmp_path, parts[FRONT_END], clips)
    for whole, body in zip(
        run_model(tmp_path, model, clips), run_model(tmp_path, parts[BODY_AND_HEADS], log_mel[:, 0]), strict=True
    ):
        np.testing.assert_array_equal(whole, body)


def test_the_integer_body_is_integers_from_end_to_end_and_each_part_is_one_partition(default_bundle, tmp_path):
    parts = student_parts(default_bundle.read_model(), "the model")
    assert {"QUANTIZE", "DEQUANTIZE", "LOG"}.isdisjoint(list_operators(parts[INTEGER_BODY], INTEGER_BODY))
    (codes,) = run_model(tmp_path, parts[TO_CODES], synthesized_clips(2))
    (last,) = run_model(tmp_path, parts[INTEGER_BODY], codes)
    assert codes.dtype == last.dtype == np.int8
    assert last.std() > 1
    assert all(count_partitions(part).is_whole for part in parts.values())


def test_a_model_without_a_front_end_to_cut_off_is_refused(tiny_model):
    with pytest.raises(InterpreterError, match="operators LOG; expected 1"):
        student_parts(tiny_model, "the tiny model")
