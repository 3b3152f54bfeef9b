"""Masks and mixtures of features."""

import torch

from distill.corpus.labels import EVENT_LABELS
from distill.distillation.augmentation import AugmentationSettings, masked, mixed
from distill.distillation.soundscapes import Batch


def batch_of(n_clips: int) -> Batch:
    events = torch.rand(n_clips, len(EVENT_LABELS))
    weights = (torch.rand(n_clips, len(EVENT_LABELS)) > 0.3).float()
    return Batch(
        torch.zeros(n_clips, 32_000),
        events,
        weights,
        torch.rand(n_clips, 50),
        torch.ones(n_clips),
        torch.rand(n_clips, 3),
        torch.ones(n_clips),
    )


def test_masks_are_stripes_of_the_clips_mean_no_wider_than_is_set() -> None:
    torch.manual_seed(0)
    features = torch.randn(64, 1, 100, 48)
    settings = AugmentationSettings(mask_probability=1.0, n_masks=1, max_masked_frames=6, max_masked_bands=5)
    hidden = (masked(features, settings) != features)[:, 0]
    frames, bands = hidden.all(dim=2), hidden.all(dim=1)
    assert (hidden == (frames[:, :, None] | bands[:, None, :])).all()
    assert frames.sum(dim=1).max() == 6 and bands.sum(dim=1).max() == 5
    means = features.mean(dim=(2, 3))[:, 0]
    ours = masked(features, settings)[:, 0]
    changed = ours != features[:, 0]
    assert torch.allclose(ours[changed], means[:, None, None].expand_as(ours)[changed])


def test_a_clip_that_is_not_chosen_is_not_masked() -> None:
    features = torch.randn(8, 1, 100, 48)
    assert torch.equal(masked(features, AugmentationSettings()), features)


def test_mixed_clips_have_mixed_targets_and_what_one_does_not_know_is_unknown() -> None:
    torch.manual_seed(1)
    batch, features = batch_of(256), torch.arange(256.0).reshape(256, 1, 1, 1).expand(256, 1, 4, 4).contiguous()
    mixture, targets = mixed(features, batch, AugmentationSettings(mix_probability=0.5, max_mixed_share=0.4))
    is_mixed = (mixture != features).flatten(1).any(dim=1)
    assert 90 < is_mixed.sum() < 166
    assert torch.equal(targets.events[~is_mixed], batch.events[~is_mixed])
    assert torch.equal(targets.event_weights[~is_mixed], batch.event_weights[~is_mixed])
    assert (targets.event_weights <= batch.event_weights).all()
    assert targets.event_weights[is_mixed].mean() < batch.event_weights[is_mixed].mean() - 0.1
    one = int(torch.nonzero(is_mixed)[0])
    share = (targets.events[one, 0] - batch.events[one, 0]) / (batch.events[:, 0] - batch.events[one, 0])
    fits = torch.isclose(batch.events[one] * (1 - share[:, None]) + batch.events * share[:, None], targets.events[one])
    other = torch.nonzero(fits.all(dim=1) & (torch.arange(256) != one)).flatten().tolist()
    assert len(other) == 1 and 0 < share[other[0]] <= 0.4
    assert torch.isclose(mixture[one, 0, 0, 0], (1 - share[other[0]]) * one + share[other[0]] * other[0])
