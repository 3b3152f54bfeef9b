"""A run over two processes, started by torchrun as on a machine with two GPUs, against the same run in one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import SettingsError
from distill import processes
from distill.checkpoints import load_checkpoint
from distill.manifests import ManifestRow, write_manifest
from distill.processes import agreed, check_shares, mean_over_processes, n_processes, process_index

ROOT = Path(__file__).parents[2]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")

# A model without zero gradients, which Adam would turn into rounding noise as large as the learning rate.
SMALL_RUN = """
import os, signal, sys
from pathlib import Path
import torch
from torch import nn
from distill.processes import joined, n_processes, process_index
from distill.training import train
from distill.training_settings import TrainingSettings

def batch_at(step):
    inputs = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
    share = 8 // n_processes()
    inputs = inputs[process_index() * share : (process_index() + 1) * share]
    return inputs, inputs.sum(1, keepdim=True)

taken = []

def loss_of(model, batch):
    taken.append(1)
    if "stop" in sys.argv and len(taken) == 7 and process_index() == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    noise = 0.1 * torch.rand(len(batch[0]), 20)[:, :6]
    return {"loss": (model(batch[0] + noise) - batch[1]).square().mean()}

settings = TrainingSettings(steps=20, batch_size=8, accumulate_steps=int(sys.argv[2]), learning_rate=0.01,
    warmup_steps=4, checkpoint_every_steps=5, log_every_steps=3, seed=1, threads=1, ema_decay=0.9)
with joined():
    torch.manual_seed(process_index())
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
    if process_index() == 0:
        torch.manual_seed(0)
        nn.init.normal_(model[0].weight)
    limit_s = 1e-9 if "limit" in sys.argv else None
    train(model, loss_of, batch_at, settings, Path(sys.argv[1]), provenance={}, draws_per_clip=20, time_limit_s=limit_s)
"""


def run(*command: str | Path | int, succeeds: bool = True) -> None:
    result = subprocess.run(
        [str(part) for part in command], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert (result.returncode == 0) == succeeds, result.stderr[-3000:]


def losses(folder: Path) -> list[float]:
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records if "loss" in record]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "final.pt").model_state


def test_alone_a_process_is_the_first_of_one_and_agrees_with_itself() -> None:
    assert (n_processes(), process_index(), agreed(3, 0.5)) == (1, 0, [3, 0.5])
    assert mean_over_processes(torch.tensor([2.0])).tolist() == [2.0]


def test_a_batch_that_the_processes_cannot_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "n_processes", lambda: 3)
    check_shares(12, 2)
    with pytest.raises(SettingsError, match=r"batch_size of 8 cannot be shared by 3 processes .* a multiple of 6"):
        check_shares(8, 2)


@pytest.mark.slow
@pytest.mark.parametrize("accumulate_steps", [1, 2])
def test_two_processes_give_the_weights_of_one_with_the_same_batch(tmp_path: Path, accumulate_steps: int) -> None:
    script = tmp_path / "small_run.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + SMALL_RUN)
    run(sys.executable, script, tmp_path / "one", 1)
    run(*TORCHRUN, script, tmp_path / "two", accumulate_steps)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("end", "step"), [("limit", 1), ("stop", 7)])
def test_two_processes_end_at_the_same_step_and_go_on_to_the_same_end(tmp_path: Path, end: str, step: int) -> None:
    script = tmp_path / "small_run.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + SMALL_RUN)
    run(*TORCHRUN, script, tmp_path / "whole", 1)
    run(*TORCHRUN, script, tmp_path / "parts", 1, end, succeeds=end == "limit")
    assert load_checkpoint(tmp_path / "parts" / "latest.pt").training_state["step"] == step
    run(*TORCHRUN, script, tmp_path / "parts", 1)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.slow
def test_pretraining_over_two_processes_sees_the_clips_and_masks_of_one(tmp_path: Path) -> None:
    rows = [
        ManifestRow(f"pack/{i}.wav", "pack", f"s{i}", f"p{i}", 3.0, (), None, "CC0", role, False)
        for i, role in enumerate(("train", "train", "validation"))
    ]
    noise = np.random.default_rng(0).normal(0, 3000, len(rows) * 48_000).astype(np.int16)
    (tmp_path / "store").mkdir()
    noise.tofile(tmp_path / "store" / "waveforms.i16")
    np.save(tmp_path / "store" / "offsets.npy", np.arange(len(rows) + 1) * 48_000)
    write_manifest(rows, tmp_path / "store" / "manifest.csv")
    settings = [
        "steps=3",
        "batch_size=4",
        "warmup_steps=1",
        "log_every_steps=1",
        "checkpoint_every_steps=3",
        "threads=1",
    ]
    arguments = ["--config", ROOT / "distill" / "configs" / "pretrain_tiny.toml", "--store", tmp_path / "store"]
    arguments += [f"training.{setting}" for setting in settings]
    run(sys.executable, "-m", "distill.pretrain", *arguments, "--out", tmp_path / "one")
    run(*TORCHRUN, "-m", "distill.pretrain", *arguments, "--out", tmp_path / "two")
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
