"""Masks and mixes the student's features while it learns."""

from typing import NamedTuple, TypeVar

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor

from distill.settings import Settings

BatchTuple = TypeVar("BatchTuple", bound=NamedTuple)


class AugmentationSettings(Settings):
    """SpecAugment (Park et al. 2019, arXiv:1904.08779) and mixup (Zhang et al. 2018, arXiv:1710.09412) of features.

    A masked clip has up to ``n_masks`` stripes of at most ``max_masked_frames`` of its 20-ms frames, and as many of at
    most ``max_masked_bands`` mel bands, set to its mean. A mixed clip is ``1 - share`` of itself and ``share`` of
    another one, targets too; ``share`` is at most ``max_mixed_share``.
    """

    mask_probability: float = Field(default=0.0, ge=0, le=1)
    n_masks: NonNegativeInt = 2
    max_masked_frames: NonNegativeInt = 6
    max_masked_bands: NonNegativeInt = 5
    mix_probability: float = Field(default=0.0, ge=0, le=1)
    max_mixed_share: float = Field(default=0.5, ge=0, le=0.5)


def masked(features: Tensor, settings: AugmentationSettings) -> Tensor:
    """Mask stripes of features (batch, 1, n_frames, n_mels), drawn from torch's generator."""
    n_clips = len(features)
    chosen = torch.rand(n_clips) < settings.mask_probability
    hidden = torch.zeros(features[:, 0].shape, dtype=torch.bool)
    for axis, longest in ((1, settings.max_masked_frames), (2, settings.max_masked_bands)):
        place = torch.arange(hidden.shape[axis])
        for _ in range(settings.n_masks):
            width = torch.randint(longest + 1, (n_clips, 1))
            start = (torch.rand(n_clips, 1) * (hidden.shape[axis] - width)).long()
            stripe = (place >= start) & (place < start + width) & chosen[:, None]
            hidden |= stripe.unsqueeze(3 - axis)
    mean = features.mean(dim=(2, 3), keepdim=True)
    return torch.where(hidden[:, None].to(features.device), mean, features)


def mixed(features: Tensor, batch: BatchTuple, settings: AugmentationSettings) -> tuple[Tensor, BatchTuple]:
    """Mix some clips' features and targets with another's; ``batch.waveform`` stays what it was.

    A target that is unknown in one of the two is unknown in what they make.
    """
    n_clips = len(features)
    share = settings.max_mixed_share * torch.rand(n_clips) * (torch.rand(n_clips) < settings.mix_probability)
    other = torch.randperm(n_clips)

    def mix(values: Tensor) -> Tensor:
        of_clip = share.to(values.device).reshape(-1, *[1] * (values.ndim - 1))
        return (1 - of_clip) * values + of_clip * values[other]

    def known(weights: Tensor) -> Tensor:
        is_mixed = (share > 0).to(weights.device).reshape(-1, *[1] * (weights.ndim - 1))
        return torch.where(is_mixed, torch.minimum(weights, weights[other]), weights)

    targets = {name: mix(getattr(batch, name)) for name in ("events", "activity", "teacher")}
    weights = {name: known(getattr(batch, name)) for name in ("event_weights", "activity_weight", "teacher_weight")}
    return mix(features), batch._replace(**targets, **weights)
