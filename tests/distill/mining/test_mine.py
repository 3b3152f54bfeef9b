"""tussis-mine: a pack that training takes as it is, and the same pack however often the run was stopped."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core.audio import read_waveform, write_wav
from core.bundle import load_bundle
from core.demonstration import synthesize_demonstration
from core.errors import DataError, OutputError
from core.sound.high_pass import high_passed
from distill.corpus.manifests import build_manifest
from distill.mining.command import main
from distill.mining.mine import mine, mining_settings
from distill.mining.pack import MinedPack
from distill.mining.recordings import find_recordings
from tests.command_lines import exit_code_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def mine_into(stand_in, write_bundle, tmp_path):
    """Mines a folder into a pack with a stand-in for the model; gives the pack's folder."""
    bundle = load_bundle(write_bundle())

    def mine_into(folder, out=None, interpreter=None, minimum=0.3):
        out = out or tmp_path / "data" / "mined"
        settings = mining_settings(bundle, out, None, None, minimum)
        found = find_recordings([folder], out, settings.name, "CC0")
        with MinedPack(out, settings.model_dump(mode="json")) as pack:
            mine(pack, found.sources, settings, bundle, interpreter=interpreter or stand_in.interpreter)
        return out

    return mine_into


class Stopping:
    """An interpreter that is interrupted after a number of clips."""

    def __init__(self, interpreter, after):
        self._interpreter, self._left = interpreter, after

    def run(self, waveform):
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return self._interpreter.run(waveform)


