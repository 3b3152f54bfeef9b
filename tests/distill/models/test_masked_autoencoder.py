"""The masked autoencoder: what the loss does and does not see, and what a clip costs."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from distill.models.encoder import SIZES, Encoder, EncoderSettings
from distill.models.masked_autoencoder import (
    DECODERS,
    MaskedAutoencoder,
    MaskedAutoencoderSettings,
    encoder_macs,
    normalize_patches,
    pretraining_flops,
    removed_patch_loss,
)
from distill.models.patches import patchify, random_masking, unpatchify


def images(n: int = 2) -> torch.Tensor:
    return torch.rand(n, 192, 128, generator=torch.Generator().manual_seed(0))


def test_the_loss_counts_removed_patches_only() -> None:
    targets = patchify(images())
    masked = random_masking(targets, 0.75)
    wrong_where_kept = targets + 5.0 * (1 - masked.mask[..., None])
    wrong_where_removed = targets + 2.0 * masked.mask[..., None]
    assert removed_patch_loss(wrong_where_kept, targets, masked) == 0.0
    assert removed_patch_loss(wrong_where_removed, targets, masked).item() == pytest.approx(4.0, rel=1e-5)


def test_the_encoder_does_not_see_removed_patches() -> None:
    autoencoder = MaskedAutoencoder(MaskedAutoencoderSettings(normalize_targets=False)).eval()
    first = autoencoder(images(1), torch.Generator().manual_seed(5))
    changed = unpatchify(patchify(images(1)) + 3.0 * first.mask[..., None])
    second = autoencoder(changed, torch.Generator().manual_seed(5))
    assert torch.equal(first.mask, second.mask)
    assert torch.equal(first.predicted, second.predicted)
    assert second.loss > first.loss


def test_another_image_can_be_wanted_than_the_one_that_is_seen() -> None:
    autoencoder = MaskedAutoencoder(MaskedAutoencoderSettings(normalize_targets=False)).eval()
    seen, wanted = images(2), images(2).flip(1)
    found = autoencoder(seen, torch.Generator().manual_seed(5), wanted)
    itself = autoencoder(seen, torch.Generator().manual_seed(5))
    assert torch.equal(found.predicted, itself.predicted)
    errors = (found.predicted - patchify(wanted)).square().mean(dim=-1)
    assert found.loss.item() == pytest.approx(errors[found.mask.bool()].mean().item(), rel=1e-5)


def test_normalized_targets_have_mean_zero_and_variance_one() -> None:
    normal = normalize_patches(3.0 * patchify(images()) + 1.0)
    assert torch.allclose(normal.mean(dim=-1), torch.zeros(2, 96), atol=1e-5)
    assert torch.allclose(normal.var(dim=-1), torch.ones(2, 96), atol=1e-3)


def test_a_constant_patch_gives_finite_targets() -> None:
    assert torch.equal(normalize_patches(torch.full((1, 1, 256), 2.0)), torch.zeros(1, 1, 256))


@pytest.mark.parametrize("normalize", [True, False])
def test_filling_in_perfect_predictions_gives_the_image_back(normalize: bool) -> None:
    autoencoder = MaskedAutoencoder(MaskedAutoencoderSettings(normalize_targets=normalize))
    result = autoencoder(images())
    perfect = result._replace(predicted=autoencoder._targets(images()))
    assert torch.allclose(autoencoder.fill_in(images(), perfect), images(), atol=1e-5)
    removed = patchify(autoencoder.fill_in(images(), result) - images()).abs().amax(dim=-1) > 1e-4
    assert torch.equal(removed, result.mask.bool())


@pytest.mark.long
def test_a_few_steps_lower_the_loss_of_one_batch() -> None:
    torch.manual_seed(0)
    autoencoder = MaskedAutoencoder(MaskedAutoencoderSettings())
    optimizer = torch.optim.AdamW(autoencoder.parameters(), lr=1e-3)
    stripes = torch.sin(torch.arange(192.0) / 3)[None, :, None].expand(2, 192, 128).contiguous()
    losses = []
    for _ in range(12):
        loss = autoencoder(stripes).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_every_parameter_of_the_autoencoder_learns() -> None:
    autoencoder = MaskedAutoencoder(MaskedAutoencoderSettings())
    autoencoder(images()).loss.backward()
    assert [name for name, parameter in autoencoder.named_parameters() if parameter.grad is None] == []


def test_recomputed_activations_give_the_same_loss_and_gradients() -> None:
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        autoencoder = MaskedAutoencoder(MaskedAutoencoderSettings(recompute_activations=recompute))
        loss = autoencoder(images(), torch.Generator().manual_seed(5)).loss
        loss.backward()
        gradients.append([loss.detach(), *(parameter.grad for parameter in autoencoder.parameters())])
    assert all(torch.equal(plain, recomputed) for plain, recomputed in zip(*gradients, strict=True))


def test_recomputing_runs_every_block_again_in_the_backward_pass() -> None:
    autoencoder = MaskedAutoencoder(MaskedAutoencoderSettings(recompute_activations=True))
    calls = []
    for block in [*autoencoder.encoder.blocks, *autoencoder.decoder.blocks]:
        block.register_forward_pre_hook(lambda *_: calls.append(1))
    loss = autoencoder(images()).loss
    assert len(calls) == 14
    loss.backward()
    assert len(calls) == 28


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
