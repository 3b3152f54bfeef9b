"""The stages of a GPU machine's run, apart from the machine."""

import pytest
import torch

from distill.offline_gpu.stages import principal_components, schedule


def test_components_keep_the_angles_between_crops_and_say_how_much_they_keep() -> None:
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(200, 20, generator=generator)
    plain = latent @ torch.randn(20, 400, generator=generator) + 3
    embeddings = torch.stack([plain, plain + 0.1 * torch.randn(200, 400, generator=generator)])
    components, kept = principal_components(embeddings, torch.device("cpu"))
    assert components.shape == (2, 200, 200)
    assert kept == pytest.approx(1.0, abs=1e-3)
    assert components[0].square().mean().item() == pytest.approx(1.0, rel=1e-4)
    scaled = (plain - plain.mean(0)) / plain.std(0, correction=0)
    ours, theirs = (torch.nn.functional.normalize(x) for x in (components[0], scaled))
    assert torch.allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-3)
    assert torch.cosine_similarity(components[0], components[1]).min() > 0.95


def test_the_schedule_fits_runs_of_every_length() -> None:
    for steps in (4, 60, 3000):
        values = dict(text.split("=") for text in schedule(steps))
        assert 0 < int(values["training.warmup_steps"]) < int(values["training.checkpoint_every_steps"]) * 4
        assert int(values["training.checkpoint_every_steps"]) * 4 >= steps
