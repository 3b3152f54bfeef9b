"""A run's state: batches in parts, bfloat16, compilation, a GPU, and the time spent waiting for batches."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from distill.checkpoints import load_checkpoint
from distill.models.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderSettings
from distill.training.loop import train
from distill.training.schedule import TrainingSettings
from tests.distill.training.small_run import SETTINGS, batch_at


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))


def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {"loss": (model(batch[0]) - batch[1]).square().mean()}


def run(folder: Path, settings: TrainingSettings = SETTINGS, loss=loss_of, **more) -> Path:
    return train(small_model(), loss, batch_at, settings, folder, provenance={}, **more)


def logged_losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_batch_in_parts_gives_the_weights_of_the_whole_batch(tmp_path: Path) -> None:
    def weights(folder: Path, accumulate_steps: int) -> dict[str, Tensor]:
        settings = SETTINGS.model_copy(update={"accumulate_steps": accumulate_steps})
        return load_checkpoint(run(folder, settings)).model_state

    whole, parts = weights(tmp_path / "whole", 1), weights(tmp_path / "parts", 4)
    assert all(torch.allclose(whole[name], parts[name], atol=1e-6) for name in whole)
    assert logged_losses(tmp_path / "parts") == pytest.approx(logged_losses(tmp_path / "whole"), rel=1e-5)


def test_bfloat16_computes_in_it_and_keeps_the_weights_and_optimizer_in_float32(tmp_path: Path) -> None:
    seen = set()

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        seen.add(model[0](batch[0]).dtype)
        return loss_of(model, batch)

    settings = SETTINGS.model_copy(update={"precision": "bfloat16", "steps": 300, "learning_rate": 0.05})
    run(tmp_path, settings, loss)
    assert seen == {torch.bfloat16}
    latest = load_checkpoint(tmp_path / "latest.pt")
    moments = [value for state in latest.training_state["optimizer"]["state"].values() for value in state.values()]
    weights = [value for value in latest.model_state.values() if value.is_floating_point()]
    assert {value.dtype for value in weights + moments} == {torch.float32}
    losses = logged_losses(tmp_path)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
def test_a_compiled_model_learns_the_same_and_is_saved_under_the_same_names(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs g++ on a CPU")
    settings = SETTINGS.model_copy(update={"compile": True})
    compiled = small_model()
    ours = load_checkpoint(train(compiled, loss_of, batch_at, settings, tmp_path / "a", provenance={})).model_state
    theirs = load_checkpoint(run(tmp_path / "b")).model_state
    assert compiled._compiled_call_impl is not None
    assert list(ours) == list(theirs)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in theirs)


@pytest.mark.slow
def test_a_compiled_autoencoder_learns_under_the_same_masks_and_takes_other_batch_sizes(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs g++ on a CPU")
    settings = SETTINGS.model_copy(update={"steps": 5, "batch_size": 4, "log_every_steps": 1})

    def validation_loss(step: int, model: nn.Module) -> dict[str, float]:
        images = torch.rand(2, 192, 128, generator=torch.Generator().manual_seed(9))
        return {"validation_loss": model(images, torch.Generator().manual_seed(1)).loss.item()}

    def records(compiled: bool) -> list[dict[str, float]]:
        torch.manual_seed(0)
        model = MaskedAutoencoder(MaskedAutoencoderSettings(recompute_activations=compiled))
        train(
            model,
            lambda module, images: {"loss": module(images).loss},
            lambda step: torch.rand(4, 192, 128, generator=torch.Generator().manual_seed(step)),
            settings.model_copy(update={"compile": compiled}),
            tmp_path / str(compiled),
            on_checkpoint=validation_loss,
            provenance={},
        )
        assert all((block._compiled_call_impl is not None) == compiled for block in model.encoder.blocks)
        lines = (tmp_path / str(compiled) / "log.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(line).items() if "loss" in k} for line in lines]

    plain = records(False)
    assert [pytest.approx(record, rel=1e-3) for record in plain] == records(True)
    assert "validation_loss" in plain[-1]


@pytest.mark.gpu
def test_a_run_on_a_gpu_stopped_and_resumed_equals_an_unbroken_one(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")

    def on_gpu(folder: Path, limit_s: float | None = None) -> Path:
        model = nn.Sequential(small_model(), nn.Dropout(0.2)).cuda()
        return train(model, loss_of, batch_at, SETTINGS, folder, provenance={}, time_limit_s=limit_s)

    whole = load_checkpoint(on_gpu(tmp_path / "whole")).model_state
    on_gpu(tmp_path / "broken", limit_s=1e-9)
    assert load_checkpoint(tmp_path / "broken" / "latest.pt").training_state["step"] == 1
    broken = load_checkpoint(on_gpu(tmp_path / "broken")).model_state
    assert all(torch.equal(broken[name], whole[name]) for name in whole)
