"""tussis-pretrain from a corpus of shards: what it leaves, that it resumes exactly, and what it refuses."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from core.audio import write_wav
from core.files import sha256_of_file
from distill.checkpoints import load_checkpoint
from distill.corpus.manifests import ManifestRow
from distill.corpus.shard_writer import write_shards
from distill.corpus.waveform_store import WaveformStore
from distill.pretraining.command import app

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "distill" / "configs" / "pretrain_tiny.toml"
SHORT = [
    f"training.{setting}"
    for setting in (
        "steps=4",
        "batch_size=2",
        "warmup_steps=1",
        "checkpoint_every_steps=2",
        "log_every_steps=1",
        "threads=1",
    )
]


def row(number: int, role: str) -> ManifestRow:
    return ManifestRow(f"pack/{number}.wav", "pack", f"s{number}", f"p{number}", 2.5, ("noise",), 1, "CC0", role, True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``shards`` of five recordings of noise, and a ``store`` of a validation recording and a room."""
    folder, generator = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    (folder / "pack").mkdir()
    for number in range(7):
        write_wav(folder / "pack" / f"{number}.wav", generator.normal(0, 0.1, 40_000).astype(np.float32))
    write_shards([row(number, "train") for number in range(5)], folder, folder / "shards", shard_mib=0.2)
    WaveformStore.build([row(5, "validation"), row(6, "augment")], folder, folder / "store")
    return folder


def arguments(shards: Path, out: Path, *more: str) -> list[str]:
    return ["--config", str(CONFIG), "--shards", str(shards), "--out", str(out), *SHORT, *more]


def pretrain(shards: Path, out: Path, *more: str):
    return CliRunner().invoke(app, arguments(shards, out, *more))


def losses(folder: Path) -> list[float]:
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records if "loss" in record]


def assert_same_end(a: Path, b: Path) -> None:
    assert losses(a) == losses(b)
    ours, theirs = load_checkpoint(a / "final.pt").model_state, load_checkpoint(b / "final.pt").model_state
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.long
def test_shards_alone_are_enough_and_the_checkpoint_names_the_corpus_and_the_place_in_it(
    data: Path, tmp_path: Path
) -> None:
    assert pretrain(data / "shards", tmp_path / "whole").exit_code == 0
    latest = load_checkpoint(tmp_path / "whole" / "latest.pt")
    position = latest.training_state["position"]
    assert (position["epoch"], position["batches"], position["world_size"]) == (1, 3, 1)
    corpus = latest.provenance["corpus"]
    assert corpus["index_sha256"] == position["corpus_sha256"] == sha256_of_file(data / "shards" / "index.json")
    assert (corpus["clips"], corpus["licences"]) == (5, {"CC0": 5})
    once = "training.checkpoint_every_steps=4"
    for more in (["--time-limit-s", "0.001"], []):
        assert pretrain(data / "shards", tmp_path / "parts", once, *more).exit_code == 0
    assert_same_end(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.long
def test_a_store_beside_the_shards_gives_what_is_held_out(data: Path, tmp_path: Path) -> None:
    result = pretrain(data / "shards", tmp_path / "run", "training.steps=2", "--store", str(data / "store"))
    assert result.exit_code == 0, result.output
    assert "validation_loss" in (tmp_path / "run" / "log.jsonl").read_text()
    assert (tmp_path / "run" / "reconstructions_0000002.png").exists()


def damaged(data: Path, tmp_path: Path, content: bytes | None = None, shorter_by: int = 0) -> Path:
    """A copy of the shards whose first holds `content`, which the index knows, or is cut short, which it does not."""
    folder = shutil.copytree(data / "shards", tmp_path / "damaged")
    path = folder / "corpus-000000.tar"
    path.write_bytes(path.read_bytes()[:-shorter_by] if content is None else content)
    if content is not None:
        index = json.loads((folder / "index.json").read_text())
        index["shards"][0] |= {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
        index["bytes"] = sum(shard["bytes"] for shard in index["shards"])
        (folder / "index.json").write_text(json.dumps(index))
    return folder


def at_half_the_rate(shard: Path) -> bytes:
    """The shard with the same samples said to be at 8 kHz."""
    archive = io.BytesIO()
    with tarfile.open(shard) as whole, tarfile.open(fileobj=archive, mode="w") as changed:
        for member in whole:
            content = whole.extractfile(member).read()
            if member.name.endswith(".flac"):
                samples, _ = soundfile.read(io.BytesIO(content), dtype="int16")
                encoded = io.BytesIO()
                soundfile.write(encoded, samples, 8_000, format="FLAC", subtype="PCM_16")
                content = encoded.getvalue()
            member.size = len(content)
            changed.addfile(member, io.BytesIO(content))
    return archive.getvalue()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("truncated", "corpus-000000.tar is truncated: "),
        ("no tar", "corpus-000000.tar is not a whole tar file"),
        ("rate", "channel(s) at 8000 Hz; expected 40000 samples, 1 channel at 16000 Hz: "),
        ("absent", "holds no finished corpus of shards, for there is no index.json: "),
    ],
)
def test_a_corpus_that_cannot_be_trained_on_is_one_sentence_with_the_file_and_the_remedy(
    data: Path, tmp_path: Path, damage: str, sentence: str
) -> None:
    folder = {
        "truncated": lambda: damaged(data, tmp_path, shorter_by=1000),
        "no tar": lambda: damaged(data, tmp_path, b"not a tar file" * 100),
        "rate": lambda: damaged(data, tmp_path, at_half_the_rate(data / "shards" / "corpus-000000.tar")),
        "absent": lambda: tmp_path,
    }[damage]()
    result = pretrain(folder, tmp_path / "run")
    assert result.exit_code == 2
    assert sentence in result.stderr and "tussis-corpus shards write" in result.stderr
    assert result.stderr.startswith("tussis-pretrain: ") and result.stderr.count("\n") == 1
    assert not (tmp_path / "run" / "final.pt").exists()


