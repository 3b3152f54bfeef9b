import numpy as np
import pytest

from core.errors import DataError
from quantize.outputs import check_parity


def outputs(value: float) -> dict[str, np.ndarray]:
    sizes = {"embedding": 512, "event_logits": 8, "activity_logits": 50}
    return {name: np.full((3, size), value, dtype=np.float32) for name, size in sizes.items()}


def test_parity_is_relative_to_the_largest_value():
    report = check_parity(outputs(100.0), outputs(100.05), "model")
    assert report["embedding"] == pytest.approx({"max_abs": 0.05, "max_relative": 0.0005}, rel=1e-3)
    with pytest.raises(DataError, match=r"embedding differs by 0\.002"):
        check_parity(outputs(100.0), outputs(100.2), "model")


def test_parity_refuses_what_is_not_a_number():
    with pytest.raises(DataError, match="nan"):
        check_parity(outputs(1.0), outputs(np.nan), "model")
