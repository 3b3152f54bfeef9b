"""The measurement of the input pipeline: pipelines by name, medians, their ratio, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from core.audio import write_wav
from distill.corpus.manifests import ManifestRow
from distill.corpus.shard_writer import write_shards
from distill.corpus.waveform_store import WaveformStore
from distill.pretraining import pipeline_speed
from distill.pretraining.pipeline_speed import app, measure


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, generator = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    rows = [ManifestRow(f"{n}.wav", "pack", f"s{n}", f"p{n}", 2.5, (), None, "CC0", "train", False) for n in range(3)]
    for row in rows:
        write_wav(folder / row.path, generator.normal(0, 0.1, 40_000).astype(np.float32))
    write_shards(rows, folder, folder / "shards")
    WaveformStore.build(rows, folder, folder / "store")
    return folder


def test_the_command_measures_both_pipelines_against_training(data: Path, tmp_path: Path) -> None:
    paths = ["--store", data / "store", "--shards", data / "shards", "--out", tmp_path / "speed.json"]
    options = ["--size", "tiny", "--batch-size", "2", "--rounds", "1"]
    result = CliRunner().invoke(app, [*map(str, paths), *options])
    assert result.exit_code == 0, result.output
    speed = json.loads((tmp_path / "speed.json").read_text())
    assert set(speed["pipelines"]) == {"store", "shards"}
    assert f"{speed['front_end_clips_per_core_s']:.0f}" in result.stdout
    for name, pipeline in speed["pipelines"].items():
        assert pipeline["ratio"] == pytest.approx(pipeline["clips_per_core_s"] / speed["training_clips_per_s"])
        assert name in result.stdout and f"{pipeline['ratio']:.1f}" in result.stdout


def test_medians_leave_out_the_first_round_and_alternate(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks, told = iter([9.0] * 4 + [1.0, 2.0, 2.0, 4.0] + [3.0, 4.0, 1.0, 4.0] + [2.0, 2.0, 8.0, 4.0]), []
    monkeypatch.setattr(pipeline_speed, "_seconds", lambda work, clock: work() is None or next(ticks))
    monkeypatch.setattr(
        pipeline_speed, "_training", lambda size, batch: lambda clips: told.append("train") or next(ticks)
    )

    def batch_at(name: str):
        return lambda step: told.append((name, step)) or torch.zeros(8, 32_000)

    result = measure({"a": batch_at("a"), "b": batch_at("b")}, "tiny", 8, 3)
    assert result["training_clips_per_s"] == 2.0
    assert result["front_end_clips_per_core_s"] == 4.0
    assert result["pipelines"] == {
        "a": {"clips_per_core_s": 4.0, "ratio": 2.0},
        "b": {"clips_per_core_s": 4.0, "ratio": 2.0},
    }
    assert told[:4] == [("a", 0), ("b", 0), ("a", 0), "train"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "there is nothing to measure: give --store, --shards or both"),
        (["--store", "nowhere"], "nowhere holds no finished waveform store"),
        (["--size", "huge"], "--size is 'huge'; expected tiny, small, base or large"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence_and_status_2(arguments: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
