"""Shards: the same bytes however often the writing is stopped."""

import io
import json
import shutil
import tarfile
from collections import Counter
from dataclasses import replace

import pytest
import soundfile
from webdataset.tariterators import group_by_keys, tar_file_expander

from core.errors import DataError, OutputError
from core.files import sha256_of_file
from distill.corpus import shard_writer
from distill.corpus.shard_reader import ShardCorpus, check_corpus
from distill.corpus.shard_writer import JOURNAL_FILE, UNFINISHED_SHARD_FILE, write_shards
from distill.corpus.shards import read_index

N_CLIPS = 29
SHARD_MIB = 0.035


def members_of(path):
    with tarfile.open(path) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar]


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_index_says_what_is_in_the_shards(data, corpus):
    index = check_corpus(corpus)
    chosen = [row for row in data[1] if row.role == "train"]
    assert index.clips == N_CLIPS and index.licences == Counter(row.licence for row in chosen)
    assert index.bytes == sum(path.stat().st_size for path in corpus.glob("*.tar"))
    assert max(shard.bytes for shard in index.shards) <= SHARD_MIB * 2**20
    assert index.seconds == pytest.approx(sum(0.06 + 0.005 * number for number in range(N_CLIPS)), abs=1e-3)


def test_webdataset_itself_reads_the_shards_and_the_record_names_its_source(data, corpus):
    with (corpus / "corpus-000000.tar").open("rb") as stream:
        samples = list(group_by_keys(tar_file_expander([{"url": "shard", "stream": stream}])))
    assert len(samples) == read_index(corpus).shards[0].clips
    for sample in samples:
        record = json.loads(sample["json"])
        assert record["row"] == json.loads(json.dumps(vars(data[1][int(sample["__key__"])])))
        assert record["source_sha256"] == sha256_of_file(data[0] / record["row"]["path"])
        waveform, rate_hz = soundfile.read(io.BytesIO(sample["flac"]))
        assert (len(waveform), rate_hz) == (record["samples"], 16_000)
        assert record["duration_s"] == len(waveform) / 16_000


@pytest.mark.parametrize(("codec", "stopped_at"), [("flac", 0), ("flac", 2), ("opus", 2)])
def test_a_write_that_was_stopped_goes_on_to_the_same_bytes(data, tmp_path, monkeypatch, codec, stopped_at):
    folder, rows = data
    write = {"shard_mib": SHARD_MIB if codec == "flac" else 0.02, "codec": codec, "roles": ["train", "validation"]}
    write_shards(rows, folder, tmp_path / "whole", **write)
    assert len(read_index(tmp_path / "whole").shards) > 3
    append = shard_writer._append

    def stopping(journal, shard):  # after the shard has its name and before the journal knows it
        if shard.file == f"corpus-{stopped_at:06d}.tar":
            journal.write('{"file": "corpus-0')
            raise KeyboardInterrupt
        append(journal, shard)

    monkeypatch.setattr(shard_writer, "_append", stopping)
    with pytest.raises(KeyboardInterrupt):
        write_shards(rows, folder, tmp_path / "stopped", **write)
    (tmp_path / "stopped" / UNFINISHED_SHARD_FILE).write_bytes(b"half a shard")
    assert len((tmp_path / "stopped" / JOURNAL_FILE).read_text().splitlines()) == 2 + stopped_at
    with pytest.raises(DataError, match="no finished corpus"):
        ShardCorpus(tmp_path / "stopped")
    monkeypatch.setattr(shard_writer, "_append", append)
    write_shards(rows, folder, tmp_path / "stopped", threads=1, **write)
    assert files_of(tmp_path / "stopped") == files_of(tmp_path / "whole")
    check_corpus(tmp_path / "stopped")


def test_a_finished_corpus_is_left_as_it_is_and_other_settings_are_refused(data, corpus, tmp_path):
    out = shutil.copytree(corpus, tmp_path / "out")
    before = files_of(out)
    write_shards(data[1], data[0], out, shard_mib=SHARD_MIB)
    assert files_of(out) == before
    with pytest.raises(DataError, match=r"was begun with codec 'flac', not 'opus'; choose another folder"):
        write_shards(data[1], data[0], out, shard_mib=SHARD_MIB, codec="opus")
    with pytest.raises(DataError, match="was begun with manifest_sha256"):
        write_shards([replace(data[1][0], licence="CC0"), *data[1][1:]], data[0], out, shard_mib=SHARD_MIB)
    (out / "index.json").unlink()
    with pytest.raises(OutputError, match=r"corpus-000000\.tar belongs to no index"):
        write_shards(data[1], data[0], out, shard_mib=SHARD_MIB)
