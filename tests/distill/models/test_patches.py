"""Patches of an image: cut, put together, placed and removed."""

import pytest
import torch

from distill.models.patches import patchify, positions, random_masking, unpatchify


def images(n: int = 2) -> torch.Tensor:
    return torch.rand(n, 192, 128, generator=torch.Generator().manual_seed(0))


def test_unpatchify_undoes_patchify() -> None:
    assert torch.equal(unpatchify(patchify(images())), images())


def test_patches_are_time_major_and_sixteen_by_sixteen() -> None:
    patches = patchify(images())
    assert patches.shape == (2, 96, 256)
    assert torch.equal(patches[1, 9].reshape(16, 16), images()[1, 16:32, 16:32])


def test_positions_are_distinct_and_separate_time_from_mel() -> None:
    table = positions(192).reshape(12, 8, 192)
    assert torch.equal(table[3, 0, :96], table[3, 7, :96])
    assert torch.equal(table[0, 5, 96:], table[11, 5, 96:])
    assert torch.cdist(table.reshape(96, 192), table.reshape(96, 192)).fill_diagonal_(9).min() > 0.1


def test_a_width_that_is_no_multiple_of_four_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        positions(190)


def test_masking_removes_three_quarters_and_ids_restore_undoes_the_shuffle() -> None:
    patches = torch.arange(2 * 96.0).reshape(2, 96, 1)
    masked = random_masking(patches, 0.75, torch.Generator().manual_seed(3))
    assert masked.kept.shape == (2, 24, 1)
    assert masked.mask.sum(dim=1).tolist() == [72, 72]
    assert not torch.equal(masked.mask[0], masked.mask[1])
    padded = torch.cat([masked.kept, torch.full((2, 72, 1), -1.0)], dim=1)
    restored = padded.gather(1, masked.ids_restore[..., None])
    assert torch.equal(restored, torch.where(masked.mask[..., None] == 1, -1.0, patches))


def test_a_mask_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="keeps 0 of 96 patches"):
        random_masking(patchify(images()), 0.999)
