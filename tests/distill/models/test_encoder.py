"""The encoder: its sizes, its attention and its embedding."""

import pytest
import torch

from distill.models.encoder import SIZES, Encoder, EncoderSettings


def images(n: int = 2) -> torch.Tensor:
    return torch.rand(n, 192, 128, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("size", "n_parameters"),
    [("tiny", 5_388_288), ("small", 21_393_408), ("base", 85_254_144), ("large", 302_575_616)],
)
def test_each_size_has_the_parameters_of_the_paper(size: str, n_parameters: int) -> None:
    with torch.device("meta"):
        encoder = Encoder(SIZES[size])
    assert sum(parameter.numel() for parameter in encoder.parameters()) == n_parameters


def test_the_embedding_is_three_statistics_over_time_of_each_bands_tokens_without_a_pooler() -> None:
    encoder = Encoder(EncoderSettings(width=32, depth=2, heads=2))
    tokens = encoder.encode(encoder.patch_tokens(images()))
    assert tokens.shape == (2, 97, 32)
    embedding = encoder(images())
    assert embedding.shape == (2, encoder.embedding_size) == (2, 24 * 32)
    for band in range(8):  # patches are time-major, eight bands at each time
        of_band = torch.stack([tokens[:, 1 + 8 * time + band] for time in range(12)])
        expected = (of_band.mean(dim=0), of_band.std(dim=0, correction=0), of_band.amax(dim=0))
        for place, statistic in zip((band, 8 + band, 16 + band), expected, strict=True):
            assert torch.allclose(embedding[:, 32 * place : 32 * (place + 1)], statistic, atol=1e-5)


def test_the_embedding_is_the_pooler_on_the_class_token_where_there_is_one() -> None:
    encoder = Encoder(EncoderSettings(width=32, depth=2, heads=2, pooler_size=512))
    tokens = encoder.encode(encoder.patch_tokens(images()))
    assert encoder.embedding_size == 512
    assert torch.allclose(encoder(images()), encoder.pooler(tokens[:, 0]))


def test_attention_equals_the_formula() -> None:
    block = Encoder(EncoderSettings(width=8, depth=1, heads=2)).blocks[0]
    tokens = torch.randn(1, 5, 8)
    query, key, value = block.query_key_value(tokens).reshape(5, 3, 2, 4).permute(1, 2, 0, 3)
    weights = (query @ key.transpose(1, 2) / 2.0).softmax(dim=-1)
    assert torch.allclose(block._attend(tokens)[0], (weights @ value).transpose(0, 1).reshape(5, 8), atol=1e-6)
