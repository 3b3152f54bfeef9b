"""A mined pack as shards: every clip for training once, with source, offset and scores, and the same bytes again."""

import csv
import json
import shutil

import numpy as np
import pytest

from core.bundle import load_bundle
from core.errors import DataError, SettingsError
from distill.corpus.shard_reader import check_corpus
from distill.corpus.shards import read_shard
from distill.corpus.waveform_store import read_int16
from distill.mining.mine import mine, mining_settings
from distill.mining.pack import MinedPack
from distill.mining.recordings import find_recordings
from distill.mining.shards import check_shards_folder, write_pack_as_shards


@pytest.fixture
def pack(corpus, stand_in, write_bundle, tmp_path):
    bundle, out = load_bundle(write_bundle()), tmp_path / "data" / "mined"
    settings = mining_settings(bundle, out, None, None, 0.3)
    with MinedPack(out, settings.model_dump(mode="json")) as pack:
        sources = find_recordings([corpus], out, settings.name, "CC0").sources
        mine(pack, sources, settings, bundle, interpreter=stand_in.interpreter)
    return out


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def clips_of(shards):
    index = check_corpus(shards)
    clips = [clip for entry in index.shards for clip in read_shard(shards, entry, index.codec)]
    assert len(clips) == index.clips
    return {clip.key: clip for clip in clips}


def test_each_clip_is_in_the_shards_once_with_its_source_offset_and_scores(pack, tmp_path):
    write_pack_as_shards(pack, tmp_path / "shards")
    listed, clips = rows_of(tmp_path / "shards" / "clips.csv"), clips_of(tmp_path / "shards")
    assert [{name: row[name] for name in row if name != "key"} for row in listed] == rows_of(pack / "manifest.csv")
    assert {row["key"] for row in listed} == clips.keys() and len(listed) == len(clips) >= 9
    for row in listed:
        clip = clips[row["key"]]
        assert (clip.record.row.path, clip.record.row.licence) == (f"mined/{row['path']}", "CC0")
        assert np.array_equal(clip.waveform(), read_int16(pack / row["path"]))
        assert float(row["start_s"]) >= 0 and float(row["score_cough"]) > 0 and row["source_id"].startswith("in/person")


def test_shards_written_again_or_after_a_stop_have_the_same_bytes(pack, tmp_path):
    write_pack_as_shards(pack, tmp_path / "shards")
    written = {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()}
    (tmp_path / "shards" / "clips.csv").unlink()
    write_pack_as_shards(pack, tmp_path / "shards")
    write_pack_as_shards(pack, tmp_path / "another")
    for folder in ("shards", "another"):
        assert {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()} == written


def test_a_person_whom_a_pack_beside_it_holds_out_is_not_in_the_shards(pack, tmp_path):
    beside = tmp_path / "data" / "labelled"
    beside.mkdir()
    header = "path,dataset,source_id,subject_id,duration_s,labels,group_fold,licence\n"
    (beside / "manifest.csv").write_text(f"{header}audio/1.wav,labelled,s1,in/person1,6,cough,5,CC0\n")
    write_pack_as_shards(pack, tmp_path / "shards")
    subjects = {clip.record.row.subject_id for clip in clips_of(tmp_path / "shards").values()}
    assert subjects == {"in/person0", "in/person2"}
    assert {row["subject_id"] for row in rows_of(tmp_path / "shards" / "clips.csv")} == subjects


def test_shards_of_other_clips_are_not_mixed_in(pack, tmp_path):
    write_pack_as_shards(pack, tmp_path / "shards")
    (pack / "manifest.csv").write_text("".join((pack / "manifest.csv").read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataError, match="choose another folder to write to"):
        write_pack_as_shards(pack, tmp_path / "shards")


def test_what_shards_cannot_be_written_of_is_said_before_mining(pack, tmp_path):
    with pytest.raises(SettingsError, match="a place in the pack"):
        check_shards_folder(pack, pack / "shards")
    (tmp_path / "data" / "other").mkdir()
    (tmp_path / "data" / "other" / "manifest.csv").write_text("file\n1.wav\n")
    with pytest.raises(DataError, match=r"other/manifest\.csv"):
        check_shards_folder(pack, tmp_path / "shards")
    shutil.rmtree(tmp_path / "data" / "other")
    (pack / "manifest.csv").write_text((pack / "manifest.csv").read_text().splitlines(keepends=True)[0])
    with pytest.raises(DataError, match="no clip that may be trained on"):
        write_pack_as_shards(pack, tmp_path / "shards")
    assert not (tmp_path / "shards").exists()


def test_the_report_adds_up_over_runs(pack, corpus, stand_in, write_bundle, write_recording):
    write_recording(corpus / "person3" / "6.wav", 6, 12.0)
    (corpus / "person3" / "broken.wav").write_bytes(b"RIFF")
    first = json.loads((pack / "report.json").read_text())
    bundle = load_bundle(write_bundle())
    settings = mining_settings(bundle, pack, None, None, 0.3)
    with MinedPack(pack, settings.model_dump(mode="json")) as opened:
        found = find_recordings([corpus], pack, settings.name, "CC0")
        mine(opened, found.sources, settings, bundle, interpreter=stand_in.interpreter)
    report = json.loads((pack / "report.json").read_text())
    assert first["hours_heard"] == pytest.approx(36 / 3600, abs=1e-6) and len(first["runs"]) == 1
    assert report["hours_heard"] == pytest.approx(48 / 3600, abs=1e-6) and report["recordings_skipped"] == 1
    assert report["runs"][0] == first["runs"][0] and len(report["runs"]) == 2
    run = report["runs"][1]
    assert (run["recordings"], run["engine"], run["workers"]) == (2, "processes", 1)
    assert run["hours_heard"] == pytest.approx(12 / 3600, abs=1e-6)
    assert run["core_s"] > 0 and run["audio_hours_per_core_hour"] == pytest.approx(12 / run["core_s"], rel=0.05)
    rows = rows_of(pack / "manifest.csv")
    assert report["clips"] == len(rows) and report["hours_kept"] == pytest.approx(len(rows) * 2 / 3600, abs=1e-6)
