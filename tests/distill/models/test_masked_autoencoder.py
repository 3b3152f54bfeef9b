"""Patches, encoder and masked autoencoder: shapes, counts, and what the loss does and does not see."""

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
        its = torch.stack([tokens[:, 1 + 8 * time + band] for time in range(12)])
        expected = (its.mean(dim=0), its.std(dim=0, correction=0), its.amax(dim=0))
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
