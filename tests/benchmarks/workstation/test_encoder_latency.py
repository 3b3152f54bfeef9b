"""The encoder's benchmark through its command: an exported file beside torch, in one run."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.results.result import read_result
from benchmarks.workstation import encoder_latency
from distill.models.encoder import Encoder, EncoderSettings
from distill.models.hear_checkpoint import save_vit_folder
from quantize.export_encoder import FILES, export_encoder
from quantize.recipe import Format


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random encoder's folder; its ONNX file lies in ``exported`` beside it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("encoder")
    save_vit_folder(Encoder(EncoderSettings(width=16, depth=1, heads=2, pooler_size=8)), folder / "vit")
    (folder / "exported").mkdir()
    export_encoder(str(folder / "vit"), [Format.ONNX], folder / "exported", "export.json")
    return folder / "vit"


def run(*arguments: object):
    return CliRunner().invoke(encoder_latency.app, [str(argument) for argument in arguments])


def test_torch_and_the_exported_files_are_timed_in_turns(encoder, tmp_path):
    exported, report = encoder.with_name("exported"), tmp_path / "latency.json"
    result = run(encoder, "--exported", exported, "--json", report)
    assert result.exit_code == 0, result.stderr
    measured = read_result(report)
    torchs, onnx = measured["rows"]
    assert (torchs["name"], onnx["name"]) == ("torch float32", FILES[Format.ONNX])
    assert torchs["n_runs"] == onnx["n_runs"] == encoder_latency.MIN_RUNS
    assert torchs["facts"]["weights"].startswith("vit:")
    (ratio,) = measured["ratios"]
    assert (ratio["name"], ratio["to"]) == (onnx["name"], torchs["name"])
    assert ratio["value"] == pytest.approx(onnx["metrics"]["p50_ms"] / torchs["metrics"]["p50_ms"])
    assert onnx["metrics"]["model_bytes"] == (exported / FILES[Format.ONNX]).stat().st_size
    assert FILES[Format.ONNX] in result.stdout


def test_a_folder_without_exported_files_is_refused(encoder, tmp_path):
    result = run(encoder, "--exported", tmp_path)
    assert result.exit_code == 2
    assert f"{tmp_path} holds none of encoder_int8.tflite" in result.stderr
