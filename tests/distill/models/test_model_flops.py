"""The count of operations, against published figures and against torch's own counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from distill.models.encoder import SIZES, Encoder, EncoderSettings
from distill.models.masked_autoencoder import DECODERS, MaskedAutoencoder, MaskedAutoencoderSettings
from distill.models.model_flops import encoder_macs, pretraining_flops


def counted_flops(forward, *inputs: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        forward(*inputs)
    return counter.get_total_flops()


# GMAC per clip of HeAR's encoder (large) and of the same grid at the smaller sizes.
@pytest.mark.parametrize(("size", "gmacs"), [("tiny", 0.56), ("small", 2.16), ("base", 8.43), ("large", 29.8)])
def test_an_unmasked_encoder_costs_what_is_published(size: str, gmacs: float) -> None:
    settings = SIZES[size].model_copy(update={"pooler_size": 512 if size == "large" else None})
    assert encoder_macs(settings) / 1e9 == pytest.approx(gmacs, abs=0.05 if gmacs > 20 else 0.005)


def test_the_encoders_count_is_that_of_torch() -> None:
    settings = EncoderSettings(width=64, depth=3, heads=2, pooler_size=512)
    with torch.device("meta"):
        assert counted_flops(Encoder(settings), torch.zeros(1, 192, 128)) == 2 * encoder_macs(settings)


@pytest.mark.parametrize("size", ["tiny", "large"])
def test_the_autoencoders_forward_count_is_that_of_torch(size: str) -> None:
    settings = MaskedAutoencoderSettings(size=size)
    with torch.device("meta"):
        autoencoder = MaskedAutoencoder(settings)
        forward = counted_flops(lambda images: autoencoder(images).loss, torch.zeros(1, 192, 128))
    assert autoencoder.training_flops == pretraining_flops(SIZES[size], DECODERS[size], 0.75) == 3 * forward
