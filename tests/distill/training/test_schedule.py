"""The settings of the training loop and its schedules."""

import pytest

from distill.training.schedule import TrainingSettings, ema_decay_at, learning_rate_at
from tests.distill.training.small_run import SETTINGS


def test_the_learning_rate_warms_up_linearly_and_falls_to_zero_as_a_cosine() -> None:
    rates = [learning_rate_at(step, SETTINGS) for step in range(21)]
    assert rates[:5] == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01])
    assert rates[12] == pytest.approx(0.005)
    assert rates[20] == pytest.approx(0.0)


def test_the_average_forgets_the_start_and_then_keeps_its_decay() -> None:
    assert ema_decay_at(0, 0.999) == pytest.approx(0.1)
    assert ema_decay_at(10_000_000, 0.999) == 0.999


def test_a_batch_that_cannot_be_cut_into_equal_parts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"3 equal parts \(accumulate_steps\), not 8"):
        TrainingSettings(**{**SETTINGS.model_dump(), "accumulate_steps": 3})
