"""The masked autoencoder (He et al. 2022, arXiv:2111.06377), which fills in removed patches, and its cost."""

from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from distill.models.encoder import (
    LAYER_NORM_EPS,
    MLP_RATIO,
    SIZES,
    Block,
    Encoder,
    EncoderSettings,
    apply_blocks,
    initialize,
)
from distill.models.patches import N_PATCHES, PATCH_VALUES, Masked, patchify, positions, random_masking, unpatchify
from distill.settings import Settings

TARGET_FLOOR = 1e-6
FLOPS_PER_MAC = 2
# Backward takes the gradients of the inputs and of the weights: each costs what the forward pass does.
PASSES_PER_TRAINING_STEP = 3

# Eight layers as in HeAR. The tiny size, made for training without a GPU, has two narrow ones: the decoder sees four
# times as many tokens as the encoder, and with four layers took as long as its twelve.
DECODERS = {
    "tiny": EncoderSettings(width=128, depth=2, heads=4),
    "small": EncoderSettings(width=256, depth=8, heads=8),
    "base": EncoderSettings(width=512, depth=8, heads=16),
    "large": EncoderSettings(width=512, depth=8, heads=16),
}


class MaskedAutoencoderSettings(Settings):
    """Size of the encoder and its decoder; fraction of patches removed; whether targets are normalized per patch.

    ``recompute_activations`` saves memory for time in training and changes nothing else.
    """

    size: Literal["tiny", "small", "base", "large"] = "tiny"
    mask_ratio: float = Field(default=0.75, gt=0, lt=1)
    normalize_targets: bool = True
    recompute_activations: bool = False


class Reconstruction(NamedTuple):
    """``loss`` (), over removed patches only; ``predicted`` (batch, 96, 256); ``mask`` (batch, 96), 1 = removed."""

    loss: Tensor
    predicted: Tensor
    mask: Tensor


class Decoder(nn.Module):
    """Predict all patches from the tokens of the visible ones."""

    def __init__(self, settings: EncoderSettings, encoder_width: int) -> None:
        super().__init__()
        self.settings = settings
        self.recompute = False
        self.embedding = nn.Linear(encoder_width, settings.width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, settings.width))
        self.register_buffer("positions", positions(settings.width), persistent=False)
        self.blocks = nn.ModuleList(Block(settings.width, settings.heads) for _ in range(settings.depth))
        self.norm = nn.LayerNorm(settings.width, eps=LAYER_NORM_EPS)
        self.prediction = nn.Linear(settings.width, PATCH_VALUES)
        nn.init.normal_(self.mask_token, std=0.02)
        self.apply(initialize)

    def forward(self, encoded: Tensor, ids_restore: Tensor) -> Tensor:
        """Map encoded tokens (batch, 1 + n_kept, encoder_width) to predicted patches (batch, 96, 256)."""
        tokens = self.embedding(encoded)
        class_token, kept = tokens[:, :1], tokens[:, 1:]
        n_removed = ids_restore.shape[1] - kept.shape[1]
        shuffled = torch.cat([kept, self.mask_token.expand(len(kept), n_removed, -1)], dim=1)
        patches = shuffled.gather(1, ids_restore[..., None].expand(-1, -1, shuffled.shape[2])) + self.positions
        tokens = torch.cat([class_token, patches], dim=1)
        tokens = apply_blocks(self.blocks, tokens, self.recompute)
        return self.prediction(self.norm(tokens[:, 1:]))