def rows_of(pack, name="manifest.csv"):
    with (pack / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def content_of(pack):
    """Manifest, list of skipped and clips; also checks that nothing unfinished is left."""
    files = ["audio", "journal.jsonl", "manifest.csv", "report.json", "skipped.csv"]
    assert sorted(path.name for path in pack.iterdir()) == files
    clips = {path.name: path.read_bytes() for path in (pack / "audio").iterdir()}
    assert {row["path"] for row in rows_of(pack)} == {f"audio/{name}" for name in clips}
    return (pack / "manifest.csv").read_text(), (pack / "skipped.csv").read_text(), clips


def test_training_takes_a_mined_pack_as_it_is(corpus, mine_into):
    pack = mine_into(corpus)
    rows = build_manifest(pack.parent)
    assert len(rows) == len(rows_of(pack)) >= 9
    for row in rows:
        assert (row.pack, row.role, row.labelled, row.fold, row.licence) == ("mined", "train", False, None, "CC0")
        assert len(read_waveform(pack.parent / row.path)) == row.duration_s * 16_000 == 32_000
    assert {row.subject_id for row in rows} == {"in/person0", "in/person1", "in/person2"}
    assert {row.source_id for row in rows} == {f"mined:in/person{number // 2}/{number}.wav" for number in range(6)}


def test_a_clip_can_be_traced_to_its_place_in_its_source(corpus, mine_into, stand_in):
    for row in rows_of(mine_into(corpus)):
        source = high_passed(read_waveform(corpus.parent / row["source_id"]))
        start = round(float(row["start_s"]) * 16_000)
        outputs = stand_in.interpreter.run(source[start : start + 32_000])
        assert float(row["score_cough"]) == pytest.approx(1 / (1 + np.exp(-outputs.event_logits[0])), abs=1e-4)
        assert max(float(row[f"score_{label}"]) for label in ("cough", "snore", "cry")) >= 0.3
        assert len(row["source_sha256"]) == len(row["samples_sha256"]) == 64


def test_a_clip_of_a_held_out_subject_never_gets_into_training(tmp_path, mine_into, write_recording):
    listed = tmp_path / "data" / "coughs"
    for name, seed in (("1.wav", 1), ("2.wav", 2)):
        write_recording(listed / "audio" / name, seed)
    header = "path,dataset,source_id,subject_id,duration_s,labels,group_fold,licence\n"
    rows = "audio/1.wav,coughs,s1,anna,6,cough,5,CC0\naudio/2.wav,coughs,s2,ben,6,cough,1,CC0\n"
    (listed / "manifest.csv").write_text(header + rows)
    pack = mine_into(listed / "audio")
    assert {row["subject_id"] for row in rows_of(pack)} == {"anna", "ben"}
    mined = [row for row in build_manifest(tmp_path / "data") if row.pack == "mined"]
    assert {(row.subject_id, row.source_id, row.role) for row in mined} == {("ben", "coughs:s2", "train")}


def test_copies_and_recordings_at_another_level_are_left_out(corpus, mine_into, tmp_path):
    alone = content_of(mine_into(corpus, tmp_path / "alone"))
    waveform = read_waveform(corpus / "person1" / "3.wav")
    (corpus / "z").mkdir()
    write_wav(corpus / "z" / "copy.wav", waveform)
    soundfile.write(corpus / "z" / "coded.ogg", waveform, 16_000, format="OGG", subtype="VORBIS", compression_level=0.1)
    assert content_of(mine_into(corpus, tmp_path / "with copies"))[2].keys() == alone[2].keys()
    journal = [json.loads(line) for line in (tmp_path / "with copies" / "journal.jsonl").read_text().splitlines()[1:]]
    assert [entry["n_duplicates"] for entry in journal[-2:]] == [2, 2]


def test_what_cannot_be_read_is_listed_with_the_reason_and_taken_once_it_can(corpus, mine_into):
    (corpus / "person0" / "0.wav").rename(corpus / "whole.wav")
    whole = (corpus / "whole.wav").read_bytes()
    (corpus / "whole.wav").unlink()
    for name, content in (("cut.wav", whole[:30]), ("empty.wav", b""), ("text.mp3", b"no sound, text")):
        (corpus / name).write_bytes(content)
    pack = mine_into(corpus)
    skipped = {row["source_id"]: row["reason"] for row in rows_of(pack, "skipped.csv")}
    assert set(skipped) == {"in/cut.wav", "in/empty.wav", "in/text.mp3"}
    assert all(Path(source_id).name in reason for source_id, reason in skipped.items())
    assert "cut.wav" not in (pack / "manifest.csv").read_text()
    (corpus / "cut.wav").write_bytes(whole)
    mine_into(corpus)
    assert {row["source_id"] for row in rows_of(pack, "skipped.csv")} == {"in/empty.wav", "in/text.mp3"}
    assert {row["source_id"] for row in rows_of(pack)} >= {"in/cut.wav"}


@pytest.mark.parametrize("after", [0, 1, 7, 13, 29])
def test_an_interrupted_run_goes_on_to_the_same_pack(corpus, mine_into, stand_in, tmp_path, after):
    unbroken = content_of(mine_into(corpus, tmp_path / "unbroken" / "mined"))
    with pytest.raises(KeyboardInterrupt):
        mine_into(corpus, interpreter=Stopping(stand_in.interpreter, after))
    n_before = len(content_of(tmp_path / "data" / "mined")[2])
    assert n_before < len(unbroken[2]) and (n_before > 0) == (after >= 7)
    heard_again = Stopping(stand_in.interpreter, 30 - after // 5 * 5)
    assert content_of(mine_into(corpus, interpreter=heard_again)) == unbroken


def test_a_finished_pack_is_not_heard_again(corpus, mine_into, stand_in):
    before = content_of(mine_into(corpus))
    assert content_of(mine_into(corpus, interpreter=Stopping(stand_in.interpreter, 0))) == before


def test_a_clip_that_was_deleted_by_hand_stays_away(corpus, mine_into):
    pack = mine_into(corpus)
    gone = rows_of(pack)[0]["path"]
    (pack / gone).unlink()
    mine_into(corpus)
    assert gone not in {row["path"] for row in rows_of(pack)} and not (pack / gone).exists()


def test_a_kill_between_a_clip_and_its_line_and_within_a_line_leaves_no_double(corpus, mine_into, stand_in, tmp_path):
    unbroken = content_of(mine_into(corpus, tmp_path / "unbroken" / "mined"))
    pack = mine_into(corpus)
    lines = (pack / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (pack / "journal.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:200])
    (pack / "audio" / ".tussis-0123456789abcdef.part").write_bytes(b"half")
    (pack / ".mining-old" / "0").mkdir(parents=True)
    (pack / "manifest.csv").unlink()
    assert content_of(mine_into(corpus)) == unbroken


@pytest.mark.parametrize(
    ("line", "content"),
    [
        (1, b"[]\n"),
        (1, b"[" * 100_000 + b"\n"),
        (2, b"\0\0\0\n"),
        (2, b"[" * 100_000 + b"\n"),
        (3, b'{"clips": [{"embedding": 1}]}\n'),
    ],
)
def test_a_damaged_journal_is_refused_by_its_line(corpus, mine_into, line, content):
    pack = mine_into(corpus)
    lines = (pack / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (pack / "journal.jsonl").write_bytes(b"".join([*lines[: line - 1], content, *lines[line:]]))
    with pytest.raises((DataError, OutputError), match=f"line {line}, is damaged" if line > 1 else "something else"):
        mine_into(corpus)


def test_two_runs_never_write_one_pack(corpus, mine_into, write_bundle, tmp_path):
    pack = mine_into(corpus)
    settings = mining_settings(load_bundle(write_bundle()), pack, None, None, 0.3)
    with MinedPack(pack, settings.model_dump(mode="json")), pytest.raises(OutputError, match="another tussis-mine"):
        mine_into(corpus)


run_command = partial(exit_code_of, main, "tussis-mine")


def command_line(corpus, pack, bundle, workers):
    options = ["--out", pack, "--bundle", bundle, "--min-probability", "0.01", "--workers", workers, "--licence", "CC0"]
    return [sys.executable, "-m", "distill.mining.command", *map(str, [corpus, *options])]


def start(command):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_killed_with_sigkill_goes_on_to_the_same_pack(tmp_path, tiny_bundle, capsys, workers, write_recording):
    for number, duration_s in enumerate((10.0, 10.0, 240.0, 10.0)):  # it is the long one that the kill falls into
        write_recording(tmp_path / "in" / f"{number}.wav", number, duration_s)
    unbroken, pack = tmp_path / "unbroken" / "mined", tmp_path / "data" / "mined"
    assert run_command(*command_line(tmp_path / "in", unbroken, tiny_bundle, 1)[3:]) == 0
    assert "audio-hours per core-hour" in capsys.readouterr().out
    killed = start(command_line(tmp_path / "in", pack, tiny_bundle, workers))
    journal = pack / "journal.jsonl"
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 3) and killed.poll() is None:
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert journal.read_bytes().count(b"\n") < 5
    again = start(command_line(tmp_path / "in", pack, tiny_bundle, 3 - workers))
    assert again.wait() == 0, again.stderr.read()
    assert content_of(pack) == content_of(unbroken)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["absent", "--out", "new"], "absent: there is no such folder"),
        (["empty", "--out", "new"], "no recordings"),
        (["in", "--out", "new", "--labels", "cough,hiccup"], "unknown label 'hiccup'"),
        (["in", "--out", "new", "--labels", "cough,speech"], "speech alone"),
        (["in", "--out", "new", "--min-probability", "0"], "expected a number above 0"),
        (["in", "--out", "new", "--min-probability", "nan"], "expected a number above 0"),
        (["in", "--out", "new", "--workers", "0"], "--workers is 0"),
        (["in", "--out", "in"], "holds something else"),
        (["in", "--out", "in/1.wav"], "is not a folder"),
        (["in", "--out", "esc50_part"], "never trained on"),
        (["in", "--out", "new", "--bundle", "absent"], "no such bundle folder"),
        (["broken", "--out", "new", "--workers", "1"], "none of the 1 recordings could be read"),
    ],
)
def test_the_command_refuses_with_one_sentence(
    tmp_path, tiny_bundle, monkeypatch, capsys, arguments, sentence, write_recording
):
    write_recording(tmp_path / "in" / "1.wav", 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "1.wav").write_bytes(b"RIFF")
    monkeypatch.chdir(tmp_path)
    assert run_command("--bundle", tiny_bundle, *arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert (tmp_path / "new").exists() == ("broken" in arguments)


def test_a_pack_is_not_continued_with_other_settings(corpus, mine_into):
    pack = mine_into(corpus)
    before = content_of(pack)
    with pytest.raises(DataError, match=r"was begun with min_probability 0\.3, and now it is 0\.5"):
        mine_into(corpus, minimum=0.5)
    assert content_of(pack) == before


def test_the_shipped_bundle_finds_the_demonstration_s_coughs(tmp_path, default_bundle):
    (tmp_path / "in").mkdir()
    write_wav(tmp_path / "in" / "demonstration.wav", synthesize_demonstration())
    pack = tmp_path / "data" / "mined"
    assert run_command(tmp_path / "in", "--out", pack, "--labels", "cough", "--workers", 1) == 0
    rows = rows_of(pack)
    assert rows and all(float(row["score_cough"]) >= 0.3 for row in rows)
    assert [row.role for row in build_manifest(pack.parent)] == ["train"] * len(rows)


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_to_the_whole_group_leaves_a_whole_pack_that_is_gone_on_with(
    workers: int, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    noise = (0.05 * np.random.default_rng(0).normal(size=16000)).astype(np.float32)
    for number in range(40):
        write_wav(tmp_path / "in" / f"{number:02d}.wav", np.tile(noise * (1 + number) / 40, 20))
    out = tmp_path / "mined"
    arguments = ["in", "--out", "mined", "--bundle", tiny_bundle, "--workers", workers, "--min-probability", 0.9]
    command = [sys.executable, "-m", "distill.mining.command", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"cwd": tmp_path, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        while not (out / "journal.jsonl").exists() or len((out / "journal.jsonl").read_bytes().splitlines()) < 3:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGTERM)
        said, complaint = process.communicate(timeout=120)
    assert process.returncode == 143
    assert complaint.decode().splitlines()[-1] == "tussis-mine: SIGTERM ended the run; start it again to go on."
    n_heard = json.loads((out / "report.json").read_text())["recordings"]
    assert 2 <= n_heard < 40
    assert f"of {n_heard} recordings" in said.decode()
    assert (out / "manifest.csv").exists()
    assert subprocess.run(command, **pipes, check=False).returncode == 0
    keys = [json.loads(line)["key"] for line in (out / "journal.jsonl").read_text().splitlines()[1:]]
    assert len(keys) == len(set(keys)) == 40
