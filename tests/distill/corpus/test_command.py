"""tussis-corpus: packs to a manifest, a store and shards, or one sentence that says why not."""

import csv

import numpy as np
from typer.testing import CliRunner

from core.audio import write_wav
from distill.corpus.command import app
from distill.corpus.manifests import read_manifest
from distill.corpus.shards import read_index
from distill.corpus.waveform_store import WaveformStore

COLUMNS = ["path", "dataset", "source_id", "subject_id", "duration_s", "labels", "group_fold", "licence"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def write_pack(folder):
    """Three recordings of 1 s of three people, one of them not labelled."""
    folder.mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="coughs")
        writer.writeheader()
        for number, labels in enumerate(("cough", "", "noise")):
            write_wav(folder / f"{number}.wav", np.full(16_000, 0.1, np.float32))
            row = {"path": f"{number}.wav", "source_id": number, "subject_id": f"p{number}", "labels": labels}
            writer.writerow({**row, "duration_s": 1.0, "group_fold": 1 if labels else "", "licence": "CC0"})


def test_packs_become_a_manifest_and_a_store(tmp_path):
    write_pack(tmp_path / "data" / "coughs")
    manifest, paths = tmp_path / "runs" / "manifest.csv", ("--data", tmp_path / "data", "--out")
    written = run("manifest", "--no-unlabelled", *paths, manifest)
    assert written.exit_code == 0 and "train: 2 recordings" in written.stdout
    assert [row.path for row in read_manifest(manifest)] == ["coughs/0.wav", "coughs/2.wav"]
    stored = run("store", "--manifest", manifest, *paths, tmp_path / "store")
    assert stored.exit_code == 0 and "2 recordings, 0.00 h" in stored.stdout
    assert len(WaveformStore.open(tmp_path / "store").sound(1)) == 16_000


def test_without_packs_or_a_manifest_the_command_says_so(tmp_path):
    for command, sentence in (
        (("manifest", "--data", tmp_path, "--out", tmp_path / "m.csv"), "no pack (a folder with a manifest.csv)"),
        (
            ("store", "--manifest", tmp_path / "m.csv", "--data", tmp_path, "--out", tmp_path / "s"),
            "m.csv cannot be read",
        ),
    ):
        refused = run(*command)
        assert refused.exit_code == 2
        assert refused.stderr.startswith("tussis-corpus: ") and sentence in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_shards_are_written_checked_and_unpacked(data, tmp_path):
    source = ["--manifest", data[0] / "manifest.csv", "--data", data[0], "--out", tmp_path / "out"]
    written = run("shards", "write", *source, "--role", "validation", "--role", "train", "--shard-mib", 0.035)
    assert written.exit_code == 0 and "31 clips" in written.stdout
    assert read_index(tmp_path / "out").roles == ("train", "validation")
    checked = run("shards", "check", tmp_path / "out")
    assert checked.exit_code == 0 and "whole" in checked.stdout
    stored = run("shards", "store", "--shards", tmp_path / "out", "--out", tmp_path / "store")
    assert stored.exit_code == 0 and len(WaveformStore.open(tmp_path / "store").rows) == 31
    for arguments, sentence in (
        (["shards", "check", tmp_path / "nothing"], "holds no finished corpus"),
        (["shards", "write", *source, "--codec", "mp3"], "--codec is 'mp3'; expected one of flac, opus."),
        (["shards", "write", *source, "--role", "test"], "no recording with the role 'test'"),
        (["shards", "write", *source, "--role", "training"], "--role is 'training'; expected one of train"),
        (["shards", "write", *source, "--shard-mib", 0], "--shard-mib is 0; expected"),
    ):
        refused = run(*arguments)
        assert refused.exit_code == 2
        assert refused.stderr.startswith("tussis-corpus: ") and sentence in refused.stderr
        assert refused.stderr.count("\n") == 1