class MaskedAutoencoder(nn.Module):
    """Learn to fill in the patches that were removed from a clip's image."""

    def __init__(self, settings: MaskedAutoencoderSettings) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = Encoder(SIZES[settings.size])
        self.decoder = Decoder(DECODERS[settings.size], SIZES[settings.size].width)
        self.encoder.recompute = self.decoder.recompute = settings.recompute_activations

    @property
    def training_flops(self) -> int:
        """FLOPs with which it learns from one clip, forward and backward."""
        return pretraining_flops(self.encoder.settings, self.decoder.settings, self.settings.mask_ratio)

    def compile(self, *arguments: Any, **options: Any) -> None:
        """Compile the blocks: one for all of a width, rather than all of them; masks stay what they were."""
        for block in (*self.encoder.blocks, *self.decoder.blocks):
            block.compile(*arguments, **options)

    def forward(
        self, images: Tensor, generator: Generator | None = None, wanted: Tensor | None = None
    ) -> Reconstruction:
        """Reconstruct images (batch, 192, 128); the mask is drawn from `generator`, None for torch's own.

        The removed patches of `wanted` (batch, 192, 128) are what is predicted, those of the images themselves if None.
        """
        masked = random_masking(self.encoder.patch_tokens(images), self.settings.mask_ratio, generator)
        encoded = self.encoder.encode(masked.kept)
        predicted = self.decoder(encoded, masked.ids_restore)
        loss = removed_patch_loss(predicted, self._targets(images if wanted is None else wanted), masked)
        return Reconstruction(loss, predicted, masked.mask)

    def _targets(self, images: Tensor) -> Tensor:
        patches = patchify(images)
        return normalize_patches(patches) if self.settings.normalize_targets else patches

    def fill_in(self, images: Tensor, reconstruction: Reconstruction) -> Tensor:
        """Put the predictions, in the image's own units, in place of the removed patches: (batch, 192, 128).

        Where targets are normalized, the prediction says nothing about a patch's level; the true one is lent to it.
        """
        patches, predicted = patchify(images), reconstruction.predicted
        if self.settings.normalize_targets:
            mean, scale = _mean_and_scale(patches)
            predicted = predicted * scale + mean
        mask = reconstruction.mask[..., None]
        return unpatchify(mask * predicted + (1 - mask) * patches)


def normalize_patches(patches: Tensor) -> Tensor:
    """Shift and scale each patch (…, 256) to mean 0 and variance 1."""
    mean, scale = _mean_and_scale(patches)
    return (patches - mean) / scale


def _mean_and_scale(patches: Tensor) -> tuple[Tensor, Tensor]:
    mean = patches.mean(dim=-1, keepdim=True)
    return mean, (patches.var(dim=-1, keepdim=True) + TARGET_FLOOR).sqrt()


def removed_patch_loss(predicted: Tensor, targets: Tensor, masked: Masked) -> Tensor:
    """Mean squared error over the removed patches; kept ones do not count."""
    errors = (predicted - targets).square().mean(dim=-1)
    return (errors * masked.mask).sum() / masked.mask.sum()


def block_macs(settings: EncoderSettings, n_tokens: int) -> int:
    """Count the multiply-accumulates of all blocks on one clip's tokens; norms and activations are left out."""
    projections = (4 + 2 * MLP_RATIO) * n_tokens * settings.width**2
    attention = 2 * n_tokens**2 * settings.width
    return settings.depth * (projections + attention)


def encoder_macs(settings: EncoderSettings, n_patches: int = N_PATCHES) -> int:
    """Count the multiply-accumulates of an encoder that sees `n_patches` of a clip's 96 patches, and a class token."""
    pooler = settings.width * (settings.pooler_size or 0)
    return N_PATCHES * PATCH_VALUES * settings.width + block_macs(settings, 1 + n_patches) + pooler


def decoder_macs(settings: EncoderSettings, encoder_width: int, n_visible: int) -> int:
    """Count the multiply-accumulates of the decoder, which sees all patches of a clip, `n_visible` of them encoded."""
    embedding = (1 + n_visible) * encoder_width * settings.width
    prediction = N_PATCHES * settings.width * PATCH_VALUES
    return embedding + block_macs(settings, 1 + N_PATCHES) + prediction


def pretraining_flops(encoder: EncoderSettings, decoder: EncoderSettings, mask_ratio: float) -> int:
    """Count the FLOPs with which a masked autoencoder learns from one clip.

    Forward and backward, as model FLOPs utilization counts them (Chowdhery et al. 2022, arXiv:2204.02311, appendix B).
    The front end does not count, nor what is computed twice to save memory.
    """
    n_visible = round(N_PATCHES * (1.0 - mask_ratio))
    macs = encoder_macs(encoder, n_visible) + decoder_macs(decoder, encoder.width, n_visible)
    return FLOPS_PER_MAC * PASSES_PER_TRAINING_STEP * macs
