"""A run over two processes, started by torchrun as on a machine with two GPUs, against the same run in one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import SettingsError
from distill.checkpoints import load_checkpoint
from distill.corpus.manifests import ManifestRow, write_manifest
from distill.training import processes
from distill.training.processes import agreed, check_shares, mean_over_processes, n_processes, process_index

ROOT = Path(__file__).parents[3]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")

# A model without zero gradients, which Adam would turn into rounding noise as large as the learning rate; its blocks
# have seven rows, which two processes cannot share equally.
SMALL_RUN = '''
import json, os, signal, socket, sys
from pathlib import Path
import torch
from torch import nn
from distill.training.processes import joined, n_processes, process_index
from distill.training.loop import train
from distill.training.schedule import TrainingSettings

def batch_at(step):
    inputs = torch.randn(8, 7, generator=torch.Generator().manual_seed(step))
    share = 8 // n_processes()
    inputs = inputs[process_index() * share : (process_index() + 1) * share]
    return inputs, inputs.sum(1, keepdim=True)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(7, 7), nn.Tanh()) for _ in range(2))
        self.head = nn.Linear(7, 1)
        self.register_buffer("scale", torch.tensor([2.0]))

    def forward(self, inputs):
        for block in self.blocks:
            inputs = inputs + block(inputs)
        return self.scale * self.head(inputs)

taken, probe = [], torch.ones(1, 7)

def loss_of(model, batch):
    taken.append(1)
    if "stop" in sys.argv and len(taken) == 7 and process_index() == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    noise = 0.1 * torch.rand(len(batch[0]), 20)[:, :7]
    return {"loss": (model(batch[0] + noise) - batch[1]).square().mean()}

def small_run(folder, *words):
    settings = TrainingSettings(steps=20, batch_size=8, accumulate_steps=2 if "parts" in words else 1,
        learning_rate=0.01, warmup_steps=4, checkpoint_every_steps=5, log_every_steps=3, seed=1, threads=1,
        ema_decay=0.9, clip_norm=0.5, sharding="fsdp" if "fsdp" in words else "none",
        precision="bfloat16" if "bfloat16" in words else "float32")
    with joined():
        torch.manual_seed(process_index())
        train(Net(), loss_of, batch_at, settings, Path(folder), provenance={}, draws_per_clip=20,
            time_limit_s=1e-9 if "limit" in words else None,
            on_checkpoint=lambda step, averaged: {"probe": averaged(probe).item()})

def forked(n_processes, *words):
    """Run in new processes that need not import torch again, as torchrun would set them up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    children = []
    for rank in range(n_processes):
        if (child := os.fork()) == 0:
            os.environ |= address | {"WORLD_SIZE": str(n_processes), "RANK": str(rank), "LOCAL_RANK": str(rank)}
            small_run(*words)
            os._exit(0)
        children.append(child)
    if any([os.waitpid(child, 0)[1] for child in children]):
        sys.exit(f"{words} over {n_processes} processes failed")

if sys.argv[1] == "forked":
    for run in json.loads(sys.argv[2]):
        forked(*run)
else:
    small_run(*sys.argv[1:])
'''


def run(*command: str | Path | int, succeeds: bool = True) -> None:
    result = subprocess.run(
        [str(part) for part in command], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    assert (result.returncode == 0) == succeeds, result.stderr[-3000:]


def losses(folder: Path) -> list[float]:
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records if "loss" in record]


def probes(folder: Path) -> list[float]:
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [record["probe"] for record in records if "probe" in record]


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


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "small_run.py"
    path.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + SMALL_RUN)
    return path


def assert_same_run(a: Path, b: Path) -> None:
    ours, theirs = weights(a), weights(b)
    assert list(ours) == list(theirs)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in theirs)
    assert losses(a) == pytest.approx(losses(b), rel=1e-4)
    assert probes(a) == pytest.approx(probes(b), rel=1e-4) and len(probes(b)) >= 4
    latest, other = (load_checkpoint(folder / "latest.pt").training_state for folder in (a, b))
    for number, moments in other["optimizer"]["state"].items():
        ours = latest["optimizer"]["state"][number]
        assert all(torch.allclose(ours[name], value, atol=1e-5) for name, value in moments.items())


def small_runs(script: Path, *runs: tuple[object, ...]) -> None:
    """Make small runs one after the other, each (number of processes, folder, words)."""
    run(sys.executable, script, "forked", json.dumps(runs, default=str))


@pytest.mark.slow
def test_processes_that_hold_all_weights_or_a_share_give_the_weights_of_one_process(
    script: Path, tmp_path: Path
) -> None:
    ways = {"replicas": (), "replicas-parts": ("parts",), "shares": ("fsdp",), "shares-parts": ("fsdp", "parts")}
    small_runs(script, (1, tmp_path / "one"), *((2, tmp_path / name, *words) for name, words in ways.items()))
    for name in ways:
        assert_same_run(tmp_path / name, tmp_path / "one")


@pytest.mark.slow
def test_in_bfloat16_shares_give_the_weights_of_replicas(script: Path, tmp_path: Path) -> None:
    words = ("bfloat16", "parts")
    small_runs(script, (2, tmp_path / "replicas", *words), (2, tmp_path / "shares", *words, "fsdp"))
    assert_same_run(tmp_path / "shares", tmp_path / "replicas")
    assert {value.dtype for value in weights(tmp_path / "shares").values()} == {torch.float32}


@pytest.mark.slow
def test_a_run_goes_on_over_other_processes_and_otherwise_shared(script: Path, tmp_path: Path) -> None:
    ways = {
        "shares-one": ((2, "fsdp"), (1,)),
        "one-shares": ((1,), (2, "fsdp")),
        "shares-replicas": ((2, "fsdp"), (2,)),
        "replicas-four-shares": ((2,), (4, "fsdp")),
        "whole": ((1,), (1,)),
    }
    runs = []
    for name, ((n_first, *first), (n_then, *then)) in ways.items():
        runs += [(n_first, tmp_path / name, *first, "limit"), (n_then, tmp_path / name, *then)]
    small_runs(script, *runs)
    for name in ways:
        assert_same_run(tmp_path / name, tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize(("end", "step"), [("limit", 1), ("stop", 7)])
def test_two_processes_end_at_the_same_step_and_go_on_to_the_same_end(
    script: Path, tmp_path: Path, end: str, step: int
) -> None:
    run(*TORCHRUN, script, tmp_path / "whole")
    run(*TORCHRUN, script, tmp_path / "parts", end, succeeds=end == "limit")
    assert load_checkpoint(tmp_path / "parts" / "latest.pt").training_state["step"] == step
    run(*TORCHRUN, script, tmp_path / "parts")
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
    run(sys.executable, "-m", "distill.pretraining.command", *arguments, "--out", tmp_path / "one")
    run(*TORCHRUN, "-m", "distill.pretraining.command", *arguments, "--out", tmp_path / "two")
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
