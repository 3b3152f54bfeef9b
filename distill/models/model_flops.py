"""The only place that counts what a clip costs: multiply-accumulates of an encoder, FLOPs of a training step."""

from distill.models.encoder import MLP_RATIO, EncoderSettings
from distill.models.patches import N_PATCHES, PATCH_VALUES

FLOPS_PER_MAC = 2
# Backward takes the gradients of the inputs and of the weights: each costs what the forward pass does.
PASSES_PER_TRAINING_STEP = 3


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

    Forward and backward, as model FLOPs utilization (Chowdhery et al. 2022, arXiv:2204.02311, appendix B) counts them:
    without the front end, and without what is computed twice to save memory.
    """
    n_visible = round(N_PATCHES * (1.0 - mask_ratio))
    macs = encoder_macs(encoder, n_visible) + decoder_macs(decoder, encoder.width, n_visible)
    return FLOPS_PER_MAC * PASSES_PER_TRAINING_STEP * macs
