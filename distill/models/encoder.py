"""The teacher's encoder: a plain Vision Transformer over the patches of a clip's image."""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from distill.models.patches import GRID_SHAPE, PATCH_VALUES, patchify, positions
from distill.settings import Settings

LAYER_NORM_EPS = 1e-6
MLP_RATIO = 4


class EncoderSettings(Settings):
    """Shape of a Transformer; `pooler_size` is HeAR's linear layer on the class token, None for our own encoders."""

    width: int = Field(gt=0)
    depth: int = Field(gt=0)
    heads: int = Field(gt=0)
    pooler_size: int | None = None


SIZES = {
    "tiny": EncoderSettings(width=192, depth=12, heads=3),
    "small": EncoderSettings(width=384, depth=12, heads=6),
    "base": EncoderSettings(width=768, depth=12, heads=12),
    "large": EncoderSettings(width=1024, depth=24, heads=16),
}


class Block(nn.Module):
    """Pre-norm self-attention and MLP, both with a residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_output = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp_in = nn.Linear(width, MLP_RATIO * width)
        self.mlp_out = nn.Linear(MLP_RATIO * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, n_tokens, width) to the same shape."""
        tokens = tokens + self.attention_output(self._attend(self.attention_norm(tokens)))
        # HeAR's configuration says gelu_fast, which is the tanh approximation.
        hidden = F.gelu(self.mlp_in(self.mlp_norm(tokens)), approximate="tanh")
        return tokens + self.mlp_out(hidden)

    def _attend(self, tokens: Tensor) -> Tensor:
        batch, n_tokens, width = tokens.shape
        projected = self.query_key_value(tokens).reshape(batch, n_tokens, 3, self.heads, width // self.heads)
        query, key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(query, key, value)
        return attended.transpose(1, 2).reshape(batch, n_tokens, width)


class Encoder(nn.Module):
    """Tokens of a clip: a class token and the patches that are given to it.

    ``positions`` (97, width) is a buffer, zero for the class token; HeAR's learnt positions fit into it.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        width = settings.width
        self.settings = settings
        self.recompute = False
        self.patch_projection = nn.Linear(PATCH_VALUES, width)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.register_buffer("positions", torch.cat([torch.zeros(1, width), positions(width)]))
        self.blocks = nn.ModuleList(Block(width, settings.heads) for _ in range(settings.depth))
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.pooler = nn.Linear(width, settings.pooler_size) if settings.pooler_size else None
        nn.init.normal_(self.class_token, std=0.02)
        self.apply(initialize)

    @property
    def embedding_size(self) -> int:
        return self.settings.pooler_size or 3 * GRID_SHAPE[1] * self.settings.width

    def patch_tokens(self, images: Tensor) -> Tensor:
        """Project images (batch, 192, 128) to tokens with their positions, shape (batch, 96, width)."""
        return self.patch_projection(patchify(images)) + self.positions[1:]

    def encode(self, patch_tokens: Tensor) -> Tensor:
        """Map any subset of patch tokens (batch, n, width) to (batch, 1 + n, width), the class token first."""
        class_token = (self.class_token + self.positions[:1]).expand(len(patch_tokens), -1, -1)
        tokens = torch.cat([class_token, patch_tokens], dim=1)
        return self.norm(apply_blocks(self.blocks, tokens, self.recompute))

    def forward(self, images: Tensor) -> Tensor:
        """Embed images (batch, 192, 128), shape (batch, embedding_size).

        With a pooler (HeAR) its output on the class token. Without one, statistics of the patch tokens after the last
        norm: their mean over time in each of the 8 mel bands, lowest first, then their standard deviation and their
        maximum. The floor that an embedding has to beat takes the same statistics (`LogMelStatistics`). A masked
        autoencoder trains its class token for nothing. A mean over the bands as well would lose what tells a breath
        from speech (M2D keeps them too, Niizumi et al. 2022, arXiv:2210.14648). The maximum finds a short sound in a
        long clip.
        """
        tokens = self.encode(self.patch_tokens(images))
        if self.pooler is not None:
            return self.pooler(tokens[:, 0])
        grid = tokens[:, 1:].unflatten(1, GRID_SHAPE)
        mean = grid.mean(dim=1, keepdim=True)
        deviation = (grid - mean).square().mean(dim=1).sqrt()
        return torch.cat([statistic.flatten(1) for statistic in (mean, deviation, grid.amax(dim=1))], dim=1)


def apply_blocks(blocks: nn.ModuleList, tokens: Tensor, recompute: bool) -> Tensor:
    """Pass tokens (batch, n_tokens, width) through the blocks.

    With `recompute`, only the blocks' inputs are kept for the backward pass, which computes the rest again: one more
    forward pass, for less memory. Nothing in a block is random, so that the gradients are the same.
    """
    for block in blocks:
        if recompute and torch.is_grad_enabled():
            tokens = checkpoint(block, tokens, use_reentrant=False, preserve_rng_state=False)
        else:
            tokens = block(tokens)
    return tokens


def initialize(module: nn.Module) -> None:
    """Set a linear layer's weights to Xavier's uniform and its bias to zero, as He et al. 2022 do."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
