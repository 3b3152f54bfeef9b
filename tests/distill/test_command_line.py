"""The workstation's commands complain safely, and none overwrites a file that it did not write."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.errors import OutputError
from distill.command_line import run_app
from distill.settings import Settings, write_settings
from distill.training.log import TrainingLog

COMMANDS = {
    "distill.evaluation.evaluate": ["--data", "gone", "--json"],
    "distill.probes.embed": ["gone.wav", "--out"],
    "quantize.calibration_set": ["choose", "--manifest", "gone.csv", "--data", "gone", "--out"],
    "quantize.thresholds": ["--model", "gone.tflite", "--store", "gone", "--out"],
    "distill.probes.fit_probe": ["encoder", "--store", "gone", "--teacher", "mae:gone", "--out"],
}
SOMEBODYS = [
    b"RIFF\x24\0\0\0WAVEfmt ",
    b'{"schema": "tussis.screening/1"}',
    b"path,subject_id,label\n",
    b"PK\x03\x04 zip",
]


@pytest.mark.parametrize("content", SOMEBODYS)
@pytest.mark.parametrize("module", COMMANDS)
def test_a_file_that_a_command_did_not_write_is_left_as_it_is(module: str, content: bytes, tmp_path: Path) -> None:
    target = tmp_path / "night.npz"
    target.write_bytes(content)
    ended = CliRunner().invoke(importlib.import_module(module).app, [*COMMANDS[module], str(target)])
    assert ended.exit_code == 2
    assert "night.npz exists and is not a result of this command; it is left as it is." in ended.stderr
    assert target.read_bytes() == content


def test_a_pack_is_never_made_a_store(tmp_path: Path) -> None:
    from distill.corpus.command import app
    from distill.corpus.manifests import write_manifest

    pack, manifest = tmp_path / "pack", tmp_path / "manifest.csv"
    pack.mkdir()
    (pack / "manifest.csv").write_text("path,dataset,labels\n")
    write_manifest([], manifest)
    ended = CliRunner().invoke(app, ["store", "--manifest", str(manifest), "--data", str(tmp_path), "--out", str(pack)])
    assert (ended.exit_code, "holds a manifest.csv that is not of a waveform store" in ended.stderr) == (2, True)
    assert (pack / "manifest.csv").read_text() == "path,dataset,labels\n"


def test_a_run_folder_with_files_of_somebody_else_is_left_as_it_is(tmp_path: Path) -> None:
    class OwnSettings(Settings):
        steps: int = 1

    for name, content in (("settings.json", '{"editor": 1}'), ("log.jsonl", "once upon a time\n")):
        (tmp_path / name).write_text(content)
    with pytest.raises(OutputError, match=r"settings\.json exists"):
        write_settings(OwnSettings(), tmp_path / "settings.json")
    with pytest.raises(OutputError, match=r"log\.jsonl exists"):
        TrainingLog(tmp_path / "log.jsonl", OwnSettings(), 0)
    assert (tmp_path / "log.jsonl").read_text() == "once upon a time\n"
    (tmp_path / "settings.json").write_text(json.dumps({"steps": 2}))
    write_settings(OwnSettings(), tmp_path / "settings.json")
    assert json.loads((tmp_path / "settings.json").read_text()) == {"steps": 1}


@pytest.mark.parametrize("arguments", [["--x\x1b[2J\n"], ["nothing\x1b[2J"], ["choose", "--clips", "\x1b[2J"], []])
def test_a_complaint_about_an_argument_is_safe_to_print(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from quantize.calibration_set import app

    monkeypatch.setattr(sys, "argv", ["tussis-calibration", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_app(app)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "Error: " in said
    assert all(line.isprintable() for line in said.split("\n"))
