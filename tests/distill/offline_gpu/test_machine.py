"""The whole GPU recipe in miniature: packed here, run in a Python with little but torch and numpy, joined here."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import SettingsError
from distill.corpus.waveform_store import WaveformStore
from distill.distillation.teachers import load_teacher
from distill.offline_gpu.machine import is_finished, read_minutes
from tests.distill.offline_gpu.gpu_machine import bare_site, run_bare, write_packs, write_wheels

TINY = (
    *("model.size=tiny", "training.batch_size=4", "training.compile=false", "training.precision=float32"),
    *("training.threads=1", "training.loading_threads=1", "training.peak_tflops=0.1", "training.ema_decay=0.9"),
)


def run(*arguments: object):
    return subprocess.run([sys.executable, "-m", *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.slow
def test_the_recipe_runs_where_only_torch_and_numpy_are_installed_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    write_packs(tmp_path / "data")
    pack, made, out = tmp_path / "pack", tmp_path / "run", tmp_path / "out"
    options = ("--kbit-s", "16", "--no-libraries")
    packed = run("distill.offline_gpu.pack", "--data", tmp_path / "data", "--out", pack, *options)
    assert packed.returncode == 0, packed.stderr
    write_wheels(pack / "libraries")
    site = bare_site(tmp_path / "site")
    assert "No module named" in run_bare(site, "pydantic").stderr
    places = ("--pack", pack, "--run", made, "--out", out)
    command = ("distill.offline_gpu.machine", *places, "--minutes", "base=0.7,small=0.7")
    settings = [word for setting in TINY for word in ("--set", setting)]
    first = run_bare(
        site, *command, *settings, "--only", "report.json,small_targets.npz,small_weights.npz,small_log.jsonl"
    )
    assert first.returncode == 0, first.stdout + first.stderr
    report = json.loads((made / "report.json").read_text())
    assert report["sizes"]["small"]["plan"]["mfu"] > 0
    assert report["sizes"]["small"]["last_validation"]["validation_loss"] > 0
    assert 0 <= report["sizes"]["small"]["auroc"]["cough"] <= 1  # what half a minute teaches depends on the machine
    assert report["failures"] == []
    assert list((made / "small").glob("reconstructions_*.npz"))
    again = run_bare(site, *command, *settings)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "status" not in again.stdout  # no stage was run a second time
    joined = run("distill.offline_gpu.results", "join", out, "--out", tmp_path / "joined", "--store", made / "store")
    assert joined.returncode == 0, joined.stderr
    teacher = load_teacher(f"mae:{tmp_path / 'joined' / 'small.pt'}")
    store = WaveformStore.open(made / "store")
    with np.load(tmp_path / "joined" / "targets_small" / "embeddings.npz", allow_pickle=False) as targets:
        row, offset = targets["row"], targets["offset"]
        assert np.isfinite(targets["values"]).all()
    clips = np.stack([np.resize(store.waveform(r)[o : o + 32_000], 32_000) for r, o in zip(row, offset, strict=True)])
    embeddings = teacher.embed(torch.from_numpy(clips.astype(np.float32) / 32_768))
    assert embeddings.shape[0] == len(row)
    assert (tmp_path / "joined" / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert list((tmp_path / "joined").glob("small_reconstructions_*.png"))


def test_minutes_are_read_by_size_in_their_order() -> None:
    assert list(read_minutes("large=8, small=0.5").items()) == [("large", 8.0), ("small", 0.5)]
    for text in ("huge=3", "large", "large=0", "large=soon", ""):
        with pytest.raises(SettingsError, match="expected SIZE=MINUTES"):
            read_minutes(text)


def test_a_run_is_finished_when_its_log_has_reached_the_plan(tmp_path: Path) -> None:
    (tmp_path / "final.pt").touch()
    (tmp_path / "plan.json").write_text(json.dumps({"steps": 10}))
    for steps, finished in (([4], False), ([4, 10], True)):
        (tmp_path / "log.jsonl").write_text("".join(json.dumps({"step": step}) + "\n" for step in steps))
        assert is_finished(tmp_path) == finished
