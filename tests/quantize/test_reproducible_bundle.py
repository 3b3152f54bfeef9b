"""A frozen checkpoint gives a byte-identical bundle twice, through the real commands and from the checkpoint on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow  # converts, quantizes and compares a model in processes of their own


def run(module: str, *arguments: object) -> None:
    """Run a command in a process of its own, with another hash seed, in another time zone, an hour's file times on."""
    command = [sys.executable, "-m", module, *(str(argument) for argument in arguments)]
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Pacific/Auckland", "LC_ALL": "C", "OMP_NUM_THREADS": "2"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def made_again(world, made, tmp_path_factory):
    """Export, int8 model, agreement and thresholds made once more, in another folder."""
    out = tmp_path_factory.mktemp("again")
    store = ("--store", world.store)
    run("quantize.export", world.checkpoint, "--out", out)
    recipe = ("--recipe", world.recipe, "--calibration-ids", world.calibration_ids, "--data", world.data)
    student = ("--checkpoint", world.checkpoint, "--reference", world.checkpoint)
    options = (*student, *recipe, *store, "--out", out / "int8.tflite")
    run("quantize.quantize_command", out / "student_float.tflite", *options)
    of_thresholds = ("--out", out / "t.json", "--n-composed", 6, "--hours", 0.1)
    run("quantize.thresholds", "--model", out / "int8.tflite", *store, *of_thresholds)
    return out


def test_each_stage_gives_the_same_bytes_again(made, made_again):
    pairs = {
        made.export / "student_float.tflite": made_again / "student_float.tflite",
        made.export / "student.onnx": made_again / "student.onnx",
        made.int8: made_again / "int8.tflite",
        made.thresholds: made_again / "t.json",
    }
    assert [first.name for first, second in pairs.items() if first.read_bytes() != second.read_bytes()] == []


@pytest.mark.parametrize("name", ["bundle", "bundle.tussis"])
def test_a_frozen_checkpoint_gives_a_byte_identical_bundle_twice(world, made, made_again, build, tmp_path, name):
    (tmp_path / "again").mkdir()
    parts = ("--float", made_again / "student_float.tflite", "--int8", made_again / "int8.tflite")
    parts += ("--checkpoint", world.checkpoint, "--probes", made.probes, "--thresholds", made_again / "t.json")
    parts += ("--agreement", made_again / "agreement.json", "--export", made_again / "export.json")
    assert build(world, made, tmp_path / name).exit_code == 0
    run("quantize.bundle", "build", *parts, "--out", tmp_path / "again" / name)
    first, second = (
        {p.relative_to(at): p.read_bytes() for p in at.rglob("*") if p.is_file()}
        if at.is_dir()
        else {Path(): at.read_bytes()}
        for at in (tmp_path / name, tmp_path / "again" / name)
    )
    assert first == second