def test_neither_shards_nor_a_store_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--config", str(CONFIG), "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert result.stderr == "tussis-pretrain: there is nothing to train on: give --store, --shards or both\n"


@pytest.mark.long
def test_resuming_with_another_size_or_corpus_is_refused(data: Path, tmp_path: Path) -> None:
    assert pretrain(data / "shards", tmp_path / "run", "training.steps=2").exit_code == 0
    other = pretrain(data / "shards", tmp_path / "run", "training.steps=2", "model.size=small")
    assert other.exit_code == 2
    assert "latest.pt was made with model.size = 'tiny', not 'small': choose another run folder" in other.stderr
    rows = [row(number, "train") for number in range(4)]
    write_shards(rows, data, tmp_path / "shards", shard_mib=0.2)
    other = pretrain(tmp_path / "shards", tmp_path / "run", "training.steps=2")
    assert other.exit_code == 2
    assert "latest.pt was made with corpus_sha256 = " in other.stderr


@pytest.mark.slow
def test_two_processes_killed_and_resumed_equal_unbroken_ones_and_one_process_is_refused(
    data: Path, tmp_path: Path
) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    more = ["training.steps=12", "training.checkpoint_every_steps=3"]

    def begin(out: Path) -> subprocess.Popen:
        command = [*torchrun, "-m", "distill.pretraining.command", *arguments(data / "shards", out, *more)]
        return subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL)

    assert begin(tmp_path / "whole").wait(timeout=900) == 0
    broken = begin(tmp_path / "broken")
    log = tmp_path / "broken" / "log.jsonl"
    deadline = time.monotonic() + 900
    while not (log.exists() and '"step": 4' in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in _processes_of(broken.pid):
        os.kill(process, signal.SIGKILL)
    broken.wait(timeout=60)
    assert not (tmp_path / "broken" / "final.pt").exists()
    refused = pretrain(data / "shards", tmp_path / "broken", *more)
    assert refused.exit_code == 2
    assert "latest.pt was made with world_size = 2, not 1: choose another run folder or that value" in refused.stderr
    assert begin(tmp_path / "broken").wait(timeout=900) == 0
    assert_same_end(tmp_path / "broken", tmp_path / "whole")


def _processes_of(parent: int) -> list[int]:
    """The process and those that it started (torchrun gives its own sessions of their own)."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [parent, *map(int, children)]
