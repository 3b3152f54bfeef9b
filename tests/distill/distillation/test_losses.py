"""Distillation losses: what they do not see, and their values worked out by hand."""

import numpy as np
import pytest
import torch

from distill.distillation.losses import embedding_regression, relational, weighted_bce


def test_weighted_bce_ignores_what_is_unknown():
    logits, targets = torch.tensor([[2.0, -9.0]]), torch.tensor([[1.0, 1.0]])
    known = weighted_bce(logits, targets, torch.tensor([[1.0, 0.0]]))
    assert known == pytest.approx(float(np.log1p(np.exp(-2.0))), abs=1e-6)
    assert weighted_bce(logits, targets, torch.zeros(1, 2)) == 0


def test_regression_is_zero_for_the_teachers_direction_and_two_for_the_opposite():
    teacher = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    assert embedding_regression(3 * teacher, teacher, torch.ones(5)) == pytest.approx(0, abs=1e-6)
    assert embedding_regression(-teacher, teacher, torch.ones(5)) == pytest.approx(2, abs=1e-6)


def test_relational_loss_does_not_see_a_rotation():
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(9, 6, generator=generator)
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator))
    assert relational(teacher @ rotation, teacher, torch.ones(9)) == pytest.approx(0, abs=1e-6)
    assert relational(torch.randn(9, 6, generator=generator), teacher, torch.ones(9)) > 0.05
