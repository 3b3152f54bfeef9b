"""tussis-mine on a Ray cluster: the same pack as on one machine, also after a kill, and what it refuses."""

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from core.bundle import load_bundle
from core.errors import SettingsError
from core.interpreter import LiteRtInterpreter
from distill.mining.mine import mining_settings
from distill.mining.miner import Miner
from distill.mining.ray_cluster import NodeMiner, SentClip, check_ray_address
from distill.mining.recordings import Skipped, find_recordings

ROOT = Path(__file__).resolve().parents[3]
NEEDS_RAY = pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="Ray is not installed: make dev-cluster")


def start(corpus, pack, bundle, *options):
    arguments = ["--out", pack, "--bundle", bundle, "--min-probability", "0.01", "--licence", "CC0", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "distill.mining.command", *map(str, [corpus, *arguments])]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def content_of(pack):
    """Manifest, list of skipped and clips; the journal and the report are not the same in two runs."""
    files = [pack / "manifest.csv", pack / "skipped.csv", *sorted((pack / "audio").iterdir())]
    return {path.name: path.read_bytes() for path in files}


def kill_after(process, journal, n_lines):
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= n_lines) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@NEEDS_RAY
@pytest.mark.slow
def test_a_cluster_makes_the_pack_that_one_machine_makes_also_after_a_kill(tmp_path, tiny_bundle, write_recording):
    for number, duration_s in enumerate((10.0, 10.0, 240.0, 10.0, 10.0)):  # the kill falls into the long one
        write_recording(tmp_path / "in" / f"{number}.wav", number, duration_s)
    whole = (tmp_path / "in" / "0.wav").read_bytes()
    (tmp_path / "in" / "1 broken.wav").write_bytes(whole[:90_000])
    here, pack = tmp_path / "here" / "mined", tmp_path / "cluster" / "mined"
    alone = start(tmp_path / "in", here, tiny_bundle, "--workers", 1)
    assert alone.wait() == 0, alone.stderr.read()
    cluster = ("--ray-address", "local", "--workers", 2)
    kill_after(start(tmp_path / "in", pack, tiny_bundle, *cluster), pack / "journal.jsonl", 4)
    n_before = (pack / "journal.jsonl").read_bytes().count(b"\n")
    again = start(tmp_path / "in", pack, tiny_bundle, *cluster, "--shards", tmp_path / "shards")
    output, errors = again.communicate()
    assert again.returncode == 0 and "audio-hours per core-hour" in output, errors
    assert "Traceback" not in errors
    assert content_of(pack) == content_of(here)
    with (pack / "skipped.csv").open(newline="", encoding="utf-8") as file:
        assert [row["source_id"] for row in csv.DictReader(file)] == ["in/1 broken.wav"]
    (run,) = json.loads((pack / "report.json").read_text())["runs"]
    assert (run["engine"], run["workers"]) == ("ray", 2) and 4 <= n_before < 7 and run["recordings"] == 8 - n_before
    assert run["core_s"] > 0
    assert (tmp_path / "shards" / "index.json").exists() and (tmp_path / "shards" / "clips.csv").exists()


def test_what_a_node_sends_is_what_a_miner_here_leaves(tmp_path, tiny_bundle, corpus):
    (corpus / "broken.wav").write_bytes(b"RIFF")
    bundle = load_bundle(tiny_bundle)
    settings = mining_settings(bundle, tmp_path / "mined", None, None, 0.01)
    sources = find_recordings([corpus], tmp_path / "mined", settings.name, "CC0").sources
    interpreter = LiteRtInterpreter(bundle.read_model(), 1, bundle.model_shape)
    miner = Miner(interpreter, settings, tmp_path, bundle.model_shape.activity_frame_step_s)
    node = NodeMiner(bundle.read_model(), bundle.model_shape, settings)
    n_clips = 0
    for source in sources:
        batch = np.empty(1, object)
        batch[0] = source
        *sent, heard = [row["piece"][0] for row in node({"source": batch})]
        mined = miner.mine(source)
        assert heard.source == source and heard.core_s > 0
        if isinstance(mined, Skipped):
            assert heard.result == mined and not sent
        else:
            assert sent == [SentClip(source.key, clip.file.name, clip.file.read_bytes()) for clip in mined.clips]
            assert [clip.samples_sha256 for clip in heard.result.clips] == [clip.samples_sha256 for clip in mined.clips]
            n_clips += len(sent)
    assert n_clips >= 6


@pytest.mark.parametrize("address", ["", "ray://head:10001", "head", "head:port", "http://head:80", "a b:6379"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(SettingsError, match="expected local, auto or HOST:PORT"):
        check_ray_address(address)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r"pip install -e '\.\[cluster\]'"):
        check_ray_address("local")
