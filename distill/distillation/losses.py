"""Computes the distillation losses."""

from torch import Tensor
from torch.nn import functional as F


def weighted_bce(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Binary cross-entropy with soft targets in [0, 1], averaged over the known ones (weight > 0)."""
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses * weights).sum() / weights.sum().clamp(min=1.0)


def embedding_regression(projected: Tensor, teacher: Tensor, weights: Tensor) -> Tensor:
    """One minus the cosine to the centred teacher embedding; both (batch, d), weights (batch,).

    Centring comes first because a component that all clips share dominates the raw cosine.
    """
    distance = 1.0 - F.cosine_similarity(projected, teacher, dim=1)
    return (distance * weights).sum() / weights.sum().clamp(min=1.0)


def relational(embedding: Tensor, teacher: Tensor, weights: Tensor) -> Tensor:
    """Mean squared difference of the clips' similarity matrices (Park et al. 2019, relational distillation).

    ``embedding`` (batch, d_student), ``teacher`` (batch, d_teacher), ``weights`` (batch,); weight 0 leaves a clip out.
    """
    ours, theirs = (_similarities(x) for x in (embedding, teacher))
    pairs = weights[:, None] * weights[None, :]
    return ((ours - theirs) ** 2 * pairs).sum() / pairs.sum().clamp(min=1.0)


def _similarities(embedding: Tensor) -> Tensor:
    centred = F.normalize(embedding - embedding.mean(dim=0, keepdim=True), dim=1)
    return centred @ centred.T
