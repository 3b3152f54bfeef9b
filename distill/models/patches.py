"""The patches of an image: cutting, putting together, positions and random masking."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from distill.models.hear_front_end import IMAGE_SHAPE

PATCH_SIZE = 16
GRID_SHAPE = (IMAGE_SHAPE[0] // PATCH_SIZE, IMAGE_SHAPE[1] // PATCH_SIZE)
N_PATCHES = GRID_SHAPE[0] * GRID_SHAPE[1]
PATCH_VALUES = PATCH_SIZE * PATCH_SIZE
POSITION_BASE = 10_000.0


class Masked(NamedTuple):
    """A random subset of each clip's patches.

    ``kept`` (batch, n_kept, size); ``mask`` (batch, n_patches), 1 = removed, 0 = kept; ``ids_restore``
    (batch, n_patches), which undoes the shuffle of kept patches followed by removed ones.
    """

    kept: Tensor
    mask: Tensor
    ids_restore: Tensor


def patchify(images: Tensor) -> Tensor:
    """Cut images (batch, 192, 128) into patches (batch, 96, 256), time-major, each patch row by row."""
    n_time, n_mel = GRID_SHAPE
    tiles = images.reshape(-1, n_time, PATCH_SIZE, n_mel, PATCH_SIZE)
    return tiles.transpose(2, 3).reshape(-1, N_PATCHES, PATCH_VALUES)


def unpatchify(patches: Tensor) -> Tensor:
    """Put patches (batch, 96, 256) together to images (batch, 192, 128); undoes `patchify`."""
    n_time, n_mel = GRID_SHAPE
    tiles = patches.reshape(-1, n_time, n_mel, PATCH_SIZE, PATCH_SIZE)
    return tiles.transpose(2, 3).reshape(-1, *IMAGE_SHAPE)


def positions(width: int) -> Tensor:
    """Fixed sine-cosine positions, shape (96, width), float32.

    The first half of a vector encodes the time index, the second half the mel index. Each is sines, then cosines, of
    geometric frequencies (Vaswani et al. 2017, in two dimensions as in He et al. 2022).
    """
    if width % 4:
        raise ValueError(f"the width must be a multiple of 4 for two-dimensional positions, not {width}")
    frequencies = POSITION_BASE ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    time, mel = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in GRID_SHAPE), indexing="ij")
    angles = [index.reshape(-1, 1) * frequencies for index in (time, mel)]
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1).float()


def random_masking(patches: Tensor, mask_ratio: float, generator: Generator | None = None) -> Masked:
    """Keep a random subset of each clip's patches.

    Parameters
    ----------
    patches : Tensor, shape (batch, n_patches, size)
    mask_ratio : float in [0, 1)
        Fraction removed; HeAR and He et al. 2022 (arXiv:2111.06377, section 3) use 0.75.
    generator : None draws from torch's global generator.

    Raises
    ------
    ValueError
        If `mask_ratio` would keep no patch.
    """
    batch, n_patches, size = patches.shape
    n_kept = round(n_patches * (1.0 - mask_ratio))
    if not 0 < n_kept <= n_patches:
        raise ValueError(f"a mask_ratio of {mask_ratio} keeps {n_kept} of {n_patches} patches")
    noise = torch.rand(batch, n_patches, generator=generator).to(patches.device, non_blocking=True)
    ids_shuffle = noise.argsort(dim=1)
    kept = patches.gather(1, ids_shuffle[:, :n_kept, None].expand(-1, -1, size))
    ids_restore = ids_shuffle.argsort(dim=1)
    return Masked(kept, (ids_restore >= n_kept).to(patches.dtype), ids_restore)
